"""Recorded incidents: telemetry and changes frozen as files, investigated like a live system."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import StringConstraints

from incidentfox.contracts.model import OrgId, WireModel

MAX_RECORDING_BYTES = 16 * 1024 * 1024
"""The limit of one upload: 16 MiB of JSON."""

RecordingFile = Literal[
    "alert.json",
    "logs.ndjson",
    "metrics.csv",
    "traces.json",
    "patterns.json",
    "status_feed.json",
    "database_sessions.json",
    "context/commits.json",
    "context/deploys.json",
    "context/flags.json",
]
"""The files that a recording may hold. The answer (`truth.json`) is not among them, so it cannot be uploaded."""


class UploadRecording(WireModel):
    """A recording as text by file name. Absent files mean: that kind of signal was not recorded."""

    files: dict[RecordingFile, str]


class Recording(WireModel):
    """An uploaded recording. `recording_id` is `sha256:<hex>` of its canonical JSON: the same content has one id."""

    recording_id: Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
    org_id: OrgId
    size_bytes: int
    created_at: datetime


class RecordingContent(WireModel):
    """A recording with its files; what the agent reads."""

    recording_id: str
    files: dict[RecordingFile, str]
