"""The signatures of operational causes: the words and metrics by which each gives itself away.

Read by `operational`. General vocabulary of runtimes, orchestrators, databases and networks; one table, so that a
cause is added in one place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from incidentfox.analysis.signals import Remediation

_INTERNAL = r"(?:cluster|svc|local|internal|consul|lan|corp|intra)"
# Bounded in every repetition: these words are searched in text that a stranger may have written.
_LABELS = r"(?:[a-z0-9-]{1,40}\.){1,5}"
_EXTERNAL_HOST = (
    # Not a package (`java.net.SocketException`, `System.Net.Http`): those go on, or are capitalised.
    rf"(?:(?-i:(?<![\w.-]){_LABELS}(?:com|io|net|org|dev|cloud|app|co|ai|eu|de|uk)\b)(?!\.\w)|"
    rf"(?-i:https?://(?![\w.-]{{0,200}}\.{_INTERNAL}\b)[a-z0-9-]{{1,40}}\.{_LABELS}[a-z]{{2,20}}\b)|"
    rf"(?-i:(?<![\w.-])(?:api|id|oauth2?|login|sandbox|hooks|smtp)\."
    rf"(?![\w.-]{{0,200}}\.{_INTERNAL}\b){_LABELS}[a-z]{{2,20}}\b))"
)


@dataclass(frozen=True, slots=True)
class Signature:
    """One operational cause. `rivals` are families in which a change could look the same; such a change wins when it
    scores above `firm` times the cause (a full disk is often somebody's doing, a provider's outage hardly ever).
    """

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
    firm: float = 0.85
    gauge: re.Pattern[str] | None = None
    """Metrics that measure this very thing: one that departs says so without any words."""


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
    firm: float = 0.85,
    gauge: str = "",
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
        firm=firm,
        gauge=re.compile(gauge, re.IGNORECASE) if gauge else None,
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
        r"certificate has expired|certificate (is )?expired|expired certificate|cert_has_expired|"
        r"certificate.{0,40}not (yet )?"
        r"valid|not ?after|sslv3 alert certificate expired|tls: .{0,40}expired", 0.8,
        metric=r"cert\w*_(expir\w*|days|seconds|remaining|valid\w*)|days_to_expiry|tls_handshake", direction="any",
    ),
    _signature(
        "credential-expired", "rotate-cert", "a credential has expired or was revoked",
        r"(token|credential|secret|password|api[_ ]?key|access[_ ]?key|signing key|license)s? (has |have |is |was )?"
        r"(expired|revoked)|expiredtoken|key(s)? revoked|invalid_grant|"
        r"\b(key|token|credential|secret|assertion|licen[sc]e|subscription|signature)s?\b.{0,60}\b(expired|revoked|lapsed|"
        r"outside (of )?(its|the)( \w+)? validity|no longer (valid|accepted)|past (its|the) (expiry|validity))",
        0.65, rivals="auth time", firm=0.65,
    ),
    _signature(
        "node-failure", "reschedule", "a node is failing",
        r"node\S* .{0,40}(not ?ready|unreachable|lost|down|cordon|unhealthy)|nodenotready|kubelet (stopped|"
        r"unreachable)|"
        r"pods?\b.{0,40}evict|evict\w* .{0,20}pod|the node was low on|preempt|spot (interruption|termination)|"
        r"host (is )?(down|unreachable|failure)|kernel (panic|bug|: )|"
        r"(disk|memory|pid) ?pressure|hardware (error|failure)|machine check|mce:|\becc\b|failedscheduling|nvme|"
        r"i/o error|input/output error|medium error|remount\w* .{0,30}read.?only|aborting journal|"
        r"read.?only file ?system|"
        r"cpu (steal|stolen)|noisy neighbou?r|instance .{0,30}(terminat|retir|impair)|taint", 0.7,
        metric=r"node_?(ready|not_?ready|unreachable|health|up)|pods?_(pending|evicted|not_ready)|ready_nodes|kubelet|"
        r"host_(up|health)|disk_io_(error|time)|filesystem_read_?only|nic_|steal|stolen", direction="any",
        rivals="memory disk startup",
        gauge=r"disk_(write_|read_)?(latency|await|queue_depth)|cpu_(steal|stolen)|(steal|stolen)_(cpu|time|percent|pct)|"
        r"node_?not_?ready|filesystem_read_?only|"
        r"disk_io_error|uncorrectable|ecc_error",
        component=r"not ?ready|kubelet|evict|cordon|taint|scheduling",
    ),
    _signature(
        "primary-lost", "failover", "the primary, a replica or a zone is lost",
        r"\b(primary|master|leader|replica|standby|broker|shard|zone|region)\b.{0,50}(down|unavailable|"
        r"unreachable|lost|failed|"
        r"impaired|outage|not available|stepped down)|no (leader|primary|master)|not (the )?(leader|primary|master)|"
        r"read.?only (transaction|mode|replica)|quorum|split.?brain|leader election|"
        r"could not (connect|stream|receive)\b.{0,40}\b(primary|master|leader|wal)\b|lost connection to (the )?primary|"
        r"(availability )?zone.{0,30}\b(power|outage|down|lost|loss|impair\w*|unavailable)|"
        r"replication (broken|stopped|lag)|volume .{0,30}(detached|impaired|degraded)", 0.6,
        metric=r"replica(tion)?_(lag|delay|seconds)|primary_up|leader|under_replicated|isr|quorum|zone_health|"
        r"(postgres\w*|pg|mysql|redis|mongo\w*|kafka|etcd)_up(_|$)", direction="any",
        gauge=r"primary_up|(postgres\w*|pg|mysql|redis|mongo\w*|kafka|etcd)_up(_|$)|under_replicated|leaderless",
        rivals="query lock disk", firm=0.7,
    ),
    _signature(
        "network-fault", "failover", "packets are lost between services",
        r"packet loss|network (partition|is unreachable|unreachable)|no route to host|ehostunreach|"
        r"retransmi|link (down|flap)|mtu|tcp: .{0,30}timed out", 0.5,
        metric=r"packet|retransmi|network_(error|drop)|tcp_(reset|loss)|rtt|interface_",
        rivals="connect timeout", firm=0.7,
    ),
    _signature(
        "provider-outage", "escalate-upstream", "an outside provider fails",
        rf"{_EXTERNAL_HOST}.{{0,120}}(\b5\d\d\b|unavailable|timed? ?out|timeout|refused|reset|outage|degraded|"
        rf"overloaded|deadline|failed)|"
        rf"(\b5\d\d\b|unavailable|timed? ?out|timeout|refused|outage|degraded|overloaded|deadline)"
        rf".{{0,120}}{_EXTERNAL_HOST}|"
        r"(third.?party|external|provider|partner|vendor|payment gateway|"
        r"upstream provider)\S* .{0,60}(\b5\d\d\b|"
        r"unavailable|outage|down\b|degraded|timed? ?out|maintenance)", 0.6,
        metric=r"(provider|external|third_?party|partner|vendor|gateway|egress)\w*_(error|latency|fail|duration|timeout)",
        rivals="timeout connect auth",
    ),
    _signature(
        "provider-limit", "escalate-upstream", "an outside provider refuses more calls",
        r"(provider|external|third.?party|vendor|partner|upstream).{0,80}(\b429\b|rate.?limit|quota)|"
        rf"{_EXTERNAL_HOST}.{{0,80}}(\b429\b|rate.?limit|quota)|(\b429\b|rate.?limit|"
        rf"quota).{{0,80}}{_EXTERNAL_HOST}|{_EXTERNAL_HOST}\S* failed", 0.5,
        metric=r"(^|_)429(_|$)|rate_?limited|throttled_by|quota_(exceeded|used)", rivals="retry cache",
    ),
    _signature(
        "disk-full", "scale", "a disk is full",
        r"no space left|disk (is )?full|enospc|disk quota exceeded|out of disk|could not extend file", 0.7,
        metric=r"disk_(used|usage|free|util|full)|filesystem|volume_(used|usage|free)|inode", direction="any",
        rivals="disk memory", firm=0.5,
    ),
    _signature(
        "clock-skew", "reschedule", "a clock is wrong",
        r"clock (skew|drift)|\bntp\b|chrony|not yet valid|in the future|time (drift|offset)", 0.55,
        metric=r"clock|ntp|time_offset", rivals="time auth", firm=0.4,
    ),
)  # fmt: skip

BAD_RECORD = re.compile(
    r"(record|message|event|row|payload|document|line|entry|batch|file)\w*\b.{0,80}(invalid|malformed|corrupt|"
    r"out of range|"
    r"unparse?able|cannot (be )?pars|could not (be )?pars|fail\w* (to )?(validat|pars|decod|deserial)|"
    r"validation (error|fail)|"
    r"unexpected|poison|illegal|overflow)|(invalid|malformed|corrupt\w*|poison\w*|bad|"
    r"illegal)\b.{0,40}(record|message|event|row|"
    r"payload|document|line|entry|batch|byte|encoding)|field \S+ (is )?(out of range|invalid)|"
    r"\b(row|line|record|column|field)\b.{0,60}\b(is )?not (a |an )?(valid |known )?"
    r"(integer|number|date|decimal|boolean|code)|"
    r"\b(row|line|record) \d+\b.{0,80}(format|invalid|malformed|unexpected|cannot be|could not be)",
    re.IGNORECASE,
)
SAME_AGAIN = re.compile(
    r"redeliver|\d+ \w+ waiting behind|(left|kept) in (the )?(inbox|queue)|same (offset|message|record)|poison|"
    r"dead.?letter|stuck (at|on) offset|reprocess",
    re.I,
)
IDENTITY = re.compile(
    r"\b(offset|record|message|event|row|order|doc|batch|entry|key|line|\w+_id|\w*id)\b(\s*[=:#]\s*[\w\"'-]*\d| \d+\b)",
    re.I,
)
DEMAND = re.compile(
    r"(^|_)(requests?|rps|qps|traffic|sessions?|logins?|visitors?|clients?|users?|messages_in|ingress|connections?|"
    r"throughput|hits|"
    r"checkouts?|orders?)(_(per|rate|count|total|in|active|concurrent|received|k|m|thousands?|millions?)\w*)?$|"
    r"requests?_per|"
    r"request_rate|_rps$",
    re.IGNORECASE,
)
# Any other rate of work can be demand too, but proves less.
WORK_RATE = re.compile(r"_per_(s|sec|second|m|min|minute)$|_(rps|qps|tps)$|_rate$", re.IGNORECASE)
NOT_DEMAND = re.compile(
    r"error|fail|latency|duration|timeout|reject|cancel|retr|wait|db_|sql|cache|pool|5xx|4xx|age|lag|"
    r"upstream|outbound|client(?!s)|restart|panic|crash|evict|lock|except|gc_|fetch|expir|refus|drop|miss|rebalanc|"
    r"disk|bytes|_[kmgt]i?b_|read_|write_|cpu|memory|network|exposition|series|"
    r"_per_(request|call|op|query|item|user|page)|attempt|connected|in_?progress|in_?flight|pending|backlog|fallback|degraded|(^|_)[45]\d\d(_|$)|stale|duplicat|unmatched|resend",
    re.I,
)
CROWD = re.compile(
    r"(traffic|load|request|demand) (spike|surge|burst)|overload|load.?shed|queue (is )?full|"
    r"too many requests|\b429\b|"
    r"campaign|flash sale|\bbots?\b|crawler|ddos|hpa .{0,30}max|max(imum)? replicas|scaling limited|too many replicas|"
    r"capacity (reached|exceeded)",
    re.IGNORECASE,
)
TROUBLED = re.compile(
    r"degraded|outage|partial|major|investigat|identified|incident|down|unavailable|maintenance|monitoring", re.I
)
