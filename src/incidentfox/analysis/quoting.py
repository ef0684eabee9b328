"""Claims whose excerpt stands verbatim in the finding they rest on.

Used by the diagnosis. A later check drops every claim whose excerpt is neither in the JSON text of the cited tool's
result nor in one of its strings. An excerpt that is a whole string, or the beginning of one, is taken as it is; one
that is cut out of a sentence avoids what JSON escapes (quotes, backslashes, control and non-ASCII characters).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from incidentfox.analysis.findings import (
    Anomaly,
    ChangeFinding,
    Claim,
    LockFinding,
    LogFinding,
    TraceReport,
)
from incidentfox.analysis.signals import StatusNotice

_LONGEST = 160
_PLAIN_RUN = re.compile(r"[ !#-\[\]-~]+")


def quotable(text: str) -> str:
    """The longest run of `text` that JSON renders as it is, at most 160 characters; empty where there is
    none.
    """
    runs = [run.strip() for run in _PLAIN_RUN.findall(text)]
    return max(runs, key=len, default="")[:_LONGEST].strip()


def clock(time: float) -> str:
    """A Unix time as people on call read it: UTC to the second."""
    return datetime.fromtimestamp(time, UTC).strftime("%H:%M:%S")


def number(value: float) -> str:
    """A measured value with three significant digits, without an exponent where it can be avoided."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def anomaly_claim(anomaly: Anomaly) -> Claim:
    """What a metric did, quoted by its name."""
    verb = ("climbed" if anomaly.gradual else "rose") if anomaly.direction == "up" else "fell"
    text = (
        f"{anomaly.metric} of {anomaly.service} {verb} from {number(anomaly.baseline)} to {number(anomaly.peak)}"
        f" from {clock(anomaly.onset)} on"
    )
    return Claim(text, "anomalies", quotable(anomaly.metric))


def log_claim(finding: LogFinding) -> Claim:
    """What a service logs since the onset, quoted from the template."""
    how = "new" if finding.before == 0 else f"{finding.before} before"
    said = quotable(finding.template)
    return Claim(f"{finding.service} logs: {said} ({finding.after} times, {how})", "logs", said)


def trace_claim(traces: TraceReport) -> Claim | None:
    """Where the failing traces end, quoted from the report."""
    service = traces.deepest_failing
    if service is None:
        return None
    telling = next((s for s in traces.spans if s.service == service and s.errors and s.error), None)
    if telling is not None and quotable(telling.error or ""):
        said = quotable(telling.error or "")
        return Claim(f"Failing traces end in {service}, span {telling.name}: {said}", "traces", said)
    return Claim(f"{service} is the deepest failing node of the traces", "traces", quotable(service))


def change_claims(change: ChangeFinding) -> list[Claim]:
    """What the change does (quoted from its diff) and how it got there (quoted by its id)."""
    claims = []
    line = change.excerpt[:_LONGEST].strip()
    reason = change.reasons[0] if change.reasons else change.title
    if line:
        name = f"Flag {change.ref}" if change.kind == "flag" else f"Commit {change.ref[:12]}"
        claims.append(Claim(f"{name}: {reason}", "changes", line))
    place = ", ".join(change.deployed_to) or "production"
    when = f" at {clock(change.deployed_at)}" if change.deployed_at is not None else ""
    what = "was switched for" if change.kind == "flag" else "went live in"
    claims.append(
        Claim(f"{quotable(change.title) or change.ref} {what} {place}{when}", "changes", quotable(change.ref))
    )
    return claims


def lock_claim(lock: LockFinding) -> Claim:
    """Which session holds the others up, quoted by its last statement."""
    victims = ", ".join(lock.victims)
    text = (
        f"Session {lock.pid} of {lock.application} ({lock.state}, transaction open for {lock.transaction_age_s:.0f} s)"
        f" holds up {lock.waiting} sessions ({victims})"
    )
    return Claim(text, "database", lock.query[:_LONGEST].strip() or quotable(lock.application) or str(lock.pid))


def notice_claim(notice: StatusNotice) -> Claim:
    """What a status feed reports, quoted from its summary."""
    said = quotable(notice.summary) or quotable(notice.component)
    return Claim(f"{notice.component} is reported {notice.status}: {said}", "notices", said)


def without_repeats(claims: Sequence[Claim]) -> tuple[Claim, ...]:
    """The claims in order, each basis and excerpt once, those without an excerpt left out."""
    kept: dict[tuple[str, str], Claim] = {}
    for claim in claims:
        if claim.excerpt:
            kept.setdefault((claim.basis, claim.excerpt), claim)
    return tuple(kept.values())
