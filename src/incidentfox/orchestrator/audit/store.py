"""Every SQL statement about audit events on their way."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from incidentfox.orchestrator.audit.tables import audit_outbox


async def insert_event(connection: AsyncConnection, event_id: str, org_id: str, event: dict[str, Any]) -> None:
    """Adds an event."""
    await connection.execute(insert(audit_outbox).values(event_id=event_id, org_id=org_id, event=event))


async def read_event(connection: AsyncConnection, event_id: str) -> dict[str, Any] | None:
    """One event; None once it has been handed over."""
    statement = select(audit_outbox.c.event).where(audit_outbox.c.event_id == event_id)
    event: dict[str, Any] | None = (await connection.execute(statement)).scalar_one_or_none()
    return event


async def delete_event(connection: AsyncConnection, event_id: str) -> None:
    """Forgets an event that was handed over."""
    await connection.execute(delete(audit_outbox).where(audit_outbox.c.event_id == event_id))
