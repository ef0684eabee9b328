"""Keeps what runs read from live telemetry, by its content, and hands out a run as a recording.

`recordings/service.py` packs and unpacks: a capture is a recording of one signal.
"""

from __future__ import annotations

import asyncio

from incidentfox.config_service.captures import store
from incidentfox.config_service.configuration.service import effective_of_run
from incidentfox.config_service.recordings.service import pack, read, unpack
from incidentfox.config_service.runs.rules import run_not_found
from incidentfox.config_service.runs.store import lock_run, run
from incidentfox.config_service.session import Session
from incidentfox.contracts.captures import MAX_RUN_CAPTURE_BYTES, Capture, CaptureContent, KeepCapture
from incidentfox.contracts.recordings import RecordingContent, RecordingFile, UploadRecording
from incidentfox.contracts.runs import FINISHED, AlertInput, Run
from incidentfox.kernel.errors import Conflict, Gone, NotFound, TooLarge, Unprocessable

ALERT_FILE: RecordingFile = "alert.json"


async def keep(session: Session, run_id: str, request: KeepCapture) -> Capture:
    """Stores a capture under the hash of its canonical JSON; the same content twice is one capture.

    Raises TooLarge beyond the run's limit and Conflict for a run that is over.
    """
    if not request.files:
        raise Unprocessable("A capture holds at least one file.", code="empty_capture")
    capture_id, size_bytes, content = await asyncio.to_thread(pack, UploadRecording(files=request.files))
    held = await lock_run(session, run_id)
    if held is None:
        raise run_not_found(run_id)
    existing = await store.capture(session, run_id, capture_id)
    if existing is not None:
        return existing
    if held.run.status in FINISHED:
        raise Conflict(f"The run {run_id} is over: {held.run.status.value}.", code="run_finished")
    kept = await store.kept(session, run_id)
    if kept.size_bytes + size_bytes > MAX_RUN_CAPTURE_BYTES:
        raise TooLarge(f"The captures of one run may have {MAX_RUN_CAPTURE_BYTES} bytes.", code="captures_too_large")
    return await store.insert_capture(session, held.run, capture_id, kept.captures + 1, content, size_bytes)


async def read_capture(session: Session, run_id: str, capture_id: str) -> CaptureContent:
    """A capture with its files; NotFound when this tenant has none of this id, or has it no longer."""
    content = await store.content(session, run_id, capture_id)
    if content is None:
        raise NotFound(
            f"There is no capture {capture_id} of {run_id} here; captures are kept for a limited time.",
            code="capture_not_found",
        )
    unpacked = await asyncio.to_thread(unpack, capture_id, content)
    return CaptureContent(capture_id=capture_id, files=unpacked.files)


async def run_recording(session: Session, run_id: str) -> RecordingContent:
    """The run as a recording: its alert, and what it read. Raises Gone where that is not on record (any more)."""
    found = await run(session, run_id)
    if found is None:
        raise run_not_found(run_id)
    if found.input.alert is None:
        raise Unprocessable(
            f"The run {run_id} answered a question, not an alert: there is no incident to record.",
            code="run_without_alert",
        )
    files = await _signals(session, found)
    if not files:
        raise Gone(
            f"Nothing that the run {run_id} read is on record: it read no telemetry, or its captures have aged out.",
            code="captures_gone",
        )
    files[ALERT_FILE] = _alert_json(found.input.alert)
    recording_id, _, _ = await asyncio.to_thread(pack, UploadRecording(files=files))
    return RecordingContent(recording_id=recording_id, files=files)


async def _signals(session: Session, found: Run) -> dict[RecordingFile, str]:
    recording_id = found.input.recording_id or await _configured_recording(session, found)
    if recording_id is not None:
        return dict((await read(session, recording_id)).files)
    files: dict[RecordingFile, str] = {}
    for capture_id, content in await store.contents(session, found.run_id):
        # A signal that was read twice (a database's sessions) is recorded as it was last.
        files |= (await asyncio.to_thread(unpack, capture_id, content)).files
    return files


async def _configured_recording(session: Session, found: Run) -> str | None:
    """The recording that the run's pinned configuration named instead of live telemetry."""
    if found.config_hash is None:
        return None
    pinned = await effective_of_run(session, found.team_node_id, found.config_hash)
    telemetry = pinned.document.integrations.telemetry
    return telemetry.recording_id if telemetry.backend == "recording" else None


def _alert_json(alert: AlertInput) -> str:
    return alert.model_dump_json(indent=2, exclude={"title", "url"}, exclude_none=True) + "\n"
