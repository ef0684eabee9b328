"""What every telemetry backend offers, in the types of `analysis.signals`.

Tools call it; backends implement it (`http.py` for live systems, `recording.py` for recorded incidents). A backend is
made for one run and closed with it, so it may keep what it has read: the tools of one run then see one state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

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
from incidentfox.kernel.errors import NotFound


class Signal(StrEnum):
    """The kinds of signals. A tool names those it cannot work without; it is not offered where they are absent."""

    METRICS = "metrics"
    LOGS = "logs"
    TRACES = "traces"
    CHANGES = "changes"
    DATABASE = "database"
    NOTICES = "notices"


@dataclass(frozen=True, slots=True)
class Window:
    """The time that is read, Unix seconds, both ends included."""

    start: float
    end: float


class NoSuchSignal(NotFound):
    """The team has no source for this kind of signal."""

    default_code = "signal_not_configured"

    def __init__(self, signal: Signal) -> None:
        super().__init__(f"This team has no source of {signal}: set it under integrations.telemetry.")


class Backend(Protocol):
    """Where one team's signals are read during one run.

    Every method raises NoSuchSignal where there is no source, Temporary failures where it is away, TooLarge where it
    sends more than the documented limit.
    """

    async def available(self) -> frozenset[Signal]:
        """The kinds of signals that have a source."""
        ...

    async def metrics(self) -> Sequence[Series]:
        """Every series, one per service and metric, times ascending."""
        ...

    async def logs(self) -> Sequence[LogRecord]:
        """Log records, oldest first."""
        ...

    async def patterns(self) -> Sequence[LogPattern]:
        """Log signatures that the backend counted itself; empty where it does not count."""
        ...

    async def traces(self) -> Sequence[Span]:
        """Spans."""
        ...

    async def changes(self) -> Changes:
        """Commits, deploys and flag changes; reaches further back than the other signals."""
        ...

    async def database(self) -> Sequence[DatabaseSession]:
        """The sessions of the team's Postgres as they are now, with who blocks whom."""
        ...

    async def notices(self) -> Sequence[StatusNotice]:
        """Entries of status feeds."""
        ...

    async def close(self) -> None:
        """Gives back what was opened."""
        ...


class Telemetry(Backend, Protocol):
    """A backend whose reads are on record: what a run works with, so that it can be replayed."""

    async def keep(self) -> tuple[TelemetryRead, ...]:
        """Puts what was read since the last call on record, for the replay of the run; what was read, in order.

        Empty where it is on record already. Raises Temporary failures: nothing is lost, call it again.
        """
        ...


class NoTelemetry:
    """The telemetry of a team that has configured none: every question is answered with NoSuchSignal."""

    async def available(self) -> frozenset[Signal]:
        """Nothing."""
        return frozenset()

    async def metrics(self) -> Sequence[Series]:
        """Raises NoSuchSignal, as do the others."""
        raise NoSuchSignal(Signal.METRICS)

    async def logs(self) -> Sequence[LogRecord]:
        """See metrics."""
        raise NoSuchSignal(Signal.LOGS)

    async def patterns(self) -> Sequence[LogPattern]:
        """Nothing is counted where there are no logs."""
        return ()

    async def traces(self) -> Sequence[Span]:
        """See metrics."""
        raise NoSuchSignal(Signal.TRACES)

    async def changes(self) -> Changes:
        """See metrics."""
        raise NoSuchSignal(Signal.CHANGES)

    async def database(self) -> Sequence[DatabaseSession]:
        """See metrics."""
        raise NoSuchSignal(Signal.DATABASE)

    async def notices(self) -> Sequence[StatusNotice]:
        """See metrics."""
        raise NoSuchSignal(Signal.NOTICES)

    async def keep(self) -> tuple[TelemetryRead, ...]:
        """Nothing was read."""
        return ()

    async def close(self) -> None:
        """Nothing was opened."""
