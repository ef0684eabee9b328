"""Live telemetry as a run sees it: redacted, in the form of a recording, and kept on record for its replay.

What a tool gets is read back from the very text that is kept, so a replay computes on the same values, to the bit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from incidentfox.agent.telemetry.protocol import Backend, Signal
from incidentfox.agent.telemetry.recorded_form import Files, RecordedForm
from incidentfox.agent.telemetry.recording import recording_of
from incidentfox.analysis.signals import Changes, DatabaseSession, LogPattern, LogRecord, Series, Span, StatusNotice
from incidentfox.contracts.captures import TelemetryRead
from incidentfox.kernel.errors import Failure
from incidentfox.kernel.redaction import Redactor

KeepFiles = Callable[[Files], Awaitable[str | None]]
"""Puts files on record; their id, or None where they are refused (too large). Raises Temporary: ask again later."""


@dataclass
class _Seen:
    """One signal as the run sees it: the files, and what they hold. `capture_id` once it is on record."""

    files: Files
    values: Any
    asked: bool = False
    capture_id: str | None = None


class CapturedTelemetry:
    """The telemetry `live`, captured. What was read stays for the run; a database is asked anew each time."""

    def __init__(self, live: Backend, keep_files: KeepFiles, redactor: Redactor) -> None:
        self._live = live
        self._form = RecordedForm(redactor)
        self._keep_files = keep_files
        self._seen: dict[Signal, _Seen] = {}
        self._reads: list[tuple[Signal, _Seen | Failure]] = []

    async def available(self) -> frozenset[Signal]:
        """What is live."""
        return await self._live.available()

    async def metrics(self) -> Sequence[Series]:
        """See Telemetry."""

        async def read() -> _Seen:
            files = await asyncio.to_thread(self._form.metrics, await self._live.metrics())
            return _Seen(files, await recording_of(files).metrics())

        series: Sequence[Series] = await self._read(Signal.METRICS, read)
        return series

    async def logs(self) -> Sequence[LogRecord]:
        """See Telemetry."""
        records: Sequence[LogRecord] = (await self._logs())[0]
        return records

    async def patterns(self) -> Sequence[LogPattern]:
        """See Telemetry."""
        patterns: Sequence[LogPattern] = (await self._logs())[1]
        return patterns

    async def traces(self) -> Sequence[Span]:
        """See Telemetry."""

        async def read() -> _Seen:
            files = await asyncio.to_thread(self._form.traces, await self._live.traces())
            return _Seen(files, await recording_of(files).traces())

        spans: Sequence[Span] = await self._read(Signal.TRACES, read)
        return spans

    async def changes(self) -> Changes:
        """See Telemetry."""

        async def read() -> _Seen:
            files = await asyncio.to_thread(self._form.changes, await self._live.changes())
            return _Seen(files, await recording_of(files).changes())

        changes: Changes = await self._read(Signal.CHANGES, read)
        return changes

    async def database(self) -> Sequence[DatabaseSession]:
        """See Telemetry."""

        async def read() -> _Seen:
            files = self._form.database(await self._live.database())
            return _Seen(files, await recording_of(files).database())

        self._seen.pop(Signal.DATABASE, None)
        sessions: Sequence[DatabaseSession] = await self._read(Signal.DATABASE, read)
        return sessions

    async def notices(self) -> Sequence[StatusNotice]:
        """They come along with the changes."""
        return (await self.changes()).notices

    async def keep(self) -> tuple[TelemetryRead, ...]:
        """See Telemetry. Asked again after a Temporary failure, it goes on where it was."""
        for _, met in self._reads:
            if isinstance(met, _Seen) and not met.asked:
                met.capture_id = await self._keep_files(met.files)
                met.asked = True
        reads = tuple(_on_record(signal, met) for signal, met in self._reads)
        self._reads.clear()
        return reads

    async def close(self) -> None:
        """Closes what is live."""
        await self._live.close()

    async def _logs(self) -> tuple[Sequence[LogRecord], Sequence[LogPattern]]:
        async def read() -> _Seen:
            records, patterns = await self._live.logs(), await self._live.patterns()
            files = await asyncio.to_thread(self._form.logs, records, patterns)
            recorded = recording_of(files)
            return _Seen(files, (await recorded.logs(), await recorded.patterns()))

        both: tuple[Sequence[LogRecord], Sequence[LogPattern]] = await self._read(Signal.LOGS, read)
        return both

    async def _read(self, signal: Signal, read: Callable[[], Awaitable[_Seen]]) -> Any:
        if signal not in self._seen:
            try:
                self._seen[signal] = await read()
            except Failure as failure:
                self._reads.append((signal, failure))
                raise
        self._reads.append((signal, self._seen[signal]))
        return self._seen[signal].values


def _on_record(signal: Signal, met: _Seen | Failure) -> TelemetryRead:
    if isinstance(met, Failure):
        return TelemetryRead(signal=signal.value, code=met.code, detail=met.detail)
    return TelemetryRead(signal=signal.value, capture_id=met.capture_id)
