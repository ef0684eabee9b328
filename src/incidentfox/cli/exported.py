"""A run as a folder on this machine, in the form of a recorded incident; used by `incidentfox run export`."""

from __future__ import annotations

from pathlib import Path

from incidentfox.contracts.recordings import RecordingContent
from incidentfox.kernel.errors import Permanent


def write_recording(folder: Path, recording: RecordingContent) -> list[str]:
    """Writes the files; their names. Nothing is overwritten: the folder must be new or empty.

    The names come from the closed list of `contracts.recordings`, so none of them leads out of the folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise Permanent(f"{folder} is not empty. Name a new folder.", code="folder_not_empty")
        for name, text in recording.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise Permanent(f"{folder} cannot be written: {error.strerror}.", code="folder_not_writable") from error
    return sorted(recording.files)
