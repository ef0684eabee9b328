"""The telemetry of a replay: each read gives what the same read of the recorded run gave, its failures too."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence

from incidentfox.agent.telemetry.protocol import Signal
from incidentfox.agent.telemetry.recording import RecordingTelemetry, recording_of
from incidentfox.analysis.signals import Changes, DatabaseSession, LogPattern, LogRecord, Series, Span, StatusNotice
from incidentfox.contracts.captures import TelemetryRead
from incidentfox.contracts.recordings import RecordingFile
from incidentfox.kernel.errors import Permanent

Captures = Mapping[str, Mapping[RecordingFile, str]]
"""The files of each capture by its id."""


class NotOnRecord(Permanent):
    """The replay reads what the recorded run did not read, or what was too large to be kept."""

    default_code = "not_on_record"


class ReplayedTelemetry:
    """See the module. `reads` are those of the recorded run, in order; `signals` those it had."""

    def __init__(self, signals: frozenset[Signal], reads: Iterable[TelemetryRead], captures: Captures) -> None:
        self._signals = signals
        self._captures = {capture_id: recording_of(files) for capture_id, files in captures.items()}
        self._waiting: dict[str, deque[TelemetryRead]] = defaultdict(deque)
        for read in reads:
            self._waiting[read.signal].append(read)
        self._last: dict[str, TelemetryRead] = {}

    async def available(self) -> frozenset[Signal]:
        """As recorded."""
        return self._signals

    async def metrics(self) -> Sequence[Series]:
        """See Telemetry."""
        return await self._next(Signal.METRICS).metrics()

    async def logs(self) -> Sequence[LogRecord]:
        """See Telemetry."""
        return await self._next(Signal.LOGS).logs()

    async def patterns(self) -> Sequence[LogPattern]:
        """See Telemetry."""
        return await self._next(Signal.LOGS).patterns()

    async def traces(self) -> Sequence[Span]:
        """See Telemetry."""
        return await self._next(Signal.TRACES).traces()

    async def changes(self) -> Changes:
        """See Telemetry."""
        return await self._next(Signal.CHANGES).changes()

    async def database(self) -> Sequence[DatabaseSession]:
        """See Telemetry."""
        return await self._next(Signal.DATABASE).database()

    async def notices(self) -> Sequence[StatusNotice]:
        """They came along with the changes."""
        return (await self.changes()).notices

    async def keep(self) -> tuple[TelemetryRead, ...]:
        """Nothing new is read."""
        return ()

    async def close(self) -> None:
        """Nothing was opened."""

    def _next(self, signal: Signal) -> RecordingTelemetry:
        """The capture of the next read of this signal; after the last one, of the last."""
        waiting = self._waiting[signal.value]
        read = waiting.popleft() if waiting else self._last.get(signal.value)
        if read is None:
            raise NotOnRecord(f"The recorded run did not read {signal.value} here.")
        self._last[signal.value] = read
        if read.code is not None:
            raise Permanent(read.detail or "", code=read.code)
        if read.capture_id is None:
            raise NotOnRecord(f"What the recorded run read of {signal.value} was too large to be kept.")
        return self._captures[read.capture_id]
