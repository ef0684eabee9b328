"""One verdict from all findings: gated by kind of evidence, never by adding up ranks.

Called by the tools' consumer, the offline model, on findings it reads out of a conversation; any kind may be
missing. The gates, in order: a database session that holds others up names its application; an operational
signature stands unless a change that could look the same explains the symptom better; a change stands if its
diff explains the symptom; and where nothing deviates or nothing explains, the verdict says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from incidentfox.analysis.attribution import weigh
from incidentfox.analysis.extent import Signs, first_failing, reached
from incidentfox.analysis.findings import (
    Anomaly,
    ChangeFinding,
    Claim,
    Diagnosis,
    LockFinding,
    LogFinding,
    Moment,
    Suspect,
    TraceReport,
)
from incidentfox.analysis.operational import OperationalCause, find_operational, flooded_services
from incidentfox.analysis.quoting import (
    anomaly_claim,
    change_claims,
    clock,
    lock_claim,
    log_claim,
    notice_claim,
    trace_claim,
    without_repeats,
)
from incidentfox.analysis.remedies import kind_of, remedy_for
from incidentfox.analysis.signals import Alert, Remediation, StatusNotice
from incidentfox.analysis.symptoms import onset_of, strong_anomalies, symptom_of, telling_logs

__all__ = ["diagnose", "onset_of", "symptom_of"]

CHANGE_EXPLAINS = 0.3
ONLY_SUSPECT = 0.2
CAUSE_STANDS = 0.45
_SHORTLY_BEFORE_S = 900.0
_REAL = 0.12
_NO_CHANGE = 0.03
_CLEARLY = 1.5
_BY_PLACE = 0.3
ONLY_CAUSE = 0.35
_IDLE_SECONDS = 2.0
_BUSY_SECONDS = 10.0
_MAXIMUM_SUSPECTS = 6
_HOLDS = frozenset(
    ("release-removed", "call-removed", "transaction-added", "lock-added", "blocking-call-added", "per-item-call")
)


@dataclass(frozen=True, slots=True)
class _Case:
    """The findings of one alert, and what is derived from them once."""

    signs: Signs
    anomalies: Sequence[Anomaly]
    logs: Sequence[LogFinding]
    changes: Sequence[ChangeFinding]
    locks: Sequence[LockFinding]
    notices: Sequence[StatusNotice]

    @property
    def deviates(self) -> bool:
        """Whether anything at all left its baseline."""
        signs = self.signs
        return bool(signs.strong or signs.telling or any(s.errors for s in signs.traces.spans) or self.locks)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What the gates decided, before it is written out."""

    service: str | None
    change: ChangeFinding | None
    kind: str
    summary: str
    remediation: Remediation | None
    confidence: float
    claims: list[Claim] = field(default_factory=list)
    component: str | None = None


def diagnose(
    alert: Alert,
    *,
    anomalies: Sequence[Anomaly] = (),
    logs: Sequence[LogFinding] = (),
    traces: TraceReport = TraceReport(),
    changes: Sequence[ChangeFinding] = (),
    locks: Sequence[LockFinding] = (),
    notices: Sequence[StatusNotice] = (),
) -> Diagnosis:
    """Return the verdict on one alert from whatever findings there are; the same findings give the same
    verdict.
    """
    strong, telling = strong_anomalies(anomalies, alert), telling_logs(logs)
    signs = Signs(alert, strong, telling, traces, symptom_of(alert, anomalies, logs, traces).onset)
    weighed = weigh(
        changes,
        signs.troubled(),
        signs.edges(),
        traced=signs.traced(),
        flooded=flooded_services(strong, traces),
    )
    case = _Case(signs, anomalies, logs, weighed, locks, notices)
    causes = find_operational(alert, anomalies=anomalies, logs=logs, traces=traces, notices=notices)
    verdict = _decide(case, causes)
    return _written(case, causes, verdict)


def _decide(case: _Case, causes: Sequence[OperationalCause]) -> _Verdict:
    if not case.deviates and not causes:
        return _nothing(case, "Nothing left its baseline: no metric, log line or trace deviates around the alert.")
    held = _held_transaction(case)
    if held is not None:
        return held
    change = case.changes[0] if case.changes else None
    cause = causes[0] if causes else None
    if cause is not None and cause.score >= CAUSE_STANDS and not _outdone(cause, change):
        return _operational(case, cause, change)
    if change is not None and (change.score >= CHANGE_EXPLAINS or _alone(case, change)):
        return _changed(case, change, cause)
    if cause is not None and cause.score >= ONLY_CAUSE:
        return _operational(case, cause, change)
    placed = _by_place(case)
    if placed is not None:
        return placed
    return _nothing(case, "Something deviates, but no change and no operational signature explains it.")


def _in_place(case: _Case) -> list[ChangeFinding]:
    """What reached the failing service shortly before it began to fail, and accounts for all that failed."""
    failing = {case.signs.alert.service, first_failing(case.signs)}
    return [
        change
        for change in case.changes
        if change.deployed_at is not None
        and failing.intersection(change.deployed_to)
        and not change.unexplained
        and change.score >= _NO_CHANGE
        and 0.0 <= case.signs.onset - change.deployed_at <= _SHORTLY_BEFORE_S
    ]


def _by_place(case: _Case) -> _Verdict | None:
    """A verdict by time and place, where one commit is clearly the best: it says how many others were there, and is
    worth little confidence.
    """
    there = _in_place(case)
    if not there:
        return None
    best, others = there[0], there[1:]
    second = max((change.score for change in others), default=0.0)
    if best.kind != "commit" or best.score < max(_REAL, _CLEARLY * second):
        return None
    named = _changed(case, best, None)
    which = f"the likeliest of {len(there)} changes" if others else "the only change"
    summary = f"{named.summary} It is {which} in the quarter of an hour before; little else speaks for it."
    return replace(named, summary=summary, confidence=min(_BY_PLACE, named.confidence))


def _outdone(cause: OperationalCause, change: ChangeFinding | None) -> bool:
    """Whether a change explains the symptom better than the operational cause.

    Only a change that could look the same (its families are among the cause's rivals) competes at par; any
    other must be clearly stronger, because a recent change is always there and the signature is not.
    """
    if change is None or change.score < CHANGE_EXPLAINS:
        return False
    rival = bool(cause.rivals.intersection(change.families))
    return change.score > cause.score * (cause.firm if rival else 1.0)


def _alone(case: _Case, change: ChangeFinding) -> bool:
    """Whether a weaker explanation is at least the only one: everything else explains less than half as much."""
    second = max((c.score for c in case.changes if c is not change), default=0.0)
    return change.score >= ONLY_SUSPECT and second <= change.score / 2 and bool(change.matched or change.families)


def _held_transaction(case: _Case) -> _Verdict | None:
    """The database's own word on who blocks whom outranks every inference."""
    heads = [lock for lock in case.locks if lock.waiting > 0 and _is_held(lock)]
    if not heads:
        return None
    lock = max(heads, key=lambda found: (found.waiting, found.transaction_age_s))
    service = _service_of(lock.application, _known_services(case)) or lock.application
    own = [c for c in case.changes if service in c.deployed_to and c.deployed_at is not None and c.score >= 0.02]
    change = max(own, key=lambda c: (_concerns_locks(c) * c.score, c.score), default=None)
    runner_up = max((c.score for c in own if c is not change), default=0.0)
    idle = "idle in transaction" in lock.state
    what = "leaves a transaction open" if idle else "holds locks in a long transaction"
    confidence = 0.6 if change is None else 0.7 + 0.2 * _margin(change.score, runner_up)
    claims = [lock_claim(lock), *[log_claim(f) for f in case.signs.telling[:2]]]
    because = ""
    if change is not None:
        claims += change_claims(change)
        because = f", since {change.ref[:12]} ({change.title})"
    return _Verdict(
        service=service,
        change=change,
        kind="transaction held open" if idle else "lock contention",
        summary=f"{service} {what} and holds up {', '.join(lock.victims)}{because}.",
        remediation=remedy_for(change, ()) if change is not None else "rollback",
        confidence=min(0.9, confidence),
        claims=claims,
    )


def _is_held(lock: LockFinding) -> bool:
    """Whether the session holds on for longer than work takes; an idle one does no work at all."""
    idle = lock.state.startswith("idle in transaction")
    return lock.transaction_age_s >= (_IDLE_SECONDS if idle else _BUSY_SECONDS)


def _concerns_locks(change: ChangeFinding) -> float:
    """How likely the kind of change leaves a transaction open, against any other change of the same service."""
    spoken = bool({"lock", "pool"}.intersection(change.families))
    return (1.5 if spoken else 0.6) * (1.5 if change.effect in _HOLDS else 1.0)


def _known_services(case: _Case) -> list[str]:
    known = [case.signs.alert.service, *(a.service for a in case.anomalies), *(f.service for f in case.logs)]
    known += [s.service for s in case.signs.traces.spans]
    known += [service for c in case.changes for service in c.deployed_to]
    return list(dict.fromkeys(known))


def _service_of(application: str, services: Sequence[str]) -> str | None:
    """The known service that a database application name belongs to: equal, or contained as a whole word."""
    name = _plain_name(application)
    for service in services:
        if name and name == _plain_name(service):
            return service
    inside = [s for s in services if s and f"-{_plain_name(s)}-" in f"-{name}-"]
    return max(inside, key=len, default=None)


def _plain_name(name: str) -> str:
    """Lower case, every run of other characters one hyphen: `Shop:inventory@pod-7` reads shop-inventory-pod-7."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _operational(case: _Case, cause: OperationalCause, change: ChangeFinding | None) -> _Verdict:
    rival = change.score if change is not None else 0.0
    kinds = sum(map(bool, (cause.logs, cause.anomalies, cause.notices)))
    confidence = min(0.93, cause.score * (0.8 + 0.07 * kinds)) - 0.3 * max(0.0, rival - 0.2)
    claims = [log_claim(f) for f in cause.logs] + [anomaly_claim(a) for a in cause.anomalies]
    claims += [notice_claim(n) for n in cause.notices]
    claims += [log_claim(f) for f in case.signs.telling[:2]] + [anomaly_claim(a) for a in _own_anomalies(case)[:2]]
    found = f" at {cause.component}" if cause.component else ""
    return _Verdict(
        service=cause.component or cause.service,
        change=None,
        kind=cause.kind,
        summary=f"{cause.service}: {cause.words}{found}. No change explains it.",
        remediation=cause.remediation,
        confidence=max(0.3, confidence),
        claims=claims,
        component=cause.component,
    )


def _changed(case: _Case, change: ChangeFinding, cause: OperationalCause | None) -> _Verdict:
    second = max((c.score for c in case.changes if c is not change), default=0.0)
    rival = max(second, cause.score * 0.5 if cause is not None else 0.0)
    kinds = sum(map(bool, (case.signs.strong, case.signs.telling, case.signs.traces.deepest_failing)))
    support = 0.85 + 0.05 * kinds
    confidence = 0.92 * change.score**0.7 * (0.6 + 0.4 * _margin(change.score, rival)) * support
    service = _home(case, change)
    reason = change.reasons[0] if change.reasons else change.title
    claims = change_claims(change) + [log_claim(f) for f in case.signs.telling[:2]]
    claims += [anomaly_claim(a) for a in _own_anomalies(case)[:3]]
    traced = trace_claim(case.signs.traces)
    return _Verdict(
        service=service,
        change=change,
        kind=kind_of(change),
        summary=_told(case, change, service, reason),
        remediation=remedy_for(change, case.signs.telling),
        confidence=min(0.95, confidence),
        claims=[*claims, *([traced] if traced else [])],
    )


def _told(case: _Case, change: ChangeFinding, service: str, reason: str) -> str:
    """The verdict on a change in one sentence: what, where, since when, and who suffers."""
    name = f"flag {change.ref}" if change.kind == "flag" else f"commit {change.ref[:12]} ({change.title})"
    live = f"live since {clock(change.deployed_at)}; " if change.deployed_at is not None else ""
    return f"{service}: {name}: {reason}; {live}{case.signs.alert.service} suffers since {clock(case.signs.onset)}."


def _margin(best: float, second: float) -> float:
    """How clearly the first is ahead, 0..1."""
    return max(0.0, (best - second) / best) if best > 0 else 0.0


def _home(case: _Case, change: ChangeFinding) -> str:
    """The service that runs the change: the paged one where it is among them, else the first."""
    if case.signs.alert.service in change.deployed_to or not change.deployed_to:
        return case.signs.alert.service
    return change.deployed_to[0]


def _own_anomalies(case: _Case) -> list[Anomaly]:
    """The strongest departures, those of the paged service first."""
    return sorted(case.signs.strong, key=lambda a: (a.service != case.signs.alert.service, -a.score))


def _nothing(case: _Case, why: str) -> _Verdict:
    claims = [anomaly_claim(a) for a in _own_anomalies(case)[:2]] + [log_claim(f) for f in case.signs.telling[:2]]
    best = case.changes[0].score if case.changes else 0.0
    return _Verdict(None, None, "unknown", f"Not enough evidence. {why}", None, min(0.25, 0.05 + best), claims)


def _written(case: _Case, causes: Sequence[OperationalCause], verdict: _Verdict) -> Diagnosis:
    first = first_failing(case.signs)
    enough = verdict.kind != "unknown"
    return Diagnosis(
        enough_evidence=enough,
        service=verdict.service,
        change=verdict.change.ref if verdict.change else None,
        kind=verdict.kind,
        summary=verdict.summary,
        first_failing_service=first if case.deviates else None,
        suspects=_suspects(case, causes, verdict),
        blast_radius=reached(case.signs, first, held_up=_held_up(case), component=verdict.component),
        remediation=verdict.remediation,
        confidence=round(max(0.0, min(0.95, verdict.confidence)), 3),
        claims=without_repeats(verdict.claims),
        timeline=_timeline(case, verdict),
    )


def _held_up(case: _Case) -> set[str]:
    known = _known_services(case)
    return {victim for lock in case.locks for v in lock.victims if (victim := _service_of(v, known))}


def _suspects(case: _Case, causes: Sequence[OperationalCause], verdict: _Verdict) -> tuple[Suspect, ...]:
    suspects = [
        Suspect(_home(case, c), c.ref, round(min(1.0, c.score), 3), "; ".join(c.reasons[:3]))
        for c in case.changes[:4]
        if c.score > 0.02
    ]
    suspects += [Suspect(c.component or c.service, None, c.score, f"{c.kind}: {c.words}") for c in causes[:3]]
    suspects.sort(key=lambda s: -s.score)
    if verdict.kind != "unknown" and verdict.service is not None:
        ref = verdict.change.ref if verdict.change else None
        chosen = next((s for s in suspects if s.change == ref), None)
        score = max(verdict.confidence, chosen.score if chosen else 0.0)
        top = Suspect(verdict.service, ref, round(min(1.0, score), 3), chosen.reason if chosen else verdict.summary)
        suspects = [top, *(s for s in suspects if s is not chosen)]
    return tuple(suspects[:_MAXIMUM_SUSPECTS])


def _timeline(case: _Case, verdict: _Verdict) -> tuple[Moment, ...]:
    moments = [Moment(case.signs.alert.fired_at, f"{case.signs.alert.service} paged: {case.signs.alert.metric}")]
    moments += [Moment(a.onset, f"{a.metric} of {a.service} left its baseline") for a in _own_anomalies(case)[:4]]
    moments += [
        Moment(f.first_seen, f"{f.service} first logged: {f.template[:100]}")
        for f in case.signs.telling[:3]
        if f.first_seen is not None and f.before == 0
    ]
    change = verdict.change
    if change is not None and change.deployed_at is not None:
        verb = "switched for" if change.kind == "flag" else "went live in"
        moments.append(
            Moment(change.deployed_at, f"{change.ref[:12]} {verb} {', '.join(change.deployed_to) or 'production'}")
        )
    moments += [Moment(n.time, f"{n.component}: {n.status}") for n in case.notices[:2]]
    return tuple(sorted(moments, key=lambda m: m.time))
