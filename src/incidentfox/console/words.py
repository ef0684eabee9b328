"""Values in the words of people: durations, ages, confidence, states, next steps. Pure; the templates' filters."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from incidentfox.contracts.answer import Answer, AnswerSuspect, Remediation, RootCause
from incidentfox.contracts.change_requests import ChangeRequestStatus
from incidentfox.contracts.runs import AlertInput, Run, RunInput, RunStatus

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
SHOWN_HASH = 12
_COMMIT_CHARACTERS = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class Badge:
    """A state for the eye: always a word, with an icon's name and a tone (ok, bad, warn, live, idle)."""

    word: str
    icon: str
    tone: str


_BADGES = {
    RunStatus.QUEUED: Badge("Queued", "clock", "idle"),
    RunStatus.RUNNING: Badge("Investigating", "spinner", "live"),
    RunStatus.WAITING_APPROVAL: Badge("Waiting for approval", "pause", "warn"),
    RunStatus.SUCCEEDED: Badge("Finished", "check", "ok"),
    RunStatus.FAILED: Badge("Failed", "cross", "bad"),
    RunStatus.TIMED_OUT: Badge("Timed out", "clock", "bad"),
    RunStatus.CANCELLED: Badge("Cancelled", "slash", "idle"),
}
_REQUEST_BADGES = {
    ChangeRequestStatus.OPEN: Badge("Open", "question", "warn"),
    ChangeRequestStatus.APPLIED: Badge("Applied", "check", "ok"),
    ChangeRequestStatus.REJECTED: Badge("Rejected", "cross", "bad"),
    ChangeRequestStatus.WITHDRAWN: Badge("Withdrawn", "slash", "idle"),
    ChangeRequestStatus.EXPIRED: Badge("Expired", "clock", "idle"),
}
_VERDICT = Badge("Cause found", "check", "ok")
_NO_VERDICT = Badge("Not enough evidence", "question", "warn")

_NEXT_STEPS: dict[Remediation, str] = {
    "rollback": "Roll the change back",
    "roll-forward": "Roll forward: ship what is missing",
    "config-revert": "Revert the configuration",
    "feature-flag-disable": "Switch the feature flag off",
    "scale": "Scale out",
    "failover": "Fail over",
    "rotate-cert": "Rotate the certificate",
    "reschedule": "Reschedule the workload",
    "escalate-upstream": "Escalate to the upstream provider",
    "purge-bad-data": "Purge the bad data",
}

_IDENTIFIERS = {
    "incidentio_alert_source": "incident.io alert source",
    "pagerduty_service": "PagerDuty service",
    "incidentio_team": "incident.io team",
    "github_repository": "GitHub repository",
    "slack_channel": "Slack channel",
    "service": "Service",
    "custom": "Custom",
}
_GROUPS = {"mcp_servers": "MCP servers"}

_PRODUCTS = {
    "alertmanager": "Alertmanager",
    "custom": "its source",
    "github": "GitHub",
    "incidentio": "incident.io",
    "pagerduty": "PagerDuty",
    "slack": "Slack",
}


def badge(run: Run) -> Badge:
    """The run's state. Of the runs that finished well, those that found a cause are told from those that did not."""
    if run.status is RunStatus.SUCCEEDED:
        return _VERDICT if verdict(run) else _NO_VERDICT
    return _BADGES[run.status]


def status_word(status: RunStatus) -> str:
    """The name of a state."""
    return _BADGES[status].word


def request_state(status: ChangeRequestStatus) -> Badge:
    """The state of a change request."""
    return _REQUEST_BADGES[status]


def alert_title(content: RunInput) -> str:
    """What a run is about, in one line."""
    title = content.alert.title if content.alert else content.prompt
    return (title.strip().splitlines() or ["Untitled run"])[0][:300]


def alert_reading(alert: AlertInput) -> str | None:
    """What the monitor saw: "inventory_wait_seconds 9.8, threshold 0.5"."""
    if alert.metric is None:
        return None
    observed = "" if alert.observed is None else f" at {plain(alert.observed)}"
    threshold = "" if alert.threshold is None else f", threshold {plain(alert.threshold)}"
    return f"{alert.metric}{observed}{threshold}"


def product_name(source: str) -> str:
    """An outside system by the name it gives itself."""
    return _PRODUCTS.get(source, source)


def next_step(remediation: Remediation) -> str:
    """A remediation as an instruction."""
    return _NEXT_STEPS[remediation]


def confidence_word(confidence: float) -> str:
    """A confidence of 0..1 in words."""
    for least, word in ((0.85, "High"), (0.6, "Moderate"), (0.35, "Low")):
        if confidence >= least:
            return word
    return "Very low"


def percent(share: float) -> str:
    """0.92 → "92 %"; never 100 % for less than all."""
    return f"{min(round(share * 100), 99) if share < 1 else 100}\N{NO-BREAK SPACE}%"


def duration(seconds: float) -> str:
    """A length of time with two significant parts at most: "320 ms", "4.2 s", "3 min 12 s", "2 h 5 min"."""
    seconds = max(0.0, seconds)
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}\N{NO-BREAK SPACE}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}\N{NO-BREAK SPACE}s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole}\N{NO-BREAK SPACE}s"
    if whole < _HOUR:
        return _two_parts(whole, 60, "min", "s")
    if whole < _DAY:
        return _two_parts(whole // 60, 60, "h", "min")
    return _two_parts(whole // 3600, 24, "d", "h")


def ago(at: datetime, now: datetime) -> str:
    """How long ago: "just now", "12 s ago", "3 min ago", "2 h ago", "5 d ago". One part: it is read at a glance."""
    seconds = (now - at).total_seconds()
    if seconds < 5:
        return "just now"
    for unit, length, until in (("s", 1.0, _MINUTE), ("min", _MINUTE, _HOUR), ("h", _HOUR, _DAY)):
        if seconds < until:
            return f"{int(seconds // length)}\N{NO-BREAK SPACE}{unit} ago"
    return f"{int(seconds // _DAY)}\N{NO-BREAK SPACE}d ago"


def since(start: datetime, at: datetime) -> str:
    """A moment relative to the start of its timeline: "+0.4 s"; "−3 min 2 s" for what came before."""
    seconds = (at - start).total_seconds()
    if abs(seconds) < 0.0005:
        return "0\N{NO-BREAK SPACE}s"
    return f"{'−' if seconds < 0 else '+'}{duration(abs(seconds))}"


def clock(at: datetime) -> str:
    """The time of day, UTC."""
    return f"{at.astimezone(UTC):%H:%M:%S}"


def moment(at: datetime) -> str:
    """Date and time, UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def iso(at: datetime) -> str:
    """For `datetime` attributes."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def short_hash(value: str) -> str:
    """The first characters of a content hash, without its algorithm's name."""
    return value.removeprefix("sha256:")[:SHOWN_HASH]


def short_change(change: str) -> str:
    """A commit shortened as git does; a flag's name as it is."""
    is_commit = len(change) >= SHOWN_HASH and set(change) <= _COMMIT_CHARACTERS
    return change[:10] if is_commit else change


def plain(value: float) -> str:
    """A number with four significant digits at most, without an exponent where people expect none."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"{value:.4g}"


def money(dollars: float) -> str:
    """A cost; small ones keep the digits that tell them from nothing."""
    return f"${dollars:.2f}" if dollars >= 0.1 or dollars == 0 else f"${dollars:.4f}"


def person(subject: str | None) -> str:
    """Who did something: a person by handle, a token by the end of its id, a service by its name."""
    kind, _, name = (subject or "").partition(":")
    if kind == "user":
        return name
    if kind == "token":
        return f"token …{name[-6:]}"
    if kind == "service":
        return "the operator" if name == "platform" else f"the {name}"
    return subject or "nobody"


def kind_word(kind: str) -> str:
    """A kind of node in words."""
    return {"org": "Organisation", "unit": "Unit", "team": "Team"}[kind]


def group_word(key: str) -> str:
    """A first key of a configuration document as a heading: "entrance_agent" → "Entrance agent"."""
    return _GROUPS.get(key) or key.replace("_", " ").capitalize()


def role_word(role: str) -> str:
    """A role in words: "org_admin" → "Organisation admin"."""
    return {"org_admin": "Organisation admin", "team_admin": "Team admin"}.get(role) or role.capitalize()


def identifier_word(kind: str) -> str:
    """A kind of identifier in words."""
    return _IDENTIFIERS[kind]


def day(at: datetime) -> str:
    """The date, UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d}"


def verdict(run: Run) -> RootCause | None:
    """The root cause of a finished run."""
    return run.answer.root_cause if run.answer else None


def is_chosen(suspect: AnswerSuspect, answer: Answer) -> bool:
    """Whether the verdict fell on this suspect."""
    cause = answer.root_cause
    return cause is not None and (suspect.service, suspect.change) == (cause.service, cause.change)


def run_seconds(run: Run, now: datetime) -> float | None:
    """How long the run took, by its answer where there is one; how long it has been taking; None before it began."""
    if run.answer is not None:
        return run.answer.duration_s
    if run.started_at is None:
        return None
    return ((run.finished_at or now) - run.started_at).total_seconds()


def _two_parts(whole: int, size: int, large: str, small: str) -> str:
    first, rest = divmod(whole, size)
    head = f"{first}\N{NO-BREAK SPACE}{large}"
    return f"{head} {rest}\N{NO-BREAK SPACE}{small}" if rest else head
