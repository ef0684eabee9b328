"""Every SQL statement on run events."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Row, Select, func, insert, or_, select

from incidentfox.config_service.session import Session
from incidentfox.config_service.timeline.tables import CHANNEL, run_events
from incidentfox.contracts.events import AppendRunEvent, RunEvent, RunEventType
from incidentfox.contracts.runs import Run

_WIRE = [run_events.c[name] for name in RunEvent.model_fields]


async def known_events(session: Session, run_id: str, keys: Collection[str]) -> dict[str, RunEvent]:
    """The events that are there already, by key; the run's ending whatever its key."""
    table = run_events.c
    statement: Select[Any] = select(*_WIRE, table.event_key).where(
        table.org_id == session.org_id,
        table.run_id == run_id,
        or_(table.event_key.in_(keys), table.type == RunEventType.RUN_FINISHED),
    )
    return {row.event_key: _event(row) for row in await session.connection.execute(statement)}


async def insert_events(session: Session, run: Run, first_seq: int, events: Sequence[AppendRunEvent]) -> None:
    """Appends events from `first_seq` on and tells the readers at commit. The caller holds the run's row."""
    rows = [
        {
            "org_id": run.org_id,
            "run_id": run.run_id,
            "seq": first_seq + offset,
            "team_node_id": run.team_node_id,
            "event_key": event.event_key,
            "type": event.type,
            "at": event.at,
            "data": event.data,
        }
        for offset, event in enumerate(events)
    ]
    await session.connection.execute(insert(run_events), rows)
    await session.connection.execute(select(func.pg_notify(CHANNEL, run.run_id)))


async def events_after(session: Session, run_id: str, after: int, limit: int) -> list[RunEvent]:
    """The timeline after `seq` = `after`."""
    table = run_events.c
    statement = (
        select(*_WIRE)
        .where(table.org_id == session.org_id, table.run_id == run_id, table.seq > after)
        .order_by(table.seq)
        .limit(limit)
    )
    return [_event(row) for row in await session.connection.execute(statement)]


async def ended_by(session: Session, run_id: str, seq: int) -> bool:
    """Whether the run's ending stands at `seq` or before."""
    table = run_events.c
    statement = select(table.seq).where(
        table.org_id == session.org_id,
        table.run_id == run_id,
        table.type == RunEventType.RUN_FINISHED,
        table.seq <= seq,
    )
    return (await session.connection.execute(statement)).first() is not None


def _event(row: Row[Any]) -> RunEvent:
    return RunEvent(**{name: row._mapping[name] for name in RunEvent.model_fields})
