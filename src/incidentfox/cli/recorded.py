"""A recorded incident as a folder on this machine: read, checked and made ready to be uploaded.

Used by `incidentfox investigate` and `incidentfox evaluate`. Only the files that a recording may hold are opened
(`contracts.recordings.RecordingFile`); `truth.json` is not among them.

    RecordingProblem               permanent: the folder cannot be investigated; the message says what to do
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from incidentfox.contracts.recordings import MAX_RECORDING_BYTES, RecordingFile, UploadRecording
from incidentfox.kernel.errors import Permanent

ALERT_FILE: RecordingFile = "alert.json"
FILES: tuple[RecordingFile, ...] = get_args(RecordingFile)
METRIC_COLUMNS = frozenset({"timestamp", "service", "metric", "value"})

Severity = Literal["critical", "error", "warning", "info"]
_SEVERITY_WORDS: Mapping[Severity, tuple[str, ...]] = {
    "critical": ("critical", "fatal", "emergency", "page", "sev0", "sev1", "p0", "p1"),
    "error": ("high", "error", "major", "sev2", "p2"),
    "warning": ("medium", "warning", "warn", "minor", "sev3", "p3"),
    "info": ("low", "info", "notice", "none", "sev4", "sev5", "p4", "p5"),
}
_SEVERITIES = {word: severity for severity, words in _SEVERITY_WORDS.items() for word in words}


class RecordingProblem(Permanent):
    """A folder that cannot be investigated as it is."""

    default_code = "recording_unusable"


def _number(value: object) -> object:
    """What is no finite number was not measured."""
    try:
        number = float(cast("Any", value))
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _severity(value: object) -> Severity:
    """The four words of the webhook for what monitors call it; an unknown word pages somebody."""
    return _SEVERITIES.get(str(value).strip().lower().replace("-", "").replace(" ", ""), "critical")


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _moment(value: object) -> object:
    """Times are RFC 3339 text or Unix seconds; without an offset they are UTC, as in the recording's other files."""
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return value


class RecordedAlert(BaseModel):
    """`alert.json`: the page that fired. Fields that are not listed here are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    service: str = Field(min_length=1, max_length=500)
    metric: Annotated[str, BeforeValidator(_text)] = ""
    summary: Annotated[str, BeforeValidator(_text)] = ""
    monitor: Annotated[str, BeforeValidator(_text)] = ""
    severity: Annotated[Severity, BeforeValidator(_severity)] = "critical"
    threshold: Annotated[float | None, BeforeValidator(_number)] = None
    observed: Annotated[float | None, BeforeValidator(_number)] = None
    fired_at: Annotated[datetime, BeforeValidator(_moment)]


@dataclass(frozen=True)
class RecordedIncident:
    """One folder, read. `warnings` are signals that will not be readable, and what to do about them."""

    name: str
    folder: Path
    alert: RecordedAlert
    upload: UploadRecording = field(repr=False)
    warnings: tuple[str, ...] = ()


def has_alert(path: Path) -> bool:
    """Whether this is a recorded incident at all."""
    return path.is_dir() and (path / ALERT_FILE).is_file()


def read_recorded(folder: Path, name: str | None = None) -> RecordedIncident:
    """Reads the folder; RecordingProblem when there is no usable alert, or it is too large to be uploaded."""
    if not folder.is_dir():
        raise RecordingProblem(f"{folder} is not a folder. Name the folder that holds the recording's {ALERT_FILE}.")
    if not (folder / ALERT_FILE).is_file():
        raise RecordingProblem(
            f"{folder} holds no {ALERT_FILE}, so nothing fired. Name the folder of one recorded incident."
        )
    present = [name for name in FILES if (folder / name).is_file()]
    _refuse_large(folder, sum((folder / name).stat().st_size for name in present))
    files = {file: _read(folder / file) for file in present}
    upload = UploadRecording(files=files)
    _refuse_large(folder, len(upload.model_dump_json().encode()))
    return RecordedIncident(
        name=name or folder.resolve().name,
        folder=folder,
        alert=_alert(folder / ALERT_FILE, files[ALERT_FILE]),
        upload=upload,
        warnings=tuple(_warnings(files)),
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecordingProblem(
            f"{path} cannot be read: {error.strerror}. Give yourself the right to read it."
        ) from error
    except UnicodeDecodeError as error:
        raise RecordingProblem(f"{path} is not UTF-8 text (byte {error.start}). Convert it, or remove it.") from error


def _refuse_large(folder: Path, size: int) -> None:
    if size > MAX_RECORDING_BYTES:
        raise RecordingProblem(
            f"{folder} is {size / 2**20:.1f} MiB, and a recording may be {MAX_RECORDING_BYTES // 2**20} MiB of JSON. "
            "Shorten logs.ndjson and metrics.csv to the hour before the alert.",
            code="recording_too_large",
        )


def _alert(path: Path, text: str) -> RecordedAlert:
    try:
        return RecordedAlert.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field_name = ".".join(str(part) for part in first["loc"])
        where = f"{field_name}: {first['msg']}" if field_name else first["msg"]
        raise RecordingProblem(
            f"{path} is not an alert ({where}). It needs at least a service and fired_at, for example "
            '{"service": "checkout", "metric": "http_5xx_ratio", "fired_at": "2026-03-01T10:45:00Z"}.'
        ) from error


def _warnings(files: Mapping[RecordingFile, str]) -> Iterator[str]:
    """Signals that the agent will find unreadable. It goes on without them, so they are said, not refused."""
    for name, text in files.items():
        problem = _problem(name, text)
        if problem is not None:
            yield f"{name} {problem}: its signal will be missing. Mend it, or remove the file."
    if set(files) == {ALERT_FILE}:
        yield f"there is nothing beside {ALERT_FILE}: no answer can have evidence."


def _problem(name: str, text: str) -> str | None:
    if name.endswith(".csv"):
        header = {column.strip() for column in text.partition("\n")[0].split(",")}
        return (
            None if not text.strip() or header >= METRIC_COLUMNS else "lacks the header timestamp,service,metric,value"
        )
    if name.endswith(".ndjson"):
        lines = enumerate(text.splitlines(), 1)
        return next((f"is not JSON at line {at}" for at, line in lines if line.strip() and not _is_json(line)), None)
    return None if not text.strip() or _is_json(text) else "is not JSON"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
