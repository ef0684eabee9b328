"""Routes of recordings."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from incidentfox.config_service.dependencies import org_write, service_session
from incidentfox.config_service.recordings import service
from incidentfox.config_service.session import Session
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.recordings import Recording, RecordingContent, UploadRecording
from incidentfox.kernel.web.strict_json import StrictRoute

router = APIRouter(prefix="/api/v1", tags=["recordings"], route_class=StrictRoute)

RecordingPath = Annotated[str, Path(pattern=r"^sha256:[0-9a-f]{64}$", description="The recording's id.")]


@router.post("/orgs/{org_id}/recordings", status_code=201)
async def upload_recording(
    session: Annotated[Session, org_write(Permission.RECORDINGS_WRITE)], recording: UploadRecording
) -> Recording:
    """Uploads a recording of up to 16 MiB of JSON; the same content twice is one recording."""
    return await service.upload(session, recording)


@router.get("/internal/recordings/{recording_id}")
async def read_recording(
    session: Annotated[Session, service_session(Permission.RUNS_READ)], recording_id: RecordingPath
) -> RecordingContent:
    """The files of a recording, for the agent that investigates it."""
    return await service.read(session, recording_id)
