"""Keeps recorded incidents by their content."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import zlib

from incidentfox.config_service.audit.service import Fact, record
from incidentfox.config_service.recordings import store
from incidentfox.config_service.recordings.rules import without_secrets
from incidentfox.config_service.session import Session
from incidentfox.contracts.recordings import Recording, RecordingContent, UploadRecording
from incidentfox.kernel.crypto import canonical_json
from incidentfox.kernel.errors import IntegrityFailure, NotFound


async def upload(session: Session, request: UploadRecording) -> Recording:
    """Stores a recording under the hash of its canonical JSON; the same content twice is one recording.

    What is stored, and hashed, is the recording without secrets.
    """
    # Megabytes of JSON: redacting, hashing and compressing leave the event loop to the other requests.
    recording_id, size_bytes, content = await asyncio.to_thread(lambda: pack(without_secrets(request)))
    created = await store.insert_recording(session, recording_id, content, size_bytes)
    if created is not None:
        await record(
            session, Fact("recording.uploaded", recording_id, after_hash=recording_id, detail={"bytes": size_bytes})
        )
        return created
    existing = await store.recording(session, recording_id)
    assert existing is not None, "a recording that conflicts is the organisation's own"
    return existing


async def read(session: Session, recording_id: str) -> RecordingContent:
    """A recording with its files; NotFound when the organisation has none of this id."""
    content = await store.content(session, recording_id)
    if content is None:
        raise NotFound(f"There is no recording {recording_id} here for you.", code="recording_not_found")
    files = await asyncio.to_thread(unpack, recording_id, content)
    return RecordingContent(recording_id=recording_id, files=files.files)


def pack(request: UploadRecording) -> tuple[str, int, bytes]:
    """(id, length of the canonical JSON, its gzip). Slow for megabytes: call it in a thread."""
    document = canonical_json(request.model_dump(mode="json"))
    return _id(document), len(document), gzip.compress(document, compresslevel=6, mtime=0)


def unpack(recording_id: str, content: bytes) -> UploadRecording:
    """The files; IntegrityFailure when the content is not the one that its id names."""
    try:
        document = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise IntegrityFailure(f"The recording {recording_id} is damaged.") from error
    if _id(document) != recording_id:
        raise IntegrityFailure(f"The recording {recording_id} is not what it was.")
    return UploadRecording.model_validate_json(document)


def _id(document: bytes) -> str:
    return "sha256:" + hashlib.sha256(document).hexdigest()
