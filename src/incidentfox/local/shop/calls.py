"""How one service of the shop calls the next: JSON over HTTP, with a client span and the caller's trace."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

import httpx2

from incidentfox.local.shop.telemetry import Telemetry


class PeerFailed(Exception):
    """The called service did not answer in time, or answered with an error."""


async def once_more(send: Callable[[], Awaitable[httpx2.Response]]) -> httpx2.Response:
    """Sends again when the connection was closed unanswered.

    An instance that hands over to the next release closes connections that it has accepted and not read from yet.
    """
    try:
        return await send()
    except httpx2.RemoteProtocolError:
        return await send()


class Peer:
    """The service that this one calls."""

    def __init__(self, url: str, telemetry: Telemetry, timeout_s: float) -> None:
        # No kept connections: an instance that hands over to the next release closes idle ones under the caller.
        limits = httpx2.Limits(max_keepalive_connections=0)
        self._http = httpx2.AsyncClient(
            base_url=url, timeout=timeout_s, limits=limits, transport=httpx2.AsyncHTTPTransport(retries=2)
        )
        self._telemetry = telemetry

    async def post(self, service: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POSTs JSON; PeerFailed for anything but 2xx."""
        with self._telemetry.span(f"POST {service}{path}", "CLIENT", **{"peer.service": service}) as span:
            headers = {"traceparent": span.traceparent}
            try:
                answer = await once_more(lambda: self._http.post(path, json=body, headers=headers))
            except httpx2.TimeoutException:
                raise PeerFailed(f"{service} did not answer within {self._http.timeout.read} s") from None
            except httpx2.TransportError as error:
                raise PeerFailed(f"{service} broke the connection: {error}") from None
            if not answer.is_success:
                raise PeerFailed(f"{service} answered {answer.status_code}: {answer.json().get('error', '')}")
            result: dict[str, Any] = answer.json()
            return result

    async def __aenter__(self) -> Peer:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()
