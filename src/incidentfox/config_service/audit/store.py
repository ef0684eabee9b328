"""Every SQL statement on audit events."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.dialects.postgresql import insert

from incidentfox.config_service.audit.tables import audit_events
from incidentfox.config_service.session import Session
from incidentfox.contracts.audit import AuditEvent


async def insert_event(session: Session, event: AuditEvent, event_key: str) -> bool:
    """Puts an event on record; False when its key is taken in the organisation."""
    statement = (
        insert(audit_events)
        .values(event_key=event_key, **event.model_dump())
        .on_conflict_do_nothing(index_elements=["org_id", "event_key"])
        .returning(audit_events.c.event_id)
    )
    return (await session.connection.execute(statement)).first() is not None


async def event_by_key(session: Session, event_key: str) -> AuditEvent | None:
    """The event with this key, if this tenant may see it."""
    statement = select(audit_events).where(
        audit_events.c.org_id == session.org_id, audit_events.c.event_key == event_key
    )
    row = (await session.connection.execute(statement)).first()
    return _event(row) if row else None


async def newest_events(session: Session, action: str | None, before_id: str | None, limit: int) -> list[AuditEvent]:
    """Events older than `before_id`, newest first."""
    statement = select(audit_events).where(audit_events.c.org_id == session.org_id)
    if action is not None:
        statement = statement.where(audit_events.c.action == action)
    if before_id is not None:
        statement = statement.where(audit_events.c.event_id < before_id)
    rows = await session.connection.execute(statement.order_by(audit_events.c.event_id.desc()).limit(limit))
    return [_event(row) for row in rows]


def _event(row: Row[Any]) -> AuditEvent:
    values = dict(row._mapping)
    del values["event_key"]
    return AuditEvent(**values)
