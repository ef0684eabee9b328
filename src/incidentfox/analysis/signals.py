"""The typed signals that every analysis takes: what telemetry looks like once it has been read.

Built by the agent's telemetry backends (`agent/telemetry/`), consumed by the pure functions of this package.
All times are Unix seconds (float, UTC). Durations carry their unit in the name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Alert:
    """The page that fired. `threshold` and `observed` are in the metric's own unit; None where unknown."""

    service: str
    metric: str
    summary: str
    fired_at: float
    severity: str = "critical"
    monitor: str = ""
    threshold: float | None = None
    observed: float | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """One metric of one service. `times` ascend and have the length of `values`."""

    service: str
    metric: str
    times: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One structured log line. `attributes` holds every field that has no column of its own."""

    time: float
    service: str
    severity: str
    message: str
    trace_id: str | None = None
    attributes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LogPattern:
    """A log signature that the backend itself already counted. `delta` is against its baseline; None if
    unknown.
    """

    signature: str
    service: str
    count: int
    delta: int | None
    sentiment: str = "neutral"


@dataclass(frozen=True, slots=True)
class Span:
    """One span. `status` is OK, ERROR or UNSET; `kind` is the OpenTelemetry kind where known."""

    trace_id: str
    span_id: str
    parent_id: str | None
    service: str
    name: str
    start: float
    duration_ms: float
    status: str
    error: str | None = None
    kind: str | None = None
    attributes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Commit:
    """One change of source or configuration. `diff` is None where the feed does not carry it."""

    sha: str
    author: str
    time: float
    message: str
    files: tuple[str, ...]
    diff: str | None


@dataclass(frozen=True, slots=True)
class Deploy:
    """One rollout of one service; `sha` is the head commit that it shipped."""

    time: float
    service: str
    sha: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class FlagChange:
    """One feature-flag change, as `before->after`."""

    time: float
    flag: str
    service: str
    change: str
    actor: str = ""


@dataclass(frozen=True, slots=True)
class StatusNotice:
    """One entry of a provider's or platform's status feed."""

    time: float
    component: str
    status: str
    summary: str


@dataclass(frozen=True, slots=True)
class DatabaseSession:
    """One row of Postgres's activity view joined with its locks. Ages are in seconds; `blocked_by` are
    pids.
    """

    pid: int
    application: str
    state: str
    wait_event: str | None
    transaction_age_s: float
    query_age_s: float
    query: str
    blocked_by: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Changes:
    """Everything that was changed in the window, oldest first in each list."""

    commits: tuple[Commit, ...] = ()
    deploys: tuple[Deploy, ...] = ()
    flags: tuple[FlagChange, ...] = ()
    notices: tuple[StatusNotice, ...] = ()


Remediation = Literal[
    "rollback",
    "roll-forward",
    "config-revert",
    "feature-flag-disable",
    "scale",
    "failover",
    "rotate-cert",
    "reschedule",
    "escalate-upstream",
    "purge-bad-data",
]
"""The next step that an answer proposes: the closed list that recorded incidents are graded by."""
