"""Where the trouble began and whom it reached: the first failing service and the blast radius.

Used by the diagnosis.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from incidentfox.analysis.findings import Anomaly, Edge, LogFinding, TraceReport
from incidentfox.analysis.localisation import (
    blast_radius,
    callees,
    deepest_anomalous,
    descendants,
    edges_from_logs,
)
from incidentfox.analysis.operational import is_demand
from incidentfox.analysis.signals import Alert

_SAME_TIME_S = 60.0
_EARLIER_S = 20.0
"""Less than what any metric is sampled at: anything more is another sample."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What deviates around one alert: strong anomalies, telling logs, the traces, and when it began (Unix seconds)."""

    alert: Alert
    strong: Sequence[Anomaly]
    telling: Sequence[LogFinding]
    traces: TraceReport
    onset: float

    def edges(self) -> list[Edge]:
        """Who calls whom, by the traces and by what services complain about."""
        return [*self.traces.edges, *edges_from_logs(self.telling, {a.service for a in self.strong})]

    def traced(self) -> set[str]:
        """The services that the traces know."""
        return {span.service for span in self.traces.spans}

    def troubled(self) -> dict[str, float]:
        """Each service in trouble, and since when; what departed before the trouble began is no part of it."""
        since = [(a.service, a.onset) for a in self.strong if a.onset >= self.onset]
        since += [(f.service, max(self.onset, f.first_seen or self.onset)) for f in self.telling]
        placed = {service for service, _ in since}
        since += [(s.service, self.onset) for s in self.traces.spans if s.errors and s.service not in placed]
        found: dict[str, float] = {}
        for service, at in since:
            found[service] = min(at, found.get(service, at))
        return found


def first_failing(signs: Signs) -> str:
    """The paged service, unless the calls lead from it down to one that fails on its own account.

    Failing traces say where; without them it is the deepest anomalous node below the page that did not only follow. A
    callee of either that departed before its callers did failed first, whether or not its spans say so.
    """
    paged = signs.alert.service
    edges = signs.edges()
    deepest = signs.traces.deepest_failing
    if deepest is None:
        own = min((a.onset for a in signs.strong if a.service == paged), default=signs.alert.fired_at)
        early = [a for a in signs.strong if a.onset <= own + _SAME_TIME_S]
        deepest = deepest_anomalous(edges, early, entry=paged)
    calls = callees(edges)
    unwell = {a.service for a in signs.strong} | {f.service for f in signs.telling}
    known = deepest is not None and deepest in descendants(calls, paged) and deepest in unwell
    found = deepest if deepest is not None and known else paged
    return _before_its_callers(signs, found, descendants(calls, found))


def _before_its_callers(signs: Signs, found: str, below: Collection[str]) -> str:
    onsets: dict[str, float] = {}
    for anomaly in signs.strong:
        if anomaly.onset >= signs.onset and not is_demand(anomaly):
            onsets[anomaly.service] = min(anomaly.onset, onsets.get(anomaly.service, anomaly.onset))
    earlier = [s for s in below if s in onsets and onsets[s] < onsets.get(found, signs.alert.fired_at) - _EARLIER_S]
    # Metrics are stamped by the minute, so ties are common: the louder one then, and never the order of a set.
    loudness = {a.service: a.score for a in sorted(signs.strong, key=lambda a: a.score)}
    return min(earlier, key=lambda s: (onsets[s], -loudness[s], s), default=found)


def reached(
    signs: Signs, first: str, *, held_up: Collection[str] = (), component: str | None = None
) -> tuple[str, ...]:
    """The blast radius: who suffers besides `first`. `held_up` wait for a lock; `component` is the cause itself.

    A service that only logs is a reporter (an event feed, a node's agent); one that is only asked more is no victim.
    """
    measured = {a.service for a in signs.strong}
    suffering = {a.service for a in signs.strong if not is_demand(a)}
    suffering |= {f.service for f in signs.telling if f.after >= 3 and f.service in measured | signs.traced()}
    suffering |= {s.service for s in signs.traces.spans if s.errors and s.errors == s.calls}
    suffering |= set(held_up)
    edges = [*signs.traces.edges, *edges_from_logs(signs.telling, suffering | {first})]
    if signs.traces.deepest_failing != first:
        # Only traces can show that a callee in trouble is a victim of its caller; without them it counts.
        edges = [e for e in edges if e.caller != first]
    return tuple(s for s in blast_radius(edges, suffering, first) if s != component)
