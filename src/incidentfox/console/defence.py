"""What protects every response and every form: security headers, the origin check, and a clean slate per request."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from incidentfox.console.session import acting_as
from incidentfox.kernel.errors import Failure, Forbidden
from incidentfox.kernel.logging import CORRELATION_HEADER, accept_correlation_id, correlated

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        # Telemetry is hostile text. Where browsers enforce Trusted Types, no script of ours can turn a string into
        # markup but the one policy that parses fragments which the server has escaped (static/live.js).
        "require-trusted-types-for 'script'",
        "trusted-types incidentfox-fragment",
    )
)

SECURITY_HEADERS: dict[str, str] = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer": under that policy browsers send `Origin: null` with our own forms (Fetch, 3.1), and the
    # origin check could no longer tell them from a stranger's. Nothing leaves for another origin under this one.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_HSTS = "max-age=31536000"
_FOREIGN_FORM = Forbidden("This form was not sent from the console's own pages.", code="cross_site_request")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


Refuse = Callable[[Request, Failure], Response]
"""Makes the page that tells a person about a failure."""


def security_headers(*, https: bool) -> Mapping[str, str]:
    """The headers of every response."""
    return {**SECURITY_HEADERS, "Strict-Transport-Security": _HSTS} if https else SECURITY_HEADERS


class Defence:
    """Middleware round the whole console. `origin` is that of the public URL."""

    def __init__(self, app: ASGIApp, origin: str, refuse: Refuse) -> None:
        self._app = app
        self._origin = origin
        self._refuse = refuse
        self._headers = security_headers(https=origin.startswith("https:"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        # Decided here, outside the service's envelope, because the page for an unforeseen error is made outside of it
        # too and must show the same id.
        current = accept_correlation_id(headers.get(CORRELATION_HEADER))
        name = CORRELATION_HEADER.lower().encode()
        scope["headers"] = [*(pair for pair in scope["headers"] if pair[0] != name), (name, current.encode())]
        scope.setdefault("state", {})["correlation_id"] = current

        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._protect(MutableHeaders(scope=message))
            await send(message)

        with acting_as(None):
            if scope["method"] not in _SAFE_METHODS and not self._is_own_form(headers):
                with correlated(current):
                    await self._refuse(Request(scope), _FOREIGN_FORM)(scope, receive, send_protected)
                return
            await self._app(scope, receive, send_protected)

    def _protect(self, headers: MutableHeaders) -> None:
        for name, value in self._headers.items():
            headers.setdefault(name, value)
        headers.setdefault("Cache-Control", "no-store")

    def _is_own_form(self, headers: Headers) -> bool:
        """Browsers say where a request comes from: in Sec-Fetch-Site on trustworthy URLs, in Origin everywhere.

        A request with neither is no browser's, and the console has nothing for anything else: refused.
        """
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site == "same-origin"
        return headers.get("origin", "").lower() == self._origin
