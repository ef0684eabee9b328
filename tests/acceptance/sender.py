"""Senders of webhooks, as the outside systems are: they sign each attempt, and repeat a delivery until it is taken."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

_PAUSE_S = 0.1
_AGAIN = (429, 500, 502, 503, 504)
FIRED_AT = "2026-03-01T10:45:00Z"
"""When the alert of the recorded incident fired."""


@dataclass(frozen=True)
class Message:
    """One delivery as its sender knows it: the same key and content at every attempt."""

    key: str
    body: bytes


@dataclass(frozen=True)
class Delivered:
    """A delivery that was taken, and how many attempts it took."""

    delivery_id: str
    attempts: int


@dataclass(frozen=True)
class Sender:
    """Sends to one endpoint with its secret, over connections that the caller keeps."""

    http: httpx2.AsyncClient
    url: str
    secret: str

    async def send(self, message: Message) -> httpx2.Response:
        """One attempt."""
        return await self.http.post(self.url, content=message.body, headers=self.signed(message))

    async def deliver(self, message: Message, within_s: float | None = 60.0) -> Delivered:
        """Attempts until the delivery is taken, as its first or as a repeated one."""
        attempts = 0
        async with asyncio.timeout(within_s):
            while True:
                attempts += 1
                try:
                    answer = await self.send(message)
                except httpx2.TransportError:
                    answer = None
                if answer is not None and answer.status_code not in _AGAIN:
                    assert answer.status_code in (200, 202), answer.text
                    return Delivered(answer.json()["delivery_id"], attempts)
                await asyncio.sleep(_PAUSE_S)

    def signed(self, message: Message) -> dict[str, str]:
        """The headers of one attempt, as the endpoint's source asks for them."""
        if "/pagerduty/" in self.url:
            signature = pagerduty_signature(self.secret, message.body)
            return {"Content-Type": "application/json", "X-PagerDuty-Signature": signature}
        timestamp = str(int(time.time()))
        content = f"{message.key}.{timestamp}.".encode() + message.body
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
        return {
            "Content-Type": "application/json",
            "webhook-id": message.key,
            "webhook-timestamp": timestamp,
            "webhook-signature": f"v1,{signature}",
        }


def pagerduty_signature(secret: str, body: bytes) -> str:
    """The value of `X-PagerDuty-Signature`."""
    return "v1=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def pagerduty_event(
    event_type: str,
    incident: str,
    service: str,
    *,
    occurred_at: str = FIRED_AT,
    details: Mapping[str, Any] | None = None,
) -> Message:
    """A V3 event as PagerDuty documents it; `details` is what the monitor had told it."""
    key = secrets.token_hex(13).upper()
    data = {
        "id": incident,
        "type": "incident",
        "self": f"https://api.pagerduty.com/incidents/{incident}",
        "html_url": f"https://acme.pagerduty.com/incidents/{incident}",
        "number": 2,
        "status": event_type.removeprefix("incident."),
        "title": "orders: http_5xx_ratio is 0.4",
        "service": {"id": service, "type": "service_reference", "summary": "orders"},
        "urgency": "high",
        "body": {"type": "incident_body", "details": dict(details or {})},
    }
    event = {
        "id": key,
        "event_type": event_type,
        "resource_type": "incident",
        "occurred_at": occurred_at,
        "agent": None,
        "client": None,
        "data": data,
    }
    return Message(key, json.dumps({"event": event}).encode())


def custom_alert(recording_id: str | None = None, **data: Any) -> Message:
    """A trigger of the custom source, of an incident of its own."""
    alert = {
        "title": "orders: http_5xx_ratio is 0.4",
        "service": "orders",
        "metric": "http_5xx_ratio",
        "threshold": 0.05,
        "observed": 0.4,
        "fired_at": FIRED_AT,
        **({"recording_id": recording_id} if recording_id else {}),
        **data,
    }
    return Message(f"msg_{secrets.token_hex(12)}", json.dumps({"type": "alert.triggered", "data": alert}).encode())
