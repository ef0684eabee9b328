"""Sends signed `custom` events to the Orchestrator's door, as an outside system would: Standard Webhooks 1.0.

Used by the CLI to hand recorded incidents over. Holds no credential but the endpoint's own secret. The signature is
HMAC-SHA-256 over `{webhook-id}.{webhook-timestamp}.{raw body}` with the base64 secret after `whsec_`
(github.com/standard-webhooks/standard-webhooks, specification 1.0).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import httpx2

from incidentfox.clients.transport import failure_from
from incidentfox.contracts.webhooks import AcceptedDelivery
from incidentfox.kernel.clock import Clock, system_clock
from incidentfox.kernel.errors import Failure, Invalid, Temporary, Unavailable
from incidentfox.kernel.tls import trust

_TIMEOUT = httpx2.Timeout(10.0, connect=2.0)
_ATTEMPTS = 5
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 30.0


class WebhookSender:
    """One endpoint's sender. `url` is the endpoint's address, `secret` what it signs with (`whsec_…`)."""

    def __init__(self, url: str, secret: str, *, clock: Clock = system_clock) -> None:
        self._url = url
        self._key = _key(secret)
        self._clock = clock
        self._http = httpx2.AsyncClient(timeout=_TIMEOUT, verify=trust())

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def send(self, message_id: str, event: Mapping[str, Any]) -> AcceptedDelivery:
        """Delivers the event once, however often it has to be offered: the endpoint knows a repeated `message_id`.

        Offers again on Temporary failures, and when the endpoint says so; raises the Failure that remains.
        """
        body = json.dumps(event, separators=(",", ":")).encode()
        pause = _FIRST_PAUSE_S
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._offer(message_id, body)
            except Temporary as failure:
                if attempt == _ATTEMPTS:
                    raise
                told = failure.retry_after_s
                await asyncio.sleep(min(_LONGEST_PAUSE_S, pause if told is None else told))
                pause *= 2
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _offer(self, message_id: str, body: bytes) -> AcceptedDelivery:
        timestamp = str(int(self._clock()))
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": sign(self._key, message_id, timestamp, body),
        }
        try:
            response = await self._http.post(self._url, content=body, headers=headers)
        except httpx2.TransportError as error:
            raise Unavailable(f"The orchestrator is not reachable at {self._url} ({type(error).__name__}).") from error
        if response.is_error:
            raise self._refusal(failure_from(response))
        return AcceptedDelivery.model_validate_json(response.content)

    def _refusal(self, failure: Failure) -> Failure:
        """The refusal with the endpoint that spoke it; of the same kind, so that what may pass stays temporary."""
        return type(failure)(
            f"{self._url} refused the event: {failure.detail}",
            code=failure.code,
            errors=failure.errors,
            retry_after_s=failure.retry_after_s,
        )


def sign(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """The `webhook-signature` header: `v1,` and the HMAC in base64."""
    content = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid(
            "The webhook secret is not in the form of Standard Webhooks: `whsec_` and base64.", code="invalid_secret"
        ) from error
