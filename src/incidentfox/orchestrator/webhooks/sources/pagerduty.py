"""PagerDuty V3 webhooks (developer.pagerduty.com/docs/webhooks-overview and …/verifying-webhook-signatures).

`X-PagerDuty-Signature: v1=<hex>[,v1=<hex>…]`: HMAC-SHA-256 over the raw body, one signature for each secret that the
subscription has. No time is signed, so a signature never goes stale; a replay is held off by the event's own id. V1 and
V2 webhooks (`{"messages": …}`) are not signed at all and are refused.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from incidentfox.contracts.routing import Identifier, IdentifierKind
from incidentfox.contracts.runs import AlertInput
from incidentfox.kernel.errors import Invalid
from incidentfox.orchestrator.webhooks.rules import (
    MAX_TEXT,
    MAX_TITLE,
    clean_text,
    distinct,
    malformed,
    parse_number,
    parse_object,
    parse_time,
    require_key,
)
from incidentfox.orchestrator.webhooks.source import (
    Action,
    IncidentRef,
    ParsedEvent,
    Source,
    SourceDescription,
    signature_refused,
)

_HEADER = "x-pagerduty-signature"
_OLD_FORM = re.compile(rb'^\s*\{\s*"messages"\s*:')

_ACTIONS = {
    "incident.triggered": Action.TRIGGER,
    "incident.acknowledged": Action.ACKNOWLEDGE,
    "incident.unacknowledged": Action.UNACKNOWLEDGE,
    "incident.resolved": Action.RESOLVE,
    "incident.reopened": Action.REOPEN,
}


class PagerDuty(Source):
    """PagerDuty V3."""

    name = "pagerduty"
    description = SourceDescription(
        title="PagerDuty",
        signature_header="X-PagerDuty-Signature",
        signs_time=False,
        secret_help="PagerDuty shows the secret once, when the Generic Webhook (v3) is added. Store it with `rotate`.",
        documentation_url="https://developer.pagerduty.com/docs/webhooks-overview",
    )

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float) -> None:
        """Any of the header's `v1` signatures by any of the secrets will do: that is how PagerDuty rotates."""
        header = headers.get(_HEADER, "")
        if not header.strip():
            if _OLD_FORM.match(body):
                raise _old_version()
            raise signature_refused("missing", "The X-PagerDuty-Signature header is absent.")
        offered = [part.strip()[3:].encode() for part in header.split(",") if part.strip().startswith("v1=")]
        for secret in secrets:
            expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode()
            if any(hmac.compare_digest(expected, signature) for signature in offered):
                return
        raise signature_refused("invalid", "No v1 signature in X-PagerDuty-Signature was made with a live secret.")

    def parse(self, headers: Mapping[str, str], body: bytes) -> ParsedEvent:
        """The `event` envelope; `data` is the incident itself or, for what happens to one, refers to it."""
        document = parse_object(body)
        if "messages" in document:
            raise _old_version()
        event = _object(document.get("event"))
        event_type = clean_text(event.get("event_type"), 100)
        occurred_at = parse_time(event.get("occurred_at"))
        if not event_type or occurred_at is None:
            raise malformed("`event.event_type` and `event.occurred_at` are needed: this is not a V3 event.")
        key = require_key(event.get("id"), "`event.id`")
        data = _object(event.get("data"))
        incident = data if data.get("type") == "incident" else _object(data.get("incident"))
        if not event_type.startswith("incident.") or not incident.get("id"):
            return ParsedEvent(
                delivery_key=key,
                event_type=event_type,
                action=Action.IGNORE,
                reason=f"{event_type} is not about an incident",
                occurred_at=occurred_at,
            )
        action = _ACTIONS.get(event_type, Action.RECORD)
        return ParsedEvent(
            delivery_key=key,
            event_type=event_type,
            action=action,
            occurred_at=occurred_at,
            incident=_incident(incident),
            identifiers=distinct(_identifiers(incident)),
            alert=_alert(incident, occurred_at) if action is Action.TRIGGER else None,
        )


def _old_version() -> Invalid:
    return Invalid(
        "This is a PagerDuty V1 or V2 webhook, which carries no signature. In PagerDuty, under Integrations, add a "
        "Generic Webhook (v3) with this URL and remove the old extension; then store the secret that it shows with "
        "this endpoint.",
        code="pagerduty_v2_unsupported",
    )


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _incident(incident: Mapping[str, Any]) -> IncidentRef:
    return IncidentRef(
        external_id=require_key(incident.get("id"), "The incident's `id`"),
        title=clean_text(incident.get("title") or incident.get("summary"), MAX_TITLE),
        url=clean_text(incident.get("html_url"), MAX_TITLE) or None,
    )


def _identifiers(incident: Mapping[str, Any]) -> Iterator[Identifier]:
    service = _object(incident.get("service"))
    if value := clean_text(service.get("id"), 512):
        yield Identifier(kind=IdentifierKind.PAGERDUTY_SERVICE, value=value)
    for name in (service.get("summary"), _details(incident).get("service")):
        if value := clean_text(name, 512):
            yield Identifier(kind=IdentifierKind.SERVICE, value=value)
    teams = incident.get("teams")
    for team in teams if isinstance(teams, list) else ():
        if value := clean_text(_object(team).get("id"), 512):
            yield Identifier(kind=IdentifierKind.CUSTOM, name="pagerduty_team", value=value)


def _details(incident: Mapping[str, Any]) -> dict[str, Any]:
    """What the monitor told PagerDuty, where the incident carries it: `body.details`, as in the REST API."""
    return _object(_object(incident.get("body")).get("details"))


def _alert(incident: Mapping[str, Any], occurred_at: datetime) -> AlertInput:
    """V3 promises the title and the service only; what the details add is taken when it is there."""
    details = _details(incident)
    service = clean_text(details.get("service"), MAX_TITLE)
    return AlertInput(
        title=clean_text(incident.get("title"), MAX_TITLE) or "(untitled incident)",
        service=service or clean_text(_object(incident.get("service")).get("summary"), MAX_TITLE) or None,
        metric=clean_text(details.get("metric"), MAX_TITLE) or None,
        summary=clean_text(details.get("summary"), MAX_TEXT),
        severity="critical" if incident.get("urgency") == "high" else "warning",
        monitor=clean_text(details.get("monitor"), MAX_TITLE),
        threshold=parse_number(details.get("threshold")),
        observed=parse_number(details.get("observed")),
        fired_at=parse_time(details.get("fired_at")) or occurred_at,
        url=clean_text(incident.get("html_url"), MAX_TITLE) or None,
    )


SOURCE = PagerDuty()
