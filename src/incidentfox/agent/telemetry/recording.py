"""Telemetry from a recorded incident: text by file name, as the Config Service keeps it.

Used when the run or the team's configuration names a recording. Nothing here opens a path: the files come as text
(`contracts.recordings`), and the graded answer is not among them. A recording is its own window of time.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from incidentfox.agent.telemetry.protocol import NoSuchSignal, Signal
from incidentfox.agent.telemetry.records import (
    Unreadable,
    json_document,
    json_lines,
    parse_time,
    read_changes,
    read_logs,
    read_notices,
    read_patterns,
    read_sessions,
    read_spans,
)
from incidentfox.analysis.signals import (
    Changes,
    DatabaseSession,
    LogPattern,
    LogRecord,
    Series,
    Span,
    StatusNotice,
)
from incidentfox.contracts.captures import TelemetryRead

Files = Mapping[str, str]

_CHANGE_FILES = ("context/commits.json", "context/deploys.json", "context/flags.json")
_FILES_OF = {
    Signal.METRICS: ("metrics.csv",),
    Signal.LOGS: ("logs.ndjson", "patterns.json"),
    Signal.TRACES: ("traces.json",),
    Signal.CHANGES: _CHANGE_FILES,
    Signal.NOTICES: ("status_feed.json",),
    Signal.DATABASE: ("database_sessions.json",),
}


class RecordingTelemetry:
    """The signals of one recording. `load` fetches its files; it is called once, when they are first needed."""

    def __init__(self, load: Callable[[], Awaitable[Files]]) -> None:
        self._load = load
        self._files: Files | None = None

    async def available(self) -> frozenset[Signal]:
        """The signals of which at least one file was recorded."""
        files = await self._all()
        return frozenset(signal for signal, names in _FILES_OF.items() if any(name in files for name in names))

    async def metrics(self) -> Sequence[Series]:
        """From `metrics.csv`: timestamp, service, metric, value."""
        return read_metrics(await self._text(Signal.METRICS, "metrics.csv"))

    async def logs(self) -> Sequence[LogRecord]:
        """From `logs.ndjson`."""
        await self._require(Signal.LOGS)
        return read_logs(json_lines(await self._optional("logs.ndjson"), "logs.ndjson"), "logs.ndjson")

    async def patterns(self) -> Sequence[LogPattern]:
        """From `patterns.json`, which may be absent."""
        return read_patterns(
            json_document(await self._optional("patterns.json"), "patterns.json") or [], "patterns.json"
        )

    async def traces(self) -> Sequence[Span]:
        """From `traces.json`."""
        text = await self._text(Signal.TRACES, "traces.json")
        return read_spans(json_document(text, "traces.json") or [], "traces.json")

    async def changes(self) -> Changes:
        """From the files under `context/`; a status feed, where recorded, comes along."""
        await self._require(Signal.CHANGES)
        commits, deploys, flags = [json_document(await self._optional(name), name) or [] for name in _CHANGE_FILES]
        return read_changes(commits, deploys, flags, await self._notices())

    async def database(self) -> Sequence[DatabaseSession]:
        """From `database_sessions.json`: the sessions as they were when somebody looked."""
        text = await self._text(Signal.DATABASE, "database_sessions.json")
        return read_sessions(json_document(text, "database_sessions.json") or [], "database_sessions.json")

    async def notices(self) -> Sequence[StatusNotice]:
        """From `status_feed.json`."""
        await self._require(Signal.NOTICES)
        return await self._notices()

    async def keep(self) -> tuple[TelemetryRead, ...]:
        """The recording is on record already."""
        return ()

    async def close(self) -> None:
        """Nothing was opened."""

    async def _notices(self) -> list[StatusNotice]:
        text = await self._optional("status_feed.json")
        return read_notices(json_document(text, "status_feed.json"), "status_feed.json")

    async def _all(self) -> Files:
        if self._files is None:
            self._files = await self._load()
        return self._files

    async def _optional(self, name: str) -> str:
        return (await self._all()).get(name, "")

    async def _require(self, signal: Signal) -> None:
        if signal not in await self.available():
            raise NoSuchSignal(signal)

    async def _text(self, signal: Signal, name: str) -> str:
        await self._require(signal)
        return await self._optional(name)


def recording_of(files: Mapping[Any, str]) -> RecordingTelemetry:
    """The telemetry of files that are at hand."""

    async def load() -> Files:
        return {str(name): text for name, text in files.items()}

    return RecordingTelemetry(load)


def read_metrics(text: str) -> list[Series]:
    """Series from CSV with the columns timestamp, service, metric, value; one per service and metric."""
    samples: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    reader = csv.DictReader(io.StringIO(text))
    for number, row in enumerate(reader, 2):
        try:
            samples[row["service"], row["metric"]].append((parse_time(row["timestamp"]), float(row["value"])))
        except (KeyError, ValueError, TypeError) as error:
            raise Unreadable(f"Line {number} of metrics.csv is not timestamp,service,metric,value.") from error
    return [
        Series(service, metric, tuple(t for t, _ in ordered), tuple(v for _, v in ordered))
        for (service, metric), found in samples.items()
        for ordered in [sorted(found)]
    ]
