"""Every SQL statement on recordings."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.dialects.postgresql import insert

from incidentfox.config_service.recordings.tables import recordings
from incidentfox.config_service.session import Session
from incidentfox.contracts.recordings import Recording

_WIRE = [recordings.c[name] for name in Recording.model_fields]


async def insert_recording(session: Session, recording_id: str, content: bytes, size_bytes: int) -> Recording | None:
    """Stores a recording; None when the organisation has it already."""
    statement = (
        insert(recordings)
        .values(
            org_id=session.org_id,
            recording_id=recording_id,
            content=content,
            size_bytes=size_bytes,
            created_by=session.principal.subject,
        )
        .on_conflict_do_nothing()
        .returning(*_WIRE)
    )
    row = (await session.connection.execute(statement)).first()
    return _recording(row) if row else None


async def recording(session: Session, recording_id: str) -> Recording | None:
    """One recording without its content."""
    statement = select(*_WIRE).where(recordings.c.org_id == session.org_id, recordings.c.recording_id == recording_id)
    row = (await session.connection.execute(statement)).first()
    return _recording(row) if row else None


async def content(session: Session, recording_id: str) -> bytes | None:
    """The compressed content of one recording."""
    statement = select(recordings.c.content).where(
        recordings.c.org_id == session.org_id, recordings.c.recording_id == recording_id
    )
    found: bytes | None = (await session.connection.execute(statement)).scalar_one_or_none()
    return found


def _recording(row: Row[Any]) -> Recording:
    return Recording(**row._mapping)
