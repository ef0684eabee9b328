"""Every SQL statement on audit events and their chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Table, delete, func, select
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from incidentfox.config_service.audit.tables import audit_checkpoints, audit_events, audit_seals, audit_unsealed
from incidentfox.config_service.session import Session
from incidentfox.contracts.audit import AuditEvent, AuditFilters, SealedAuditEvent
from incidentfox.kernel.hash_chain import GENESIS, Link, Point

_LOCK_SPACE = 7_226_300_553  # arbitrary, ours: keeps these locks apart from any other advisory lock


async def insert_event(session: Session, event: AuditEvent, event_key: str) -> bool:
    """Puts an event on record; False when its key is taken in the organisation."""
    statement = (
        pg_insert(audit_events)
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


async def newest_events(session: Session, wanted: AuditFilters, before_id: str | None, limit: int) -> list[AuditEvent]:
    """Events older than `before_id`, newest first. `since` counts, `until` does not."""
    table = audit_events.c
    statement = select(audit_events).where(table.org_id == session.org_id)
    for name in ("action", "actor", "target", "team_node_id", "correlation_id"):
        value = getattr(wanted, name)
        if value is not None:
            statement = statement.where(table[name] == value)
    if wanted.since is not None:
        statement = statement.where(table.at >= wanted.since)
    if wanted.until is not None:
        statement = statement.where(table.at < wanted.until)
    if before_id is not None:
        statement = statement.where(table.event_id < before_id)
    rows = await session.connection.execute(statement.order_by(table.event_id.desc()).limit(limit))
    return [_event(row) for row in rows]


async def orgs_with_unsealed(connection: AsyncConnection) -> list[str]:
    """The organisations that wait for the sealer. Needs the sealer's own scope, which shows ids and nothing else."""
    return list((await connection.execute(select(audit_unsealed.c.org_id).distinct())).scalars())


async def lock_chain(session: Session) -> bool:
    """Takes the organisation's chain until the end of the transaction; False when another replica has it."""
    statement = select(func.pg_try_advisory_xact_lock(func.hashtextextended(session.org_id, _LOCK_SPACE)))
    taken: bool = (await session.connection.execute(statement)).scalar_one()
    return taken


async def chain_start(session: Session) -> Point:
    """What the oldest kept link continues: the last pruned link, or the beginning."""
    return await _last_point(session, audit_checkpoints) or GENESIS


async def chain_end(session: Session) -> Point:
    """The newest link."""
    return await _last_point(session, audit_seals) or await chain_start(session)


async def next_unsealed(session: Session, limit: int) -> list[tuple[int, AuditEvent]]:
    """Events that wait to be sealed, in the order in which they were written, each with its position."""
    waiting = audit_unsealed.c
    statement = (
        select(waiting.position, audit_events)
        .join(
            audit_events,
            (audit_events.c.org_id == waiting.org_id) & (audit_events.c.event_id == waiting.event_id),
        )
        .where(waiting.org_id == session.org_id)
        .order_by(waiting.position)
        .limit(limit)
    )
    rows = await session.connection.execute(statement)
    return [(row.position, _event(row)) for row in rows]


async def seal(session: Session, sealed: Sequence[tuple[int, str, Link]]) -> None:
    """Adds links, given as (position, event id, link), and takes their events off the waiting list."""
    links = [{"org_id": session.org_id, "event_id": event_id, **asdict(link)} for _, event_id, link in sealed]
    await session.connection.execute(pg_insert(audit_seals), links)
    positions = [position for position, _, _ in sealed]
    await session.connection.execute(
        delete(audit_unsealed).where(
            audit_unsealed.c.org_id == session.org_id, audit_unsealed.c.position.in_(positions)
        )
    )


async def count_unsealed(session: Session) -> int:
    """Events that no link holds. Counted on the events themselves: the waiting list could have been tampered with."""
    of_event = (audit_seals.c.org_id == audit_events.c.org_id) & (audit_seals.c.event_id == audit_events.c.event_id)
    statement = select(func.count()).where(
        audit_events.c.org_id == session.org_id, ~select(audit_seals.c.seq).where(of_event).exists()
    )
    counted: int = (await session.connection.execute(statement)).scalar_one()
    return counted


async def links_between(session: Session, after: int, upto: int, limit: int) -> list[SealedAuditEvent]:
    """The links after `after` up to `upto` in order, each with its event, or None where that is gone."""
    table = audit_seals.c
    statement = (
        select(table.seq, table.previous_hash, table.hash, audit_events)
        .outerjoin(audit_events, (audit_events.c.org_id == table.org_id) & (audit_events.c.event_id == table.event_id))
        .where(table.org_id == session.org_id, table.seq > after, table.seq <= upto)
        .order_by(table.seq)
        .limit(limit)
    )
    rows = await session.connection.execute(statement)
    return [
        SealedAuditEvent(
            seq=row.seq,
            previous_hash=row.previous_hash,
            hash=row.hash,
            event=_event(row) if row.event_id is not None else None,
        )
        for row in rows
    ]


async def span_of_time(session: Session, since: datetime | None, until: datetime | None) -> tuple[Point, Point] | None:
    """The unbroken part of the chain that holds every event of a span of time, as (start, end); None: there is none."""
    of_event = (audit_seals.c.org_id == audit_events.c.org_id) & (audit_seals.c.event_id == audit_events.c.event_id)
    statement = select(func.min(audit_seals.c.seq), func.max(audit_seals.c.seq)).where(
        audit_seals.c.org_id == session.org_id, of_event
    )
    if since is not None:
        statement = statement.where(audit_events.c.at >= since)
    if until is not None:
        statement = statement.where(audit_events.c.at < until)
    first, last = (await session.connection.execute(statement)).one()
    if first is None:
        return None
    columns = (audit_seals.c.seq, audit_seals.c.previous_hash, audit_seals.c.hash)
    ends = select(*columns).where(audit_seals.c.org_id == session.org_id, audit_seals.c.seq.in_((first, last)))
    rows = sorted((await session.connection.execute(ends)).all())
    return Point(first - 1, rows[0].previous_hash), Point(last, rows[-1].hash)


async def _last_point(session: Session, table: Table) -> Point | None:
    statement = select(table.c.seq, table.c.hash).where(table.c.org_id == session.org_id)
    row = (await session.connection.execute(statement.order_by(table.c.seq.desc()).limit(1))).first()
    return Point(row.seq, row.hash) if row else None


def _event(row: Row[Any]) -> AuditEvent:
    return AuditEvent(**{name: row._mapping[name] for name in AuditEvent.model_fields})
