"""Every SQL statement about incidents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Row, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from incidentfox.contracts.webhooks import Incident
from incidentfox.kernel.errors import Unavailable
from incidentfox.orchestrator.incidents.rules import IncidentState
from incidentfox.orchestrator.incidents.tables import incident_events, incidents

_SHOWN: tuple[Column[Any], ...] = tuple(incidents.c[name] for name in Incident.model_fields)


@dataclass(frozen=True)
class IncidentKey:
    """What makes an incident one: the endpoint it comes through and the id it has at its source."""

    org_id: str
    endpoint_id: str
    source: str
    external_id: str


@dataclass(frozen=True)
class LockedIncident:
    """An incident that nobody else changes until the transaction ends."""

    incident_id: str
    team_node_id: str | None
    state: IncidentState


async def lock_incident(
    connection: AsyncConnection, key: IncidentKey, incident_id: str, opened_at: datetime
) -> LockedIncident:
    """The incident, locked; made under `incident_id` if it is the first time that it is heard of.

    Unavailable in the one moment in which the retention takes it away.
    """
    await connection.execute(
        insert(incidents)
        .values(
            incident_id=incident_id,
            org_id=key.org_id,
            endpoint_id=key.endpoint_id,
            source=key.source,
            external_id=key.external_id,
            title="",
            status=IncidentState().status,
            opened_at=opened_at,
            updated_at=func.now(),
        )
        .on_conflict_do_nothing()
    )
    row = (
        await connection.execute(
            select(incidents)
            .where(incidents.c.endpoint_id == key.endpoint_id, incidents.c.external_id == key.external_id)
            .with_for_update()
        )
    ).first()
    if row is None:
        raise Unavailable("The incident has just aged out. Try again: it is made anew.", code="write_contention")
    state = IncidentState(row.status, row.status_at, row.resolved_at, row.reopened_at, row.run_triggered_at)
    return LockedIncident(row.incident_id, row.team_node_id, state)


async def find_team(connection: AsyncConnection, endpoint_id: str, external_id: str) -> str | None:
    """The team that an incident belongs to already."""
    statement = select(incidents.c.team_node_id).where(
        incidents.c.endpoint_id == endpoint_id, incidents.c.external_id == external_id
    )
    team: str | None = (await connection.execute(statement)).scalar_one_or_none()
    return team


async def insert_event(connection: AsyncConnection, values: dict[str, Any]) -> bool:
    """Puts an event on the incident's record; False if this delivery's is there already."""
    found = await connection.execute(
        insert(incident_events).values(values).on_conflict_do_nothing().returning(incident_events.c.delivery_id)
    )
    return found.first() is not None


async def update_incident(connection: AsyncConnection, incident_id: str, values: dict[str, Any]) -> None:
    """Moves an incident on. `opened_at` only ever moves back: the trigger may arrive after what followed it."""
    if "opened_at" in values:
        values = {**values, "opened_at": func.least(incidents.c.opened_at, values["opened_at"])}
    await connection.execute(
        update(incidents).where(incidents.c.incident_id == incident_id).values(**values, updated_at=func.now())
    )


async def read_incident(connection: AsyncConnection, org_id: str, incident_id: str) -> Incident | None:
    """One incident."""
    statement = select(*_SHOWN).where(incidents.c.org_id == org_id, incidents.c.incident_id == incident_id)
    row = (await connection.execute(statement)).first()
    return _incident(row) if row else None


async def list_incidents(connection: AsyncConnection, org_id: str, before: str | None, limit: int) -> list[Incident]:
    """Incidents newest first, from before the id `before`; one more than `limit`, if there are."""
    statement = select(*_SHOWN).where(incidents.c.org_id == org_id)
    if before is not None:
        statement = statement.where(incidents.c.incident_id < before)
    rows = await connection.execute(statement.order_by(incidents.c.incident_id.desc()).limit(limit + 1))
    return [_incident(row) for row in rows]


def _incident(row: Row[*tuple[Any, ...]]) -> Incident:
    return Incident.model_validate({name: getattr(row, name) for name in Incident.model_fields})
