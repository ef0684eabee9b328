"""Drops the oldest part of an organisation's audit, as the owner of the tables, and keeps the chain verifiable.

Only a sealed prefix that is found whole is dropped. Its last link stays as a checkpoint, which the rest of the chain
continues; and that it was dropped is an event of the chain itself. The services' own roles can do none of this.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from incidentfox.contracts.audit import AuditEvent
from incidentfox.kernel.clock import utc_now
from incidentfox.kernel.db.session import asyncpg_url
from incidentfox.kernel.errors import Conflict
from incidentfox.kernel.hash_chain import GENESIS, Link, Point, Verifier
from incidentfox.kernel.ids import new_id

_BATCH = 5_000  # links of one transaction: what is interrupted goes on where it stopped


@dataclass(frozen=True)
class Pruned:
    """What was dropped: how many events, and the last of them, where the chain begins now."""

    events: int
    start: Point


async def prune_audit(owner_url: str, org_id: str, before: datetime) -> Pruned:
    """Drops the sealed events of before `before`, up to the first that is younger or not sealed.

    Raises Conflict when the part to be dropped is not whole: it is evidence then, and stays.
    """
    engine = create_async_engine(asyncpg_url(owner_url), poolclass=NullPool)
    events = 0
    try:
        while True:
            async with engine.begin() as connection:
                batch = await connection.run_sync(_prune_batch, org_id, before)
            events += batch.events
            if batch.events < _BATCH:
                return Pruned(events, batch.start)
    finally:
        await engine.dispose()


def _prune_batch(connection: Connection, org_id: str, before: datetime) -> Pruned:
    of_org = {"org_id": org_id}
    connection.execute(
        text(
            "SELECT set_config('incidentfox.org_id', :org_id, true), set_config('incidentfox.team_node_id', '*', true)"
        ),
        of_org,
    )
    start = _start(connection, org_id)
    rows = connection.execute(
        text(
            "SELECT s.seq, s.previous_hash, s.hash, e.* FROM config_audit_seals s"
            " LEFT JOIN config_audit_events e ON e.org_id = s.org_id AND e.event_id = s.event_id"
            " WHERE s.org_id = :org_id ORDER BY s.seq LIMIT :batch"
        ),
        {**of_org, "batch": _BATCH},
    )
    verifier, events = Verifier(start), 0
    for row in rows:
        event = _event(row)
        if event is not None and event.at >= before:
            break
        broken = verifier.check(
            Link(row.seq, row.previous_hash, row.hash), event.model_dump(mode="json") if event else None
        )
        if broken is not None:
            raise Conflict(
                f"The chain is broken at link {broken.seq}: {broken.reason}. Nothing more is dropped, since it is"
                " evidence now. Export it, and find out what happened.",
                code="audit_chain_broken",
            )
        events += 1
    if events:
        _drop(connection, org_id, Pruned(events, verifier.last))
    return Pruned(events, verifier.last)


def _start(connection: Connection, org_id: str) -> Point:
    row = connection.execute(
        text("SELECT seq, hash FROM config_audit_checkpoints WHERE org_id = :org_id ORDER BY seq DESC LIMIT 1"),
        {"org_id": org_id},
    ).first()
    return Point(row.seq, row.hash) if row else GENESIS


def _drop(connection: Connection, org_id: str, pruned: Pruned) -> None:
    values = {"org_id": org_id, "seq": pruned.start.seq, "hash": pruned.start.hash, "events": pruned.events}
    connection.execute(
        text("INSERT INTO config_audit_checkpoints (org_id, seq, hash, events) VALUES (:org_id, :seq, :hash, :events)"),
        values,
    )
    connection.execute(
        text(
            "DELETE FROM config_audit_events e USING config_audit_seals s WHERE s.org_id = :org_id AND s.seq <= :seq"
            " AND e.org_id = s.org_id AND e.event_id = s.event_id"
        ),
        values,
    )
    connection.execute(text("DELETE FROM config_audit_seals WHERE org_id = :org_id AND seq <= :seq"), values)
    event_id = new_id("aud")
    connection.execute(
        text(
            "INSERT INTO config_audit_events"
            " (org_id, event_id, event_key, at, actor, action, target, after_hash, detail)"
            " VALUES (:org_id, :event_id, :event_id, :at, 'owner:' || current_user, 'audit.pruned', :org_id, :hash,"
            " CAST(:detail AS jsonb))"
        ),
        {
            **values,
            "event_id": event_id,
            "at": utc_now(),
            "detail": json.dumps({"upto": pruned.start.seq, "events": pruned.events}),
        },
    )


def _event(row: Any) -> AuditEvent | None:
    if row.event_id is None:
        return None
    return AuditEvent(**{name: row._mapping[name] for name in AuditEvent.model_fields})
