"""What a recording may hold when it is stored: no secret. Pure."""

from __future__ import annotations

import json

from incidentfox.contracts.recordings import RecordingFile, UploadRecording
from incidentfox.kernel.redaction import redact, redact_text, suspects


def without_secrets(recording: UploadRecording) -> UploadRecording:
    """The recording with every secret replaced; one that holds none comes out as it went in, byte for byte."""
    return UploadRecording(files={name: _clean(name, text) for name, text in recording.files.items()})


def _clean(name: RecordingFile, text: str) -> str:
    if not suspects(text):
        return text
    if name.endswith(".json"):
        return _clean_json(text)
    clean = _clean_json if name.endswith(".ndjson") else redact_text
    return "".join(clean(line) if suspects(line) else line for line in text.splitlines(keepends=True))


def _clean_json(text: str) -> str:
    """As values, not as text: what is taken out of JSON text may be a part of its syntax."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return redact_text(text)
    clean = redact(value)
    if clean == value:
        return text
    return json.dumps(clean, ensure_ascii=False) + ("\n" if text.endswith("\n") else "")
