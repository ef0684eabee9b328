"""What a change must explain: who suffers, since when, and which identifiers the signals speak of.

`symptom_of` is exported by `diagnosis`; the tools and the offline model call it before they rank changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from incidentfox.analysis.findings import Anomaly, LogFinding, SpanFinding, Symptom, TraceReport
from incidentfox.analysis.localisation import edges_from_logs
from incidentfox.analysis.signals import Alert
from incidentfox.analysis.vocabulary import IDENTIFIER, families_in, is_compound, telling_words

STRONG_SHARE = 0.35
TELLING_LOG = 0.4
_MAXIMUM_IDENTIFIERS = 60
_GAP_S = 540.0
"""A cause and its symptom on a page are seldom further apart: monitors wait five minutes, gauges are sampled by the
minute. Deploys and jobs of another story mostly are."""
_LARGE = 20.0
"""From here on two values that meet by chance are rare."""
_QUOTED = re.compile(r"['\"`]([\w./:-]{2,60})['\"`]")
_PATH = re.compile(r"[\w.-]+(?:/[\w.-]+)+\.[a-z]{1,5}\b")
_ASSIGNED = re.compile(r"\b([A-Za-z][\w.]*)=(-?\d+(?:\.\d+)?)(?![\w.-])")
_CAPACITY = re.compile(r"max|limit|size|replica|quota|capacity|ttl|timeout|deadline|workers|threads", re.IGNORECASE)


def symptom_of(alert: Alert, anomalies: Sequence[Anomaly], logs: Sequence[LogFinding], traces: TraceReport) -> Symptom:
    """Return the symptom that the findings describe; with no findings at all, what the alert itself says.

    The onset is found by walking back from the paged metric's own departure (a gradual drift is dated to its
    beginning), over gaps of minutes only, among the services that are connected to the alert's; else it is the first
    new error line, else the alert's own time.
    """
    strong = strong_anomalies(anomalies, alert)
    telling = telling_logs(logs)
    failing = [s for s in traces.spans if s.errors]
    services = dict.fromkeys(
        [alert.service, *(a.service for a in strong), *(f.service for f in telling), *(s.service for s in failing)]
    )
    identifiers = _identifiers(alert, strong, telling, failing, frozenset(services))
    spoken = " ".join(
        [alert.summary, alert.metric, *(f.example for f in telling[:8]), *(s.error or "" for s in failing)]
        + [a.metric for a in strong[:8]]
    )
    return Symptom(
        services=tuple(services),
        onset=_onset(alert, strong, telling, traces),
        identifiers=tuple(identifiers[:_MAXIMUM_IDENTIFIERS]),
        families=tuple(sorted(families_in(spoken))),
    )


def onset_of(alert: Alert, anomalies: Sequence[Anomaly]) -> float:
    """When trouble began by the metrics alone (Unix seconds): the split that the logs tool needs, the alert's time
    where no metric departs before it.
    """
    return _began(alert, strong_anomalies(anomalies, alert)) or alert.fired_at


def _began(alert: Alert, anomalies: Sequence[Anomaly]) -> float | None:
    """Where the run of departures begins that leads up to the page; None without any before it.

    A service has its tides and its hourly jobs: what departed long before, and was followed by nothing, is another
    story. So time is walked back from the paged metric's own departure, over gaps of minutes only.
    """
    before = [a for a in anomalies if a.onset <= alert.fired_at]
    own = [a for a in before if a.service == alert.service]
    paged = [a for a in own if a.metric == alert.metric] or own or before
    if not paged:
        return None
    began = min(a.onset for a in paged) if paged is not own else max(paged, key=lambda a: a.score).onset
    for onset in sorted({a.onset for a in before}, reverse=True):
        if began - _GAP_S <= onset < began:
            began = onset
    return began


def strong_anomalies(anomalies: Sequence[Anomaly], alert: Alert) -> list[Anomaly]:
    """The anomalies that count: begun by the time of the alert, and not dwarfed by the strongest, or paged for."""
    before = [a for a in anomalies if a.onset <= alert.fired_at + 60.0]
    top = max((a.score for a in before), default=0.0)
    paged = (alert.service, alert.metric)
    return [a for a in before if a.score >= STRONG_SHARE * top or (a.service, a.metric) == paged]


def telling_logs(logs: Sequence[LogFinding]) -> list[LogFinding]:
    """The log findings that speak of trouble: new or surged at warning level or above."""
    return [f for f in logs if f.score >= TELLING_LOG and f.after > f.before]


def connected_services(
    start: str, traces: TraceReport, logs: Iterable[LogFinding], services: Iterable[str]
) -> set[str]:
    """Every service that calls lead to or from `start`, in any direction; only `start` where none are
    known.
    """
    neighbours: dict[str, set[str]] = {}
    for edge in (*traces.edges, *edges_from_logs(logs, set(services))):
        neighbours.setdefault(edge.caller, set()).add(edge.callee)
        neighbours.setdefault(edge.callee, set()).add(edge.caller)
    seen, stack = {start}, [start]
    while stack:
        for other in neighbours.get(stack.pop(), ()):
            if other not in seen:
                seen.add(other)
                stack.append(other)
    return seen


def _onset(alert: Alert, strong: Sequence[Anomaly], logs: Sequence[LogFinding], traces: TraceReport) -> float:
    services = {a.service for a in strong} | {f.service for f in logs}
    connected = connected_services(alert.service, traces, logs, services)
    near = [a for a in strong if a.service in connected] if len(connected) > 1 else list(strong)
    began = _began(alert, near or strong)
    if began is not None:
        return began
    seen = [f.first_seen for f in logs if f.first_seen is not None and f.before == 0]
    return min([*seen, alert.fired_at])


def _identifiers(
    alert: Alert,
    anomalies: Sequence[Anomaly],
    logs: Sequence[LogFinding],
    failing: Sequence[SpanFinding],
    services: frozenset[str],
) -> list[str]:
    """Most telling first: quoted names and paths, compound identifiers, values, then plain words."""
    log_texts = [f.example or f.template for f in logs[:8]]
    span_texts = [text for s in failing[:6] for text in (s.error or "", s.name) if text]
    texts = [*log_texts, *span_texts, alert.summary]
    found: list[str] = []
    for text in texts:
        found += _QUOTED.findall(text)
        found += _PATH.findall(text)
    for text in texts:
        found += [name for name in IDENTIFIER.findall(text) if is_compound(name)]
    found += [a.metric for a in anomalies[:8]] + [alert.metric]
    for text in log_texts:
        found += [f"{name}={number}" for name, number in _ASSIGNED.findall(text)]
    stepped = [a for a in anomalies if not a.gradual]
    found += [f"{a.metric}={a.baseline:g}->{a.peak:g}" for a in stepped if min(abs(a.baseline), abs(a.peak)) >= _LARGE]
    found += [
        f"{a.metric}={value:g}"
        for a in stepped
        if _CAPACITY.search(a.metric)
        for value in (a.baseline, a.peak)
        if value == int(value)
    ]
    found += telling_words(texts)
    own = {name.lower() for name in services}
    return list(dict.fromkeys(i for i in found if i.lower() not in own))
