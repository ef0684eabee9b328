"""Every SQL statement about deliveries but the one that records them (webhooks/store.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from incidentfox.contracts.webhooks import Delivery, DeliveryStatus
from incidentfox.orchestrator.deliveries.tables import deliveries

PURGE = "SELECT orchestrator_purge($1, $2)"
"""Takes the payloads of deliveries that are over, and resolved incidents, when they are older than $1; $2 at most."""
PURGED_AT_ONCE = 1000

_SHOWN = tuple(deliveries.c[name] for name in Delivery.model_fields)


@dataclass(frozen=True)
class StoredDelivery:
    """A delivery as dispatch takes it up: what is shown of it, its parsed event as JSON, and its trace."""

    delivery: Delivery
    event: dict[str, Any]
    traceparent: str | None


async def load_delivery(connection: AsyncConnection, delivery_id: str, *, lock: bool = False) -> StoredDelivery | None:
    """One delivery with its event; with `lock`, nobody else changes it until the transaction ends."""
    statement = select(*_SHOWN, deliveries.c.event, deliveries.c.traceparent).where(
        deliveries.c.delivery_id == delivery_id
    )
    row = (await connection.execute(statement.with_for_update() if lock else statement)).first()
    return StoredDelivery(_delivery(row), row.event, row.traceparent) if row else None


async def read_delivery(connection: AsyncConnection, org_id: str, delivery_id: str) -> Delivery | None:
    """One delivery."""
    statement = select(*_SHOWN).where(deliveries.c.org_id == org_id, deliveries.c.delivery_id == delivery_id)
    row = (await connection.execute(statement)).first()
    return _delivery(row) if row else None


async def list_deliveries(connection: AsyncConnection, org_id: str, before: str | None, limit: int) -> list[Delivery]:
    """Deliveries newest first, from before the id `before`; one more than `limit`, if there are."""
    statement = select(*_SHOWN).where(deliveries.c.org_id == org_id)
    if before is not None:
        statement = statement.where(deliveries.c.delivery_id < before)
    rows = await connection.execute(statement.order_by(deliveries.c.delivery_id.desc()).limit(limit + 1))
    return [_delivery(row) for row in rows]


async def correlate_delivery(connection: AsyncConnection, delivery_id: str, values: dict[str, Any]) -> None:
    """Notes what the delivery belongs to (`incident_id`, `team_node_id`), the run it starts (`run_id`) or why none."""
    await connection.execute(update(deliveries).where(deliveries.c.delivery_id == delivery_id).values(values))


async def settle_delivery(
    connection: AsyncConnection, delivery_id: str, status: DeliveryStatus, reason: str | None
) -> None:
    """Ends a delivery that is still on its way, once. `reason` None keeps the one noted before."""
    await connection.execute(
        update(deliveries)
        .where(deliveries.c.delivery_id == delivery_id, deliveries.c.status == DeliveryStatus.RECEIVED)
        .values(status=status, reason=func.coalesce(reason, deliveries.c.reason), processed_at=func.now())
    )


def _delivery(row: Row[*tuple[Any, ...]]) -> Delivery:
    return Delivery.model_validate({name: getattr(row, name) for name in Delivery.model_fields})
