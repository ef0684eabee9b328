"""The one way to make an HTTP service: correlation, traces, metrics, problems, size limit, health and readiness."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from incidentfox.kernel.errors import Failure, TooLarge
from incidentfox.kernel.logging import CORRELATION_HEADER, accept_correlation_id, correlated
from incidentfox.kernel.telemetry import REQUEST_SECONDS, REQUESTS, metrics_page, request_span
from incidentfox.kernel.web.auth import Authenticator, public
from incidentfox.kernel.web.examples import StoryMaker
from incidentfox.kernel.web.openapi import openapi_document
from incidentfox.kernel.web.problem import install_problem_handlers, problem_response

MAX_BODY_BYTES = 1024 * 1024
"""The documented limit of every request body: 1 MiB."""

ReadinessCheck = Callable[[], Awaitable[None]]
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class AppParts:
    """What differs between services. `ready` raises a Failure while a dependency is away."""

    service: str
    title: str
    authenticator: Authenticator
    lifespan: Lifespan
    ready: ReadinessCheck
    body_limits: Mapping[str, int] = field(default_factory=dict)
    """Path endings whose bodies may be larger than MAX_BODY_BYTES, with their own limit in bytes."""
    story: StoryMaker | None = None
    """The examples of the OpenAPI document; asked for when the document is."""


def create_app(parts: AppParts) -> FastAPI:
    """A service's application; the caller adds its routers."""
    app = FastAPI(
        title=parts.title,
        version="1",
        lifespan=parts.lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        # The Envelope below is the one span and the one set of metrics; the framework's own would come on top of them.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.authenticator = parts.authenticator
    app.state.service = parts.service
    app.state.story = parts.story
    install_problem_handlers(app)
    _add_operational_routes(app, parts)
    app.add_middleware(Envelope, service=parts.service, body_limits=parts.body_limits)
    return app


def _add_operational_routes(app: FastAPI, parts: AppParts) -> None:
    @app.get("/healthz", include_in_schema=False)
    @public
    async def healthz() -> JSONResponse:
        return JSONResponse({"status": "ok", "service": parts.service})

    @app.get("/readyz", include_in_schema=False)
    @public
    async def readyz() -> Response:
        try:
            await parts.ready()
        except Failure as failure:
            return problem_response(failure)
        return JSONResponse({"status": "ready", "service": parts.service})

    @app.get("/metrics", include_in_schema=False)
    @public
    async def metrics() -> Response:
        body, media_type = metrics_page()
        return Response(body, media_type=media_type)

    @app.get("/openapi.json", include_in_schema=False)
    @public
    async def openapi() -> JSONResponse:
        return JSONResponse(openapi_document(app))


class Envelope:
    """Middleware round every request: correlation id, span, metrics, size limit.

    Pure ASGI rather than BaseHTTPMiddleware, which buffers streams and costs a task per request.
    """

    def __init__(self, app: ASGIApp, service: str, body_limits: Mapping[str, int]) -> None:
        self._app = app
        self._service = service
        self._body_limits = body_limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        started = time.perf_counter()
        status = 500

        async def send_stamped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    (CORRELATION_HEADER.lower().encode(), current.encode()),
                ]
            await send(message)

        with (
            correlated(accept_correlation_id(request.headers.get(CORRELATION_HEADER))) as current,
            request_span(request.method, request.headers) as span,
        ):
            span.set_attribute("incidentfox.correlation_id", current)
            # For the handler of unforeseen errors, which answers from outside of this block.
            scope.setdefault("state", {})["correlation_id"] = current
            try:
                await self._limited(scope, request, receive, send_stamped)
            finally:
                route = getattr(scope.get("route"), "path", "unmatched")
                span.update_name(f"{request.method} {route}")
                span.set_attribute("http.response.status_code", status)
                REQUESTS.labels(self._service, request.method, route, str(status)).inc()
                REQUEST_SECONDS.labels(self._service, request.method, route).observe(time.perf_counter() - started)

    async def _limited(self, scope: Scope, request: Request, receive: Receive, send: Send) -> None:
        limit = next((n for end, n in self._body_limits.items() if scope["path"].endswith(end)), MAX_BODY_BYTES)
        declared = request.headers.get("content-length", "0")
        if not declared.isdigit() or int(declared) > limit:
            await problem_response(_too_large(limit))(scope, receive, send)
            return
        await self._app(scope, _counting(receive, limit), send)


def _counting(receive: Receive, limit: int) -> Receive:
    """Counts what really arrives: a chunked body declares no length."""
    total = 0

    async def counted() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > limit:
            raise _too_large(limit)
        return message

    return counted


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The request body may have {limit} bytes at most.")
