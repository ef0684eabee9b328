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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from incidentfox.analysis.findings import Anomaly, LogFinding, SpanFinding
from incidentfox.analysis.signals import Alert, Remediation, StatusNotice
from incidentfox.analysis.symptoms import strong_anomalies, telling_logs

_EXTERNAL_HOST = (
    r"\b(?:[\w-]+\.)+(?:com|io|net|org|dev|cloud|app|co|ai|eu|de|uk)\b(?!\.(?:cluster|svc|local|internal|consul))"
)


@dataclass(frozen=True, slots=True)
class Signature:
    """One operational cause. `rivals` are families in which a change could look the same."""

    kind: str
    remediation: Remediation
    words: str
    log: re.Pattern[str]
    log_weight: float
    metric: re.Pattern[str] | None = None
    metric_direction: str = "up"
    metric_weight: float = 0.35
    rivals: frozenset[str] = frozenset()
    component: re.Pattern[str] | None = None


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
    logs: tuple[LogFinding, ...] = ()
    anomalies: tuple[Anomaly, ...] = ()
    notices: tuple[StatusNotice, ...] = ()


def _signature(
    kind: str,
    remediation: Remediation,
    words: str,
    log: str,
    weight: float,
    *,
    metric: str = "",
    direction: str = "up",
    rivals: str = "",
    component: str = "",
) -> Signature:
    return Signature(
        kind,
        remediation,
        words,
        re.compile(log, re.IGNORECASE),
        weight,
        re.compile(metric, re.IGNORECASE) if metric else None,
        direction,
        rivals=frozenset(rivals.split()),
        component=re.compile(component, re.IGNORECASE) if component else None,
    )


SIGNATURES = (
    _signature(
        "dns-failure", "escalate-upstream", "names no longer resolve",
        r"no such host|nxdomain|servfail|getaddrinfo|enotfound|eai_again|name resolution|name resolver|"
        r"could(n't| not) resolve( host)?|unknown ?host|lookup [\w-]+\.\S+", 0.6,
        metric=r"dns|servfail|nxdomain|resolver|resolution", rivals="dns connect",
        component=r"servfail|forward(er)?\b|nameserver|all upstreams|resolver (timeout|unreachable)",
    ),
    _signature(
        "certificate-expired", "rotate-cert", "a certificate has expired",
        r"certificate has expired|certificate (is )?expired|expired certificate|cert_has_expired|certificate.{0,40}not (yet )?"
        r"valid|not ?after|sslv3 alert certificate expired|tls: .{0,40}expired", 0.8,
        metric=r"cert\w*_(expir\w*|days|seconds|remaining|valid\w*)|days_to_expiry|tls_handshake", direction="any",
    ),
    _signature(
        "credential-expired", "rotate-cert", "a credential has expired or was revoked",
        r"(token|credential|secret|password|api[_ ]?key|access[_ ]?key|signing key|license)s? (has |have |is |was )?"
        r"(expired|revoked)|expiredtoken|key(s)? revoked|invalid_grant", 0.65, rivals="auth time",
    ),
    _signature(
        "node-failure", "reschedule", "a node is failing",
        r"node\S* .{0,40}(not ?ready|unreachable|lost|down|cordon|unhealthy)|nodenotready|kubelet (stopped|unreachable)|"
        r"pods?\b.{0,40}evict|evict\w* .{0,20}pod|the node was low on|preempt|spot (interruption|termination)|host (is )?(down|unreachable|failure)|kernel (panic|bug|: )|"
        r"(disk|memory|pid) ?pressure|hardware (error|failure)|machine check|mce:|\becc\b|failedscheduling|nvme|"
        r"i/o error|instance .{0,30}(terminat|retir|impair)|taint", 0.7,
        metric=r"node_?(ready|not_?ready|unreachable|health|up)|pods?_(pending|evicted|not_ready)|ready_nodes|kubelet|"
        r"host_(up|health)|disk_io_error|nic_|steal", direction="any", rivals="memory disk startup",
        component=r"not ?ready|kubelet|evict|cordon|taint|scheduling",
    ),
    _signature(
        "primary-lost", "failover", "the primary, a replica or a zone is lost",
        r"(primary|master|leader|replica|standby|broker|shard|zone|region)\b.{0,50}(down|unavailable|unreachable|lost|failed|"
        r"impaired|outage|not available|stepped down)|no (leader|primary|master)|not (the )?(leader|primary|master)|"
        r"read.?only (transaction|mode|replica|file ?system)|quorum|split.?brain|leader election|"
        r"replication (broken|stopped|lag)|volume .{0,30}(detached|impaired|degraded)", 0.6,
        metric=r"replica(tion)?_(lag|delay)|primary_up|leader|under_replicated|isr|quorum|zone_health", direction="any",
        rivals="query lock disk",
    ),
    _signature(
        "network-fault", "failover", "packets are lost between services",
        r"packet loss|network (partition|is unreachable|unreachable)|no route to host|ehostunreach|connection reset by peer|"
        r"retransmi|link (down|flap)|mtu|tcp: .{0,30}timed out", 0.5,
        metric=r"packet|retransmi|network_(error|drop)|tcp_(reset|loss)|rtt|interface_", rivals="connect timeout",
    ),
    _signature(
        "provider-outage", "escalate-upstream", "an outside provider fails",
        rf"{_EXTERNAL_HOST}.{{0,120}}(\b5\d\d\b|unavailable|timed? ?out|timeout|refused|reset|outage|degraded|deadline)|"
        rf"(\b5\d\d\b|unavailable|timed? ?out|timeout|refused|outage|degraded|deadline).{{0,120}}{_EXTERNAL_HOST}|"
        r"(third.?party|external|provider|partner|vendor|payment gateway|carrier|upstream provider)\S* .{0,60}(\b5\d\d\b|"
        r"unavailable|outage|down\b|degraded|timed? ?out|maintenance)", 0.6,
        metric=r"(provider|external|third_?party|partner|vendor|gateway|egress)\w*_(error|latency|fail|duration|timeout)",
        rivals="timeout connect auth retry",
    ),
    _signature(
        "provider-limit", "escalate-upstream", "an outside provider refuses more calls",
        r"(provider|external|third.?party|vendor|partner|upstream).{0,80}(\b429\b|rate.?limit|quota)|"
        rf"{_EXTERNAL_HOST}.{{0,80}}(\b429\b|rate.?limit|quota)|(\b429\b|rate.?limit|quota).{{0,80}}{_EXTERNAL_HOST}", 0.5,
        rivals="rate retry cache",
    ),
    _signature(
        "disk-full", "scale", "a disk is full",
        r"no space left|disk (is )?full|enospc|disk quota exceeded|out of disk|could not extend file", 0.7,
        metric=r"disk_(used|usage|free|util|full)|filesystem|volume_(used|usage|free)|inode", direction="any", rivals="disk memory",
    ),
    _signature(
        "clock-skew", "reschedule", "a clock is wrong",
        r"clock (skew|drift)|\bntp\b|chrony|not yet valid|in the future|time (drift|offset)", 0.55,
        metric=r"clock|ntp|time_offset", rivals="time auth",
    ),
)  # fmt: skip

_BAD_RECORD = re.compile(
    r"(record|message|event|row|payload|document|line|entry|batch|file)\w*\b.{0,80}(invalid|malformed|corrupt|out of range|"
    r"unparse?able|cannot (be )?pars|could not (be )?pars|fail\w* (to )?(validat|pars|decod|deserial)|validation (error|fail)|"
    r"unexpected|poison|illegal|overflow)|(invalid|malformed|corrupt\w*|poison\w*|bad|illegal)\b.{0,40}(record|message|event|row|"
    r"payload|document|line|entry|batch|byte|encoding)|field \S+ (is )?(out of range|invalid)",
    re.IGNORECASE,
)
_SAME_AGAIN = re.compile(
    r"redeliver|same (offset|message|record)|poison|dead.?letter|stuck (at|on) offset|reprocess", re.I
)
_IDENTITY = re.compile(
    r"\b(offset|record|message|event|row|order|doc|batch|entry|key|line|\w+_id|\w*id)\b\s*[=:#]\s*[\w\"'-]*\d", re.I
)
_DEMAND = re.compile(
    r"(^|_)(requests?|rps|qps|traffic|sessions?|logins?|visitors?|users?|messages_in|ingress|connections?|throughput|hits|"
    r"checkouts?|orders?)(_(per|rate|count|total|in|active|concurrent|received)\w*)?$|requests?_per|request_rate|_rps$",
    re.IGNORECASE,
)
_NOT_DEMAND = re.compile(
    r"error|fail|latency|duration|timeout|reject|cancel|retr|wait|db_|sql|cache|pool|5xx|4xx|age|lag", re.I
)
_CROWD = re.compile(
    r"(traffic|load|request|demand) (spike|surge|burst)|overload|load.?shed|queue (is )?full|too many requests|\b429\b|"
    r"campaign|flash sale|\bbots?\b|crawler|ddos|hpa .{0,30}max|max(imum)? replicas|capacity (reached|exceeded)",
    re.IGNORECASE,
)
_TROUBLED = re.compile(
    r"degraded|outage|partial|major|investigat|identified|incident|down|unavailable|maintenance|monitoring", re.I
)


def find_operational(
    alert: Alert,
    *,
    anomalies: Sequence[Anomaly] = (),
    logs: Sequence[LogFinding] = (),
    spans: Sequence[SpanFinding] = (),
    notices: Sequence[StatusNotice] = (),
) -> tuple[OperationalCause, ...]:
    """Return the operational causes that the findings carry the signature of, strongest first (`score`
    0..1).
    """
    strong = strong_anomalies(anomalies, alert.fired_at)
    telling = telling_logs(logs)
    failing = [s for s in spans if s.errors and s.error]
    found = [_match(signature, alert, strong, telling, failing, notices) for signature in SIGNATURES]
    found += [_poison(alert, telling), _surge(alert, strong, telling), _notified(alert, strong, telling, notices)]
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
    said = [f for f in logs if signature.log.search(f"{f.template} {f.example}")]
    spans = [s for s in failing if signature.log.search(s.error or "")]
    measured = [
        a for a in anomalies if signature.metric and signature.metric.search(a.metric) and _points(signature, a)
    ]
    noticed = [n for n in notices if _relevant(n, alert) and signature.log.search(f"{n.component} {n.summary}")]
    paged = bool(signature.log.search(alert.summary))
    if not (said or spans or noticed or paged):
        return None
    # The share of the new trouble that speaks these words: a side remark among other errors is no cause.
    total = sum(f.after for f in logs) or 1
    share = sum(f.after for f in said) / total
    services = {f.service for f in said} | {s.service for s in spans}
    miss = 1.0 - (
        signature.log_weight * (0.5 + 0.5 * min(1.0, 2.5 * share)) if said else 0.3 if spans or paged else 0.0
    )
    miss *= 0.85 if said and (spans or paged) else 1.0
    miss *= 1.0 - signature.metric_weight if measured else 1.0
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
        logs=tuple(said[:4]),
        anomalies=tuple(measured[:3]),
        notices=tuple(noticed[:2]),
    )


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
    return notice.time <= alert.fired_at + 3600.0 and bool(_TROUBLED.search(f"{notice.status} {notice.summary}"))


def _poison(alert: Alert, logs: Sequence[LogFinding]) -> OperationalCause | None:
    """The same record fails again and again: the data is bad, the code that refuses it is right."""
    bad = [f for f in logs if _BAD_RECORD.search(f"{f.template} {f.example}")]
    if not bad:
        return None
    again = [f for f in logs if _SAME_AGAIN.search(f"{f.template} {f.example}")]
    identified = [f for f in bad if _IDENTITY.search(f.example)]
    one_record = [f for f in identified if f.distinct == 1 and f.after >= 3]
    miss = 0.75 if identified else 0.85
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


def _surge(alert: Alert, anomalies: Sequence[Anomaly], logs: Sequence[LogFinding]) -> OperationalCause | None:
    """Demand rose first, and by much; everything else followed."""
    demand = [
        a
        for a in anomalies
        if a.direction == "up" and _DEMAND.search(a.metric) and not _NOT_DEMAND.search(a.metric) and a.baseline > 0
    ]
    said = [f for f in logs if _CROWD.search(f"{f.template} {f.example}")]
    paged = bool(_CROWD.search(alert.summary))
    if not demand:
        return None
    top = max(demand, key=lambda a: a.peak / a.baseline)
    ratio = top.peak / top.baseline
    others = [a.onset for a in anomalies if a not in demand]
    first = not others or min(d.onset for d in demand) <= min(others) + 60.0
    if ratio < 1.5 or not first:
        return None
    miss = 1.0 - min(0.65, 0.3 + 0.2 * math.log2(ratio / 1.5))
    miss *= 0.7 if said or paged else 1.0
    miss *= 0.85 if len({d.service for d in demand}) > 1 else 1.0
    return OperationalCause(
        kind="traffic-surge",
        service=alert.service,
        score=round(1.0 - miss, 4),
        remediation="scale",
        words=f"demand rose to {ratio:.2g} times its baseline before anything failed",
        rivals=frozenset({"retry", "cache", "traffic", "rate", "cpu", "pool"}),
        logs=tuple(said[:2]),
        anomalies=(top,),
    )


def _notified(
    alert: Alert, anomalies: Sequence[Anomaly], logs: Sequence[LogFinding], notices: Sequence[StatusNotice]
) -> OperationalCause | None:
    """A provider or the platform reports trouble with something that the signals name."""
    spoken = " ".join([alert.summary, *(f"{f.template} {f.example}" for f in logs)]).lower()
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


_PLAIN = frozenset("service services cluster upstream resolver infra status component region platform".split())
