"""The monitor's alert rule, and the PagerDuty V3 webhook that it sends.

Form of the webhook: developer.pagerduty.com/docs/webhooks-overview, built here and signed as
developer.pagerduty.com/docs/verifying-webhook-signatures says (HMAC-SHA-256 over the raw body, hex, `v1=`).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import httpx2

from incidentfox.local.shop.telemetry import iso

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 10.0


@dataclass(frozen=True)
class Alert:
    """One breach: the same fields as a recorded incident's alert.json, and the incident it belongs to."""

    incident_id: str
    service: str
    metric: str
    threshold: float
    observed: float
    fired_at: str
    monitor: str
    summary: str
    severity: str = "critical"
    resolved_at: str | None = None


@dataclass(frozen=True)
class Rule:
    """The p99 of a service's requests stays above the threshold for a while."""

    service: str
    threshold_ms: float
    for_s: float
    monitor: str = "checkout latency"
    metric: str = "http_server_duration_p99_ms"


class RuleState:
    """Judges one value after the other; remembers whether the alert is on."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._since: float | None = None
        self.alert: Alert | None = None

    def judge(self, now: float, observed_ms: float | None) -> Alert | None:
        """The alert when it has just fired or has just been resolved, else None. No requests: no opinion."""
        if observed_ms is None:
            return None
        is_breached = observed_ms > self._rule.threshold_ms
        if is_breached == (self.alert is not None):
            self._since = None
            return None
        self._since = now if self._since is None else self._since
        if now - self._since < self._rule.for_s:
            return None
        self._since = None
        return self._fire(now, observed_ms) if is_breached else self._resolve(now)

    def _fire(self, now: float, observed_ms: float) -> Alert:
        rule = self._rule
        self.alert = Alert(
            incident_id="Q" + "".join(secrets.choice(_CROCKFORD) for _ in range(13)),
            service=rule.service,
            metric=rule.metric,
            threshold=rule.threshold_ms,
            observed=round(observed_ms, 1),
            fired_at=iso(now),
            monitor=rule.monitor,
            summary=f"{rule.service}: request duration p99 {observed_ms:.0f} ms is above {rule.threshold_ms:.0f} ms",
        )
        return self.alert

    def _resolve(self, now: float) -> Alert | None:
        if self.alert is None:
            return None
        resolved = Alert(**{**asdict(self.alert), "resolved_at": iso(now)})
        self.alert = None
        return resolved


def webhook_body(alert: Alert, service_id: str, number: int) -> bytes:
    """`incident.triggered`, or `incident.resolved` for an alert that is over; with an event id of its own."""
    status = "resolved" if alert.resolved_at else "triggered"
    incident_url = f"https://shop.pagerduty.com/incidents/{alert.incident_id}"
    occurred_at = alert.resolved_at or alert.fired_at
    details = {key: value for key, value in asdict(alert).items() if key not in ("incident_id", "resolved_at")}
    data: dict[str, Any] = {
        "id": alert.incident_id,
        "type": "incident",
        "self": f"https://api.pagerduty.com/incidents/{alert.incident_id}",
        "html_url": incident_url,
        "number": number,
        "status": status,
        "incident_key": alert.incident_id.lower(),
        "created_at": alert.fired_at,
        "title": alert.summary,
        "service": {
            "html_url": f"https://shop.pagerduty.com/services/{service_id}",
            "id": service_id,
            "self": f"https://api.pagerduty.com/services/{service_id}",
            "summary": alert.service,
            "type": "service_reference",
        },
        "assignees": [],
        "escalation_policy": None,
        "teams": [],
        "priority": None,
        "urgency": "high",
        "conference_bridge": None,
        "resolve_reason": None,
        "body": {"type": "incident_body", "details": details},
    }
    event = {
        "id": "01" + "".join(secrets.choice(_CROCKFORD) for _ in range(24)),
        "event_type": f"incident.{status}",
        "resource_type": "incident",
        "occurred_at": occurred_at,
        "agent": None,
        "client": {"name": alert.monitor},
        "data": data,
    }
    return json.dumps({"event": event}).encode()


def sign(body: bytes, secret: str) -> str:
    """The value of `X-PagerDuty-Signature`."""
    return "v1=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class Courier:
    """Delivers webhooks one after the other, each until it was taken: the same bytes, hence the same event id."""

    def __init__(self, url: str, secret: str, say: Callable[[str], None]) -> None:
        self._url = url
        self._secret = secret
        self._say = say
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue()

    def post(self, body: bytes) -> None:
        """Takes a webhook for delivery."""
        self._waiting.put_nowait(body)

    async def run(self) -> None:
        """Delivers until cancelled."""
        async with httpx2.AsyncClient(timeout=10.0) as http:
            while True:
                await self._deliver(http, await self._waiting.get())

    async def _deliver(self, http: httpx2.AsyncClient, body: bytes) -> None:
        headers = {
            "content-type": "application/json",
            "user-agent": "PagerDuty-Webhook/V3.0",
            "x-pagerduty-signature": sign(body, self._secret),
        }
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                answer = await http.post(self._url, content=body, headers=headers)
                if answer.is_success:
                    self._say(f"webhook delivered: {answer.status_code}")
                    return
                self._say(f"webhook refused with {answer.status_code}, trying again in {pause_s:.1f} s")
            except httpx2.TransportError as error:
                self._say(f"webhook not delivered ({type(error).__name__}), trying again in {pause_s:.1f} s")
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
