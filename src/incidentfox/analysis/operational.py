"""Causes that no commit made: names that stop resolving, certificates, nodes, providers, crowds, poisoned
data.

Called by the diagnosis. Each signature reads its own words in logs, metrics and status notices; several kinds
of evidence, or several services at the same moment, raise it. A signature also names the families in which a
change could produce the same picture (an expired certificate never, a flood of requests by a new retry loop):
the diagnosis lets such a change compete.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from incidentfox.analysis.findings import Anomaly, LogFinding, SpanFinding, TraceReport
from incidentfox.analysis.signals import Alert, Remediation, StatusNotice
from incidentfox.analysis.signatures import (
    BAD_RECORD,
    CROWD,
    DEMAND,
    IDENTITY,
    NOT_DEMAND,
    SAME_AGAIN,
    SIGNATURES,
    TROUBLED,
    WORK_RATE,
    Signature,
)
from incidentfox.analysis.symptoms import strong_anomalies, telling_logs
from incidentfox.analysis.vocabulary import snake_case, spelled_out

_SAMPLE_S = 30.0
_SURGE_LEADS_S = 900.0
_FLOOD = 4.0
_LONGEST_TEXT = 400


@dataclass(frozen=True, slots=True)
class OperationalCause:
    """A signature found. `service` is where it shows; `component` the part of the platform at fault, if it is
    one of the observed services. `logs`, `anomalies` and `notices` are the findings it rests on, strongest
    first.
    """

    kind: str
    service: str
    score: float
    remediation: Remediation
    words: str
    rivals: frozenset[str]
    component: str | None = None
    firm: float = 0.85
    logs: tuple[LogFinding, ...] = ()
    anomalies: tuple[Anomaly, ...] = ()
    notices: tuple[StatusNotice, ...] = ()


def find_operational(
    alert: Alert,
    *,
    anomalies: Sequence[Anomaly] = (),
    logs: Sequence[LogFinding] = (),
    traces: TraceReport = TraceReport(),
    notices: Sequence[StatusNotice] = (),
) -> tuple[OperationalCause, ...]:
    """Return the operational causes that the findings carry the signature of, strongest first (`score`
    0..1).
    """
    strong = strong_anomalies(anomalies, alert)
    telling = telling_logs(logs)
    failing = [s for s in traces.spans if s.errors]
    found = [_match(signature, alert, strong, telling, failing, notices) for signature in SIGNATURES]
    found += [
        _poison(alert, telling),
        _surge(alert, strong, telling, traces),
        _notified(alert, strong, telling, notices),
    ]
    causes = [cause for cause in found if cause is not None and cause.score >= 0.3]
    return tuple(sorted(causes, key=lambda c: -c.score))


def _match(
    signature: Signature,
    alert: Alert,
    anomalies: Sequence[Anomaly],
    logs: Sequence[LogFinding],
    failing: Sequence[SpanFinding],
    notices: Sequence[StatusNotice],
) -> OperationalCause | None:
    said = [f for f in logs if signature.log.search(_text(f))]
    spans = [s for s in failing if signature.log.search(f"{s.name} failed: {s.error or ''}")]
    gauged = [a for a in anomalies if signature.gauge and signature.gauge.search(snake_case(a.metric))]
    measured = gauged + [
        a
        for a in anomalies
        if a not in gauged
        and signature.metric
        and signature.metric.search(snake_case(a.metric))
        and _points(signature, a)
    ]
    noticed = [n for n in notices if _relevant(n, alert) and signature.log.search(f"{n.component} {n.summary}")]
    paged = bool(signature.log.search(alert.summary))
    if not (said or spans or noticed or paged or gauged):
        return None
    # The share of the new trouble that speaks these words: a side remark among other errors is no cause.
    speakers = {f.service for f in said}
    total = sum(f.after for f in logs if f.service in speakers) or 1
    share = sum(f.after for f in said) / total
    services = speakers | {s.service for s in spans} | {a.service for a in gauged}
    unsaid = 0.45 if spans else 0.3 if paged else 0.0
    miss = 1.0 - (signature.log_weight * (0.5 + 0.5 * min(1.0, 2.5 * share)) if said else unsaid)
    miss *= 0.85 if said and (spans or paged) else 1.0
    miss *= 0.5 if gauged else 1.0 - signature.metric_weight if measured else 1.0
    miss *= 0.55 if noticed else 1.0
    miss *= 0.6 if len(services) >= 3 else 0.85 if len(services) == 2 else 1.0
    return OperationalCause(
        kind=signature.kind,
        service=_place(alert, services),
        score=round(1.0 - miss, 4),
        remediation=signature.remediation,
        words=signature.words,
        rivals=signature.rivals,
        component=_component(signature, alert, said),
        firm=signature.firm,
        logs=tuple(said[:4]),
        anomalies=tuple(measured[:3]),
        notices=tuple(noticed[:2]),
    )


def _text(finding: LogFinding) -> str:
    """Template and example on lines of their own, so that no pattern runs from one into the other."""
    return f"{finding.template[:_LONGEST_TEXT]}\n{spelled_out(finding.example[:_LONGEST_TEXT])}"


def _points(signature: Signature, anomaly: Anomaly) -> bool:
    return signature.metric_direction in ("any", anomaly.direction)


def _place(alert: Alert, services: Iterable[str]) -> str:
    """The paged service where it shows the signature (or nothing else does), else the first that does."""
    found = sorted(services)
    return alert.service if alert.service in found or not found else found[0]


def _component(signature: Signature, alert: Alert, said: Sequence[LogFinding]) -> str | None:
    if signature.component is None:
        return None
    votes: dict[str, int] = {}
    for finding in said:
        if finding.service != alert.service and signature.component.search(finding.template):
            votes[finding.service] = votes.get(finding.service, 0) + finding.after
    return max(votes, key=lambda s: votes[s], default=None)


def _relevant(notice: StatusNotice, alert: Alert) -> bool:
    """A notice of trouble that was open around the alert."""
    return notice.time <= alert.fired_at + 3600.0 and bool(TROUBLED.search(f"{notice.status} {notice.summary}"))


def _poison(alert: Alert, logs: Sequence[LogFinding]) -> OperationalCause | None:
    """The same record fails again and again: the data is bad, the code that refuses it is right."""
    bad = [f for f in logs if BAD_RECORD.search(_text(f))]
    if not bad:
        return None
    again = [f for f in logs if SAME_AGAIN.search(_text(f))]
    identified = [f for f in bad if IDENTITY.search(f.example)]
    one_record = [f for f in identified if f.distinct == 1 and f.after >= 3]
    total = sum(f.after for f in logs) or 1
    most = sum(f.after for f in bad) >= 0.5 * total
    miss = 0.75 if identified else 0.85
    miss *= 0.75 if most else 1.0
    miss *= 0.5 if again else 1.0
    miss *= 0.4 if one_record else 1.0
    return OperationalCause(
        kind="bad-data",
        service=_place(alert, {f.service for f in bad}),
        score=round(1.0 - miss, 4),
        remediation="purge-bad-data",
        words="one bad record is processed over and over" if one_record or again else "bad records arrive",
        rivals=frozenset({"schema", "amount", "time"}),
        logs=tuple(dict.fromkeys([*(one_record or bad)[:2], *again[:1]])),
    )


def _surge(
    alert: Alert, anomalies: Sequence[Anomaly], logs: Sequence[LogFinding], traces: TraceReport
) -> OperationalCause | None:
    """Demand rose first, and by much, where it enters; everything else followed."""
    demand = [a for a in anomalies if is_demand(a)]
    others = [a.onset for a in anomalies if a not in demand and not _SCALED_OUT.search(snake_case(a.metric))]
    first = min(others, default=math.inf)
    # A rise that came with the hour, long before anything failed, did not make it fail.
    demand = [a for a in demand if first - _SURGE_LEADS_S <= a.onset <= first + _SAMPLE_S or not others]
    risen = {a.service for a in demand}
    entering = [a for a in demand if _enters(a.service, risen, traces)]
    if not entering:
        return None
    top = max(entering, key=lambda a: a.peak / a.baseline)
    ratio = top.peak / top.baseline
    if ratio < 1.5:
        return None
    said = [f for f in logs if CROWD.search(_text(f))]
    name = snake_case(top.metric)
    miss = 1.0 - min(0.65, 0.3 + 0.2 * math.log2(ratio / 1.5))
    miss = miss if DEMAND.search(name) else miss**0.8
    miss *= 0.7 if said or CROWD.search(alert.summary) else 1.0
    miss *= 0.85 if len(risen) > 1 else 1.0
    return OperationalCause(
        kind="traffic-surge",
        service=alert.service,
        score=round(1.0 - miss, 4),
        remediation="scale",
        words=f"demand rose to {ratio:.2g} times its baseline before anything failed",
        rivals=frozenset({"retry", "cache", "traffic", "rate", "cpu", "pool"}),
        firm=0.6,
        logs=tuple(said[:2]),
        anomalies=(top,),
    )


_SCALED_OUT = re.compile(r"replicas|(^|_)pods(_|$)|instances|desired")
"""What an autoscaler does about demand departs with it, and is no trouble."""


def flooded_services(anomalies: Sequence[Anomaly], traces: TraceReport) -> set[str]:
    """The services that are asked many times as often as before, by callers that are not: somebody above them does
    more with each request. A factor of two or three may be the retries of callers whom they fail.
    """
    demand = [a for a in anomalies if is_demand(a)]
    risen = {a.service for a in demand}
    return {a.service for a in demand if a.peak / a.baseline >= _FLOOD and not _enters(a.service, risen, traces)}


def is_demand(anomaly: Anomaly) -> bool:
    """Whether the anomaly is a rise of what is asked of a service."""
    name = snake_case(anomaly.metric)
    asked = DEMAND.search(name) or (WORK_RATE.search(name) and not anomaly.gradual)
    return bool(asked and anomaly.direction == "up" and anomaly.baseline > 0 and not NOT_DEMAND.search(name))


def _enters(service: str, risen: Collection[str], traces: TraceReport) -> bool:
    """Whether demand comes to the service from outside, or from a caller that is asked for more itself.

    One that is asked more often by callers who are not is flooded by what they do with each request.
    """
    callers = {edge.caller for edge in traces.edges if edge.callee == service and edge.caller != service}
    traced = (
        {span.service for span in traces.spans} | {e.caller for e in traces.edges} | {e.callee for e in traces.edges}
    )
    if any(other not in traced for other in risen):
        return True  # something that no trace knows is asked more, too: an edge, a queue
    return not callers or service in traces.entries or bool(callers.intersection(risen))


def _notified(
    alert: Alert, anomalies: Sequence[Anomaly], logs: Sequence[LogFinding], notices: Sequence[StatusNotice]
) -> OperationalCause | None:
    """A provider or the platform reports trouble with something that the signals name."""
    spoken = " ".join([alert.summary, *(_text(f) for f in logs)]).lower()
    onset = min((a.onset for a in anomalies), default=alert.fired_at)
    for notice in notices:
        if not _relevant(notice, alert) or notice.time < onset - 6 * 3600.0:
            continue
        words = [w for w in re.findall(r"[a-z][a-z0-9-]{3,}", notice.component.lower()) if w not in _PLAIN]
        named = any(re.search(rf"\b{re.escape(word)}", spoken) for word in words)
        return OperationalCause(
            kind="provider-outage",
            service=alert.service,
            score=0.6 if named else 0.35,
            remediation="escalate-upstream",
            words=f"{notice.component} reports {notice.status}",
            rivals=frozenset({"timeout", "connect", "dns"}),
            notices=(notice,),
        )
    return None


_PLAIN = frozenset(
    ("service", "services", "cluster", "upstream", "resolver", "infra", "status", "component", "region", "platform")
)
