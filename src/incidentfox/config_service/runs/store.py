"""Every SQL statement on runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, func, select, update
from sqlalchemy.dialects.postgresql import insert

from incidentfox.config_service.runs.tables import agent_runs
from incidentfox.config_service.session import Session
from incidentfox.contracts.runs import CreateRun, FinishRun, Run, RunStatus

PURGE = "SELECT config_purge($1, $2, $3)"
"""Takes what is over and older than $1 (runs, with all that hangs on them), captures older than $2, and sign-in codes
and idempotency keys that are worth nothing any more; about $3 of each at most."""
PURGED_AT_ONCE = 200

_WIRE = [agent_runs.c[name] for name in Run.model_fields]


@dataclass(frozen=True)
class LockedRun:
    """A run whose row is held until the end of the transaction: its writers take turns."""

    run: Run
    last_seq: int
    fingerprint: str
    ending: str | None


async def insert_run(session: Session, request: CreateRun, fingerprint: str) -> Run | None:
    """Inserts a queued run; None when its id is taken in the organisation."""
    statement = (
        insert(agent_runs)
        .values(
            org_id=session.org_id,
            fingerprint=fingerprint,
            usage={},
            created_by=session.principal.subject,
            input=request.input.model_dump(mode="json", by_alias=True),
            **request.model_dump(exclude={"input", "timeline"}),
        )
        .on_conflict_do_nothing()
        .returning(*_WIRE)
    )
    row = (await session.connection.execute(statement)).first()
    return _run(row) if row else None


async def run(session: Session, run_id: str) -> Run | None:
    """One run, if this tenant may see it."""
    statement = select(*_WIRE).where(agent_runs.c.org_id == session.org_id, agent_runs.c.run_id == run_id)
    row = (await session.connection.execute(statement)).first()
    return _run(row) if row else None


async def lock_run(session: Session, run_id: str) -> LockedRun | None:
    """One run with its row held, if this tenant may see it."""
    table = agent_runs.c
    statement: Select[Any] = (
        select(*_WIRE, table.last_seq, table.fingerprint, table.ending)
        .where(table.org_id == session.org_id, table.run_id == run_id)
        .with_for_update()
    )
    row = (await session.connection.execute(statement)).first()
    return LockedRun(_run(row), row.last_seq, row.fingerprint, row.ending) if row else None


async def newest_runs(
    session: Session, team_node_id: str | None, status: RunStatus | None, before_id: str | None, limit: int
) -> list[Run]:
    """Runs older than `before_id`, newest first."""
    table = agent_runs.c
    statement = select(*_WIRE).where(table.org_id == session.org_id)
    if team_node_id is not None:
        statement = statement.where(table.team_node_id == team_node_id)
    if status is not None:
        statement = statement.where(table.status == status)
    if before_id is not None:
        statement = statement.where(table.run_id < before_id)
    rows = await session.connection.execute(statement.order_by(table.run_id.desc()).limit(limit))
    return [_run(row) for row in rows]


async def start(session: Session, run_id: str, config_hash: str) -> Run:
    """queued → running."""
    return await _change(session, run_id, status=RunStatus.RUNNING, config_hash=config_hash, started_at=func.now())


async def finish(session: Session, run_id: str, finished: FinishRun, ending: str) -> Run:
    """→ a final state."""
    answer = finished.answer.model_dump(mode="json", by_alias=True) if finished.answer else None
    return await _change(
        session,
        run_id,
        status=finished.status,
        answer=answer,
        error=finished.error,
        usage=finished.usage.model_dump(mode="json"),
        ending=ending,
        finished_at=func.now(),
    )


async def advance_seq(session: Session, run_id: str, last_seq: int) -> None:
    """Notes the last number given out on the run's timeline. The caller holds the row."""
    await _change(session, run_id, last_seq=last_seq)


async def _change(session: Session, run_id: str, **values: Any) -> Run:
    statement = (
        update(agent_runs)
        .where(agent_runs.c.org_id == session.org_id, agent_runs.c.run_id == run_id)
        .values(values)
        .returning(*_WIRE)
    )
    return _run((await session.connection.execute(statement)).one())


def _run(row: Row[Any]) -> Run:
    return Run(**{name: row._mapping[name] for name in Run.model_fields})
