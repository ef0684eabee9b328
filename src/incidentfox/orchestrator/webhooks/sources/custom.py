"""Any sender that speaks Standard Webhooks (github.com/standard-webhooks/standard-webhooks, specification 1.0).

Headers `webhook-id`, `webhook-timestamp` (Unix seconds, five minutes of tolerance) and `webhook-signature` (space
separated `v1,<base64>`): HMAC-SHA-256 over `{id}.{timestamp}.{raw body}` with the base64 secret after `whsec_`.
Verified here rather than by the reference library, which reads the clock itself.

The body is `{"type": …, "timestamp"?: …, "data": {…}}`; `CustomData` is its documented, closed form.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, Field, FiniteFloat, StringConstraints, ValidationError

from incidentfox.contracts.model import WireModel
from incidentfox.contracts.routing import Identifier, IdentifierKind
from incidentfox.contracts.runs import AlertInput, ReplyTo
from incidentfox.kernel.clock import utc
from incidentfox.kernel.errors import Invalid
from incidentfox.kernel.web.problem import field_errors
from incidentfox.orchestrator.webhooks.rules import (
    MAX_KEY,
    MAX_TEXT,
    MAX_TITLE,
    YEARS,
    clean_text,
    distinct,
    malformed,
    parse_object,
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

TOLERANCE_S = 300
_SECRET_PREFIX = "whsec_"
_SECRET_BYTES = range(24, 65)  # the specification's bounds

_ACTIONS = {
    "alert.triggered": Action.TRIGGER,
    "alert.acknowledged": Action.ACKNOWLEDGE,
    "alert.resolved": Action.RESOLVE,
    "alert.reopened": Action.REOPEN,
    "alert.updated": Action.RECORD,
}


def _sane(moment: datetime) -> datetime:
    if moment.year not in YEARS:
        raise ValueError(f"must lie between {YEARS.start} and {YEARS.stop}")
    return moment


Moment = Annotated[AwareDatetime, AfterValidator(_sane)]
Line = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TITLE)]
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT)]
IncidentKey = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,255}$")]


class CustomData(WireModel):
    """`data` of a custom event: what fired, whose it may be, and where people talk about it already.

    `incident_key` ties the events of one incident together; without it each trigger is an incident of its own, and the
    other types, which need one to be about, are refused.
    """

    title: Line
    incident_key: IncidentKey | None = None
    service: Line | None = None
    metric: Line | None = None
    severity: Literal["critical", "error", "warning", "info"] = "critical"
    summary: Text = ""
    monitor: Annotated[str, StringConstraints(max_length=MAX_TITLE)] = ""
    threshold: FiniteFloat | None = None
    observed: FiniteFloat | None = None
    fired_at: Moment | None = None
    url: Line | None = None
    identifiers: tuple[Identifier, ...] = Field(default=(), max_length=60)
    recording_id: Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None
    slack_channel: Line | None = None
    slack_thread_ts: Line | None = None


class CustomEvent(WireModel):
    """The whole body. `timestamp` is when it happened; it falls back on `fired_at` and on when it was sent."""

    type: Literal["alert.triggered", "alert.acknowledged", "alert.resolved", "alert.reopened", "alert.updated"]
    timestamp: Moment | None = None
    data: CustomData


class Custom(Source):
    """Standard Webhooks."""

    name = "custom"
    description = SourceDescription(
        title="Custom (Standard Webhooks)",
        signature_header="webhook-signature",
        signs_time=True,
        secret_help="`whsec_` and 24 to 64 bytes in base64; leave it out to have one generated.",
        documentation_url="https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md",
    )

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float) -> None:
        """Any of the header's `v1` signatures by any of the secrets, made within five minutes of `now`."""
        message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        header = headers.get("webhook-signature", "")
        if not (message_id and timestamp and header.strip()):
            raise signature_refused("missing", "webhook-id, webhook-timestamp and webhook-signature are all needed.")
        signed_at = _seconds(timestamp)
        content = f"{message_id}.{timestamp}.".encode() + body
        offered = [part[3:].encode() for part in header.split() if part.startswith("v1,")]
        for secret in secrets:
            digest = hmac.new(_key(secret), content, hashlib.sha256).digest()
            expected = base64.b64encode(digest)
            if any(hmac.compare_digest(expected, signature) for signature in offered):
                break
        else:
            raise signature_refused("invalid", "No v1 signature in webhook-signature was made with a live secret.")
        # Only now: whoever cannot sign learns nothing about the clock here.
        if abs(now - signed_at) > TOLERANCE_S:
            raise signature_refused(
                "expired",
                f"webhook-timestamp is more than {TOLERANCE_S} seconds away from now. Sign each attempt anew.",
            )

    def parse(self, headers: Mapping[str, str], body: bytes) -> ParsedEvent:
        """The closed form above; types it does not know are answered, not refused."""
        document = parse_object(body)
        key = require_key(headers.get("webhook-id"), "webhook-id")
        sent_at = utc(_seconds(headers.get("webhook-timestamp", "")))
        event_type = clean_text(document.get("type"), 100)
        if not event_type:
            raise malformed("`type` is needed, for example alert.triggered.")
        if event_type not in _ACTIONS:
            return ParsedEvent(
                delivery_key=key,
                event_type=event_type,
                action=Action.IGNORE,
                reason=f"{event_type} is not one of {', '.join(_ACTIONS)}",
                occurred_at=sent_at,
            )
        event = _validated(body)
        action = _ACTIONS[event.type]
        if action is not Action.TRIGGER and event.data.incident_key is None:
            raise malformed(f"{event.type} needs `data.incident_key`: which incident is it about?")
        trigger = action is Action.TRIGGER
        occurred_at = event.timestamp or (event.data.fired_at if trigger else None) or sent_at
        return ParsedEvent(
            delivery_key=key,
            event_type=event.type,
            action=action,
            occurred_at=occurred_at,
            incident=IncidentRef(
                external_id=event.data.incident_key or key,
                title=clean_text(event.data.title, MAX_TITLE),
                url=clean_text(event.data.url, MAX_TITLE) or None,
            ),
            identifiers=distinct(_identifiers(event.data)),
            alert=_alert(event.data, occurred_at) if trigger else None,
            reply_to=ReplyTo(
                slack_channel=clean_text(event.data.slack_channel, MAX_TITLE) or None,
                slack_thread_ts=clean_text(event.data.slack_thread_ts, MAX_TITLE) or None,
            ),
            recording_id=event.data.recording_id,
        )

    def assumed_headers(self, now: float) -> dict[str, str]:
        """The message's id and time: they say nothing about the route."""
        return {"webhook-id": "dry-run", "webhook-timestamp": str(int(now))}

    def check_secret(self, secret: str) -> None:
        """Base64 of 24 to 64 bytes, with or without `whsec_`."""
        try:
            length = len(_key(secret))
        except Invalid:
            length = 0
        if length not in _SECRET_BYTES:
            raise Invalid("A Standard Webhooks secret is `whsec_` and 24 to 64 bytes in base64.", code="invalid_secret")


def _seconds(timestamp: str) -> int:
    if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 10:
        raise signature_refused("invalid", "webhook-timestamp must be Unix seconds.")
    return int(timestamp)


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid("The secret is not base64.", code="invalid_secret") from error


def _validated(body: bytes) -> CustomEvent:
    try:
        return CustomEvent.model_validate_json(body)
    except ValidationError as error:
        found = field_errors(error.errors())
        first = f" First: {found[0].pointer}: {found[0].message}." if found else ""
        raise Invalid(f"{len(found)} invalid field(s).{first}", code="malformed_body", errors=found) from error


def _identifiers(data: CustomData) -> Iterator[Identifier]:
    for identifier in data.identifiers:
        if value := clean_text(identifier.value, 512):
            name = clean_text(identifier.name, MAX_KEY) or None
            yield Identifier(kind=identifier.kind, value=value, name=name)
    if data.slack_channel and (channel := clean_text(data.slack_channel, 512)):
        yield Identifier(kind=IdentifierKind.SLACK_CHANNEL, value=channel)
    if data.service and (service := clean_text(data.service, 512)):
        yield Identifier(kind=IdentifierKind.SERVICE, value=service)


def _alert(data: CustomData, occurred_at: datetime) -> AlertInput:
    return AlertInput(
        title=clean_text(data.title, MAX_TITLE) or "(untitled alert)",
        service=clean_text(data.service, MAX_TITLE) or None,
        metric=clean_text(data.metric, MAX_TITLE) or None,
        summary=clean_text(data.summary, MAX_TEXT),
        severity=data.severity,
        monitor=clean_text(data.monitor, MAX_TITLE),
        threshold=data.threshold,
        observed=data.observed,
        fired_at=data.fired_at or occurred_at,
        url=clean_text(data.url, MAX_TITLE) or None,
    )


SOURCE = Custom()
