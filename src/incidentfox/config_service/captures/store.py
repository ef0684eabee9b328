"""Every SQL statement on captures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, func, insert, select

from incidentfox.config_service.captures.tables import run_captures
from incidentfox.config_service.session import Session
from incidentfox.contracts.captures import Capture
from incidentfox.contracts.runs import Run

_WIRE = [run_captures.c[name] for name in Capture.model_fields]


@dataclass(frozen=True)
class Kept:
    """What a run has on record so far."""

    captures: int
    size_bytes: int


async def capture(session: Session, run_id: str, capture_id: str) -> Capture | None:
    """One capture without its content."""
    table = run_captures.c
    statement = select(*_WIRE).where(
        table.org_id == session.org_id, table.run_id == run_id, table.capture_id == capture_id
    )
    row = (await session.connection.execute(statement)).first()
    return _capture(row) if row else None


async def kept(session: Session, run_id: str) -> Kept:
    """How much of the run is on record."""
    table = run_captures.c
    statement = select(func.count(), func.coalesce(func.sum(table.size_bytes), 0)).where(
        table.org_id == session.org_id, table.run_id == run_id
    )
    captures, size_bytes = (await session.connection.execute(statement)).one()
    return Kept(int(captures), int(size_bytes))


async def insert_capture(
    session: Session, run: Run, capture_id: str, seq: int, content: bytes, size_bytes: int
) -> Capture:
    """Stores a capture. The caller holds the run's row and knows that it is not there yet."""
    statement = (
        insert(run_captures)
        .values(
            org_id=run.org_id,
            run_id=run.run_id,
            capture_id=capture_id,
            team_node_id=run.team_node_id,
            seq=seq,
            content=content,
            size_bytes=size_bytes,
        )
        .returning(*_WIRE)
    )
    return _capture((await session.connection.execute(statement)).one())


async def content(session: Session, run_id: str, capture_id: str) -> bytes | None:
    """The compressed content of one capture."""
    table = run_captures.c
    statement = select(table.content).where(
        table.org_id == session.org_id, table.run_id == run_id, table.capture_id == capture_id
    )
    found: bytes | None = (await session.connection.execute(statement)).scalar_one_or_none()
    return found


async def contents(session: Session, run_id: str) -> list[tuple[str, bytes]]:
    """(id, compressed content) of all captures of a run, in the order in which it read them."""
    table = run_captures.c
    statement = (
        select(table.capture_id, table.content)
        .where(table.org_id == session.org_id, table.run_id == run_id)
        .order_by(table.seq)
    )
    return [(row.capture_id, row.content) for row in await session.connection.execute(statement)]


def _capture(row: Row[Any]) -> Capture:
    return Capture(**row._mapping)
