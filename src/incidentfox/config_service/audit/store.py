"""Every SQL statement on audit events and their chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, ScalarSelect, Select, Table, delete, func, select, tuple_, union
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from incidentfox.config_service.audit.tables import audit_checkpoints, audit_events, audit_seals, audit_unsealed
from incidentfox.config_service.session import Session
from incidentfox.contracts.audit import AuditEvent, AuditFilters, SealedAuditEvent
from incidentfox.kernel.hash_chain import GENESIS, Link, Point

_LATE_BY = timedelta(minutes=1)  # by which an event may be committed, and so sealed, after one that says it is younger
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
    rows = await session.connection.execute(search(session, wanted, before_id).limit(limit))
    return [_event(row) for row in rows]


def search(session: Session, wanted: AuditFilters, before_id: str | None) -> Select[Any]:
    """The statement of a search: by id, which is the order of each index (migration 0014).

    Within a span of time by time: else Postgres, which cannot know that ids follow time, would read everything that is
    newer than the span.
    """
    table = audit_events.c
    statement = select(audit_events).where(table.org_id == session.org_id)
    by_time = wanted.since is not None or wanted.until is not None
    for name in ("action", "actor", "target", "team_node_id", "correlation_id"):
        value = getattr(wanted, name)
        if value is not None:
            statement = statement.where(table[name] == value)
    if wanted.since is not None:
        statement = statement.where(table.at >= wanted.since)
    if wanted.until is not None:
        statement = statement.where(table.at < wanted.until)
    if before_id is not None:
        older = tuple_(table.at, table.event_id) < tuple_(_time_of(session, before_id), before_id)
        statement = statement.where(older if by_time else table.event_id < before_id)
    return statement.order_by(*((table.at.desc(),) if by_time else ()), table.event_id.desc())


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
        .join(audit_events, _same_event(audit_unsealed))
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
    """Events that no link holds: those that wait, and those whose links were cut off the end of the chain.

    The database keeps an event on the waiting list until it is sealed (migration 0014), so this compares what waits and
    the newest events, and not all of them with all links. A link that is missing further back is found by its number.
    """
    last = select(audit_seals.c.event_id).where(audit_seals.c.org_id == session.org_id)
    end = last.order_by(audit_seals.c.seq.desc()).limit(1).scalar_subquery()
    at_end = (await session.connection.execute(select(_time_of(session, end)))).scalar_one()
    of_org = audit_events.c.org_id == session.org_id
    waiting = (
        select(audit_events.c.event_id)
        .join(audit_unsealed, _same_event(audit_unsealed))
        .where(of_org, audit_unsealed.c.org_id == session.org_id, ~_is_sealed())
    )
    newest = select(audit_events.c.event_id).where(of_org, ~_is_sealed())
    if at_end is not None:
        newest = newest.where(audit_events.c.at >= at_end - _LATE_BY)
    statement = select(func.count()).select_from(union(waiting, newest).subquery())
    counted: int = (await session.connection.execute(statement)).scalar_one()
    return counted


async def links_between(session: Session, after: int, upto: int, limit: int) -> list[SealedAuditEvent]:
    """The links after `after` up to `upto` in order, each with its event, or None where that is gone."""
    table = audit_seals.c
    statement = (
        select(table.seq, table.previous_hash, table.hash, audit_events)
        .outerjoin(audit_events, _same_event(audit_seals))
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
    statement = select(func.min(audit_seals.c.seq), func.max(audit_seals.c.seq)).where(
        audit_seals.c.org_id == session.org_id, _same_event(audit_seals)
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


def _time_of(session: Session, event_id: Any) -> ScalarSelect[datetime]:
    """When an event happened, given its id or what selects that; NULL where it is not there."""
    found = audit_events.alias()
    statement = select(found.c.at).where(found.c.org_id == session.org_id, found.c.event_id == event_id)
    return statement.scalar_subquery()


def _same_event(table: Table) -> ColumnElement[bool]:
    return (table.c.org_id == audit_events.c.org_id) & (table.c.event_id == audit_events.c.event_id)


def _is_sealed() -> ColumnElement[bool]:
    return select(audit_seals.c.seq).where(_same_event(audit_seals)).exists()


async def _last_point(session: Session, table: Table) -> Point | None:
    statement = select(table.c.seq, table.c.hash).where(table.c.org_id == session.org_id)
    row = (await session.connection.execute(statement.order_by(table.c.seq.desc()).limit(1))).first()
    return Point(row.seq, row.hash) if row else None


def _event(row: Row[Any]) -> AuditEvent:
    return AuditEvent(**{name: row._mapping[name] for name in AuditEvent.model_fields})
