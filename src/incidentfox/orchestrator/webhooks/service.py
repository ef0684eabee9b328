"""What happens to a delivery before it is acknowledged: verify, limit, record, enqueue. Nothing here runs anything.

The order is the defence. Who cannot sign costs one cached look-up and one HMAC, takes nothing from the tenant's limit
and writes nothing. Who can sign but repeats himself is answered from memory. Only a new, signed, supported delivery
within the limit reaches the database, in one transaction that also enqueues it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from opentelemetry.trace import get_current_span

from incidentfox.contracts.webhooks import AcceptedDelivery
from incidentfox.kernel.clock import Clock, system_clock
from incidentfox.kernel.errors import Failure, NotFound, RateLimited, TooSlow
from incidentfox.kernel.ids import is_id, new_id
from incidentfox.kernel.redaction import redact, suspects
from incidentfox.orchestrator.webhooks.endpoint_cache import EndpointCache, LiveEndpoint
from incidentfox.orchestrator.webhooks.metrics import DELIVERIES
from incidentfox.orchestrator.webhooks.recorder import Recorder
from incidentfox.orchestrator.webhooks.refusals import RefusalLedger, Sample
from incidentfox.orchestrator.webhooks.rules import partition_key
from incidentfox.orchestrator.webhooks.source import Action, ParsedEvent, Source, sources
from incidentfox.orchestrator.webhooks.store import NewDelivery

BODY_S = 10.0
"""How long a body may take to arrive: nobody has proved anything until it is here."""

_FIRST_FIELD = '{"delivery_key":'
"""Its name alone would make every event suspect; its value is looked at."""

ACCEPTED, REPEATED, IGNORED = "accepted", "repeated", "ignored"


@dataclass(frozen=True)
class Knock:
    """A request at the door, before its body is read. Header names are in lower case."""

    source: str
    endpoint_id: str
    headers: Mapping[str, str]
    read_body: Callable[[], Awaitable[bytes]]
    correlation_id: str
    source_address: str | None


class Ingress:
    """Takes deliveries in. One per process."""

    def __init__(
        self, endpoints: EndpointCache, recorder: Recorder, refusals: RefusalLedger, clock: Clock = system_clock
    ) -> None:
        self._endpoints = endpoints
        self._recorder = recorder
        self._refusals = refusals
        self._clock = clock

    async def accept(self, knock: Knock) -> AcceptedDelivery:
        """Returns once the delivery is committed (`accepted`), was before (`repeated`), or concerns nobody (`ignored`).

        Raises what it is refused with: NotFound, TooLarge, TooSlow, Unauthenticated, Invalid, RateLimited; Unavailable
        while the database is away or too much waits for it. After any of these there is no row that could run.
        """
        source = sources().get(knock.source)
        well_formed = is_id(knock.endpoint_id, "whe")  # what cannot be an endpoint must not make the database work
        endpoint = await self._endpoints.get(knock.endpoint_id) if source and well_formed else None
        if source is None or endpoint is None:
            DELIVERIES.labels(knock.source if source else "unknown", "refused", "webhook_not_found").inc()
            raise _not_found()
        if endpoint.row.disabled or endpoint.row.source != source.name:
            self._refuse(
                knock, endpoint, _not_found(), 0, "endpoint_disabled" if endpoint.row.disabled else "other_source"
            )
        body = b""
        try:
            body = await _body_of(knock)
            return await self._take_in(knock, source, endpoint, body)
        except Failure as failure:
            self._refuse(knock, endpoint, failure, len(body))

    async def _take_in(self, knock: Knock, source: Source, endpoint: LiveEndpoint, body: bytes) -> AcceptedDelivery:
        now = self._clock()
        source.verify(knock.headers, body, endpoint.live_secrets(now), now)
        self._recorder.check_limit(endpoint.row)
        event = source.parse(knock.headers, body)
        if event.action is Action.IGNORE:
            self._refusals.note(endpoint.row, "unsupported_event", _sample(knock, len(body)))
            DELIVERIES.labels(source.name, IGNORED, "unsupported_event").inc()
            return AcceptedDelivery(delivery_id=None, status=IGNORED, reason=event.reason)
        earlier = self._recorder.known(endpoint.row, event.delivery_key)
        if earlier is not None:
            return _repeated(source, earlier)
        recorded = await self._recorder.record(endpoint.row, _new_delivery(knock, endpoint, event, body))
        if recorded.repeated:
            return _repeated(source, recorded.delivery_id)
        DELIVERIES.labels(source.name, ACCEPTED, "").inc()
        return AcceptedDelivery(delivery_id=recorded.delivery_id, status=ACCEPTED)

    def _refuse(
        self, knock: Knock, endpoint: LiveEndpoint, failure: Failure, size_bytes: int, reason: str | None = None
    ) -> NoReturn:
        """Counts the refusal under `reason`, which for the answers that tell nothing is more exact than their code."""
        reason = reason or failure.code
        if failure.status < 500:
            self._refusals.note(endpoint.row, reason, _sample(knock, size_bytes))
        outcome = "limited" if isinstance(failure, RateLimited) else "refused"
        DELIVERIES.labels(endpoint.row.source, outcome, reason).inc()
        raise failure


async def _body_of(knock: Knock) -> bytes:
    try:
        async with asyncio.timeout(BODY_S):
            return await knock.read_body()
    except TimeoutError:
        raise TooSlow(f"The body has not arrived within {BODY_S:.0f} s. Send it again.") from None


def _new_delivery(knock: Knock, endpoint: LiveEndpoint, event: ParsedEvent, body: bytes) -> NewDelivery:
    row = endpoint.row
    return NewDelivery(
        delivery_id=new_id("dlv"),
        delivery_key=event.delivery_key,
        event_type=event.event_type,
        event=_without_secrets(event),
        body_sha256=hashlib.sha256(body).digest(),
        correlation_id=knock.correlation_id,
        traceparent=_traceparent(),
        partition=partition_key(row.org_id, row.endpoint_id, event.identifiers),
    )


def _without_secrets(event: ParsedEvent) -> str:
    """The event as it is stored. What routes and correlates stays as it came: a changed identifier finds nobody."""
    document = event.model_dump_json(exclude_defaults=True)
    if not suspects(document.removeprefix(_FIRST_FIELD)):
        return document
    clean = redact(event.model_dump(mode="json", exclude={"identifiers", "delivery_key"}, exclude_defaults=True))
    if event.incident is not None:
        clean["incident"]["external_id"] = event.incident.external_id
    return ParsedEvent.model_validate(
        {**clean, "identifiers": event.identifiers, "delivery_key": event.delivery_key}
    ).model_dump_json(exclude_defaults=True)


def _traceparent() -> str | None:
    """The current span as a W3C `traceparent`. By hand: the general propagators cost as much as parsing the event."""
    span = get_current_span().get_span_context()
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}" if span.is_valid else None


def _repeated(source: Source, delivery_id: str) -> AcceptedDelivery:
    DELIVERIES.labels(source.name, REPEATED, "").inc()
    return AcceptedDelivery(
        delivery_id=delivery_id, status=REPEATED, reason="This delivery was accepted before; nothing was started."
    )


def _sample(knock: Knock, size_bytes: int) -> Sample:
    names = tuple(sorted(name[:100] for name in knock.headers)[:40])
    return Sample(knock.correlation_id, knock.source_address, size_bytes, names)


def _not_found() -> NotFound:
    """One answer for an unknown endpoint, a disabled one and one of another source: it tells nothing apart."""
    return NotFound("There is no such webhook endpoint. Check the URL.", code="webhook_not_found")
