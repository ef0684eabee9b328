"""Routes of captures, and of a run as a recording."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from incidentfox.config_service.captures import service
from incidentfox.config_service.dependencies import RunPath, org_session, service_session
from incidentfox.config_service.session import Session
from incidentfox.contracts.captures import Capture, CaptureContent, KeepCapture
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.recordings import RecordingContent
from incidentfox.kernel.web.strict_json import StrictRoute

router = APIRouter(prefix="/api/v1", tags=["captures"], route_class=StrictRoute)

CapturePath = Annotated[str, Path(pattern=r"^sha256:[0-9a-f]{64}$", description="The capture's id.")]


@router.get("/orgs/{org_id}/runs/{run_id}/recording")
async def read_run_recording(
    session: Annotated[Session, org_session(Permission.RUNS_READ)], run_id: RunPath
) -> RecordingContent:
    """The run as a recording: its alert and what it read, redacted. Uploaded again, it can be investigated again."""
    return await service.run_recording(session, run_id)


@router.post("/internal/runs/{run_id}/captures", status_code=201)
async def keep_capture(
    session: Annotated[Session, service_session(Permission.RUNS_WRITE)], run_id: RunPath, capture: KeepCapture
) -> Capture:
    """Keeps what a run read, up to 16 MiB of JSON; the same content twice is one capture."""
    return await service.keep(session, run_id, capture)


@router.get("/internal/runs/{run_id}/captures/{capture_id}")
async def read_capture(
    session: Annotated[Session, service_session(Permission.RUNS_READ)], run_id: RunPath, capture_id: CapturePath
) -> CaptureContent:
    """The files of a capture, for the agent that replays the run."""
    return await service.read_capture(session, run_id, capture_id)
