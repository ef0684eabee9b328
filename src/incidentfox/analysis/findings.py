"""What the analyses conclude, as plain data: the result of a tool, and the input of the diagnosis.

Every finding is a frozen dataclass of JSON-able fields, so that a tool can return it, the timeline can store
it and the offline model can read it back from the conversation with `pydantic.TypeAdapter`. Scores are
unit-free and comparable within one list only; times are Unix seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from incidentfox.analysis.signals import Remediation


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A series that left its own baseline. `onset` is when; `score` is robust deviations from the median."""

    service: str
    metric: str
    score: float
    direction: Literal["up", "down"]
    onset: float
    baseline: float
    peak: float
    gradual: bool = False


@dataclass(frozen=True, slots=True)
class LogFinding:
    """A log template that is new or surged. `before` and `after` count records on either side of the onset.

    `distinct` counts the different messages seen under the template (0 where only a count is known).
    """

    service: str
    template: str
    severity: str
    before: int
    after: int
    first_seen: float | None
    score: float
    example: str
    distinct: int = 0


@dataclass(frozen=True, slots=True)
class Edge:
    """Who calls whom, from the spans: counts, errors, and time lost between caller and callee (network,
    queue).
    """

    caller: str
    callee: str
    calls: int
    errors: int
    gap_ms: float | None = None


@dataclass(frozen=True, slots=True)
class SpanFinding:
    """A service in the traces: its own time (children subtracted), its errors, and one telling span."""

    service: str
    name: str
    self_time_ms: float
    errors: int
    calls: int
    score: float
    error: str | None = None
    trace_id: str | None = None


@dataclass(frozen=True, slots=True)
class TraceReport:
    """What the traces say as a whole. `deepest_failing` is the lowest failing node of the call graph; `entries` are the
    services at which traces begin.
    """

    spans: tuple[SpanFinding, ...] = ()
    edges: tuple[Edge, ...] = ()
    deepest_failing: str | None = None
    entries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Symptom:
    """What a change must explain: services that suffer, since when, and the identifiers seen in their
    signals.

    `identifiers` are most telling first; a `name=number` entry is a value that the signals show (`pool_max=10`), a
    `name=number->number` entry a gauge that stepped. `families` are kinds of trouble (`vocabulary.FAMILIES`); where
    empty they are read off the identifiers.
    """

    services: tuple[str, ...]
    onset: float
    identifiers: tuple[str, ...] = ()
    families: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChangeFinding:
    """One commit or flag judged against the symptom. `reasons` say in words what speaks for and against it.

    `score` is 0..1 (how well the change explains the symptom); `effect` names what its diff does
    (`Effect.kind`, empty where unknown) and `families` the kinds of trouble that it can cause; `flag` is the
    feature flag that woke a commit deployed earlier; `unexplained` are services in trouble that it does not reach,
    where the diagnosis has asked.
    """

    kind: Literal["commit", "flag"]
    ref: str
    title: str
    author: str
    time: float
    score: float
    deployed_to: tuple[str, ...] = ()
    deployed_at: float | None = None
    matched: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    excerpt: str = ""
    effect: str = ""
    families: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    flag: str = ""
    unexplained: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LockFinding:
    """A database session that holds others up. `victims` are the applications that wait for it."""

    pid: int
    application: str
    state: str
    transaction_age_s: float
    query: str
    waiting: int
    victims: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Suspect:
    """One candidate cause, best first in its list; `score` in 0..1."""

    service: str
    change: str | None
    score: float
    reason: str


@dataclass(frozen=True, slots=True)
class Claim:
    """One sentence of the diagnosis and the kind of finding it rests on. `excerpt` is quoted from that
    finding.
    """

    text: str
    basis: Literal["anomalies", "logs", "traces", "changes", "database", "notices"]
    excerpt: str


@dataclass(frozen=True, slots=True)
class Moment:
    """One entry of the incident's own timeline."""

    time: float
    text: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The verdict. `kind` names the failure in the field's words; `change` is None for an operational cause.

    `enough_evidence` False means: nothing here may be presented as a root cause.
    """

    enough_evidence: bool
    service: str | None
    change: str | None
    kind: str
    summary: str
    first_failing_service: str | None
    suspects: tuple[Suspect, ...]
    blast_radius: tuple[str, ...]
    remediation: Remediation | None
    confidence: float
    claims: tuple[Claim, ...]
    timeline: tuple[Moment, ...] = ()
