"""Captures: what a run read from live telemetry, redacted and in the form of a recording, so that it can be replayed.

A run on a recording has none: the recording itself is kept.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import StringConstraints

from incidentfox.contracts.model import WireModel
from incidentfox.contracts.recordings import RecordingFile

MAX_CAPTURE_BYTES = 16 * 1024 * 1024
"""The limit of one capture: 16 MiB of JSON."""
MAX_RUN_CAPTURE_BYTES = 64 * 1024 * 1024
"""The limit of all captures of one run."""

CaptureId = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
"""`sha256:<hex>` of the capture's canonical JSON."""


class TelemetryRead(WireModel):
    """One read of one signal by a tool call: what it gave, or the failure that it met.

    `capture_id` is None where there is a failure, and where what was read was too large to be kept.
    """

    signal: str
    capture_id: CaptureId | None = None
    code: str | None = None
    detail: str | None = None


class KeepCapture(WireModel):
    """The files of one signal, as a recording holds them."""

    files: dict[RecordingFile, str]


class Capture(WireModel):
    """A capture on record."""

    run_id: str
    capture_id: CaptureId
    size_bytes: int
    created_at: datetime


class CaptureContent(WireModel):
    """A capture with its files; what a replay reads."""

    capture_id: CaptureId
    files: dict[RecordingFile, str]
