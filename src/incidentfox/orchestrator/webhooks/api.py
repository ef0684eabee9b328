"""A WEBHOOK ENTERS HERE: `POST /webhooks/{source}/{endpoint_id}`.

A raw handler, because a normal FastAPI route costs twice its CPU. It carries no credential but the sender's signature,
which `service.py` verifies over the raw bytes. Answers: 202 new (committed and enqueued), 200 repeated or of no
concern, else problem+json: 400, 401, 404, 408, 413, 429 and 503 with Retry-After.
"""

from __future__ import annotations

import time

from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from incidentfox.kernel.errors import Failure, TooSlow
from incidentfox.kernel.logging import correlation_id, get_logger
from incidentfox.kernel.web.auth import public
from incidentfox.kernel.web.problem import problem_response
from incidentfox.orchestrator.webhooks.metrics import ACCEPT_SECONDS
from incidentfox.orchestrator.webhooks.service import ACCEPTED, Ingress, Knock

log = get_logger(__name__)


def add_webhook_route(app: FastAPI) -> None:
    """Adds the route; called by `create_app`. The Ingress is at `app.state.ingress` by the time a request comes."""
    door = public(_Door(app))
    route = door.route = Route("/webhooks/{source}/{endpoint_id}", door, methods=["POST"], name="receive_webhook")
    app.router.routes.insert(0, route)  # first: matching the other routes before it would cost every delivery


class _Door:
    """The route's ASGI application: Starlette wraps a function in two more for each request, but not a callable."""

    route: Route

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Receives one webhook."""
        scope["route"] = self.route  # what metrics and spans are named after
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        started = time.perf_counter()
        ingress: Ingress = self._app.state.ingress
        knock = Knock(
            source=request.path_params["source"],
            endpoint_id=request.path_params["endpoint_id"],
            headers=request.headers,
            read_body=request.body,
            correlation_id=correlation_id() or "",
            source_address=request.client.host if request.client else None,
        )
        try:
            accepted = await ingress.accept(knock)
        except ClientDisconnect:
            return Response(status_code=400)  # the sender hung up in mid-body: nobody reads this
        except Failure as failure:
            return _refusal(knock, failure)
        new = accepted.status == ACCEPTED
        if new:
            ACCEPT_SECONDS.labels(knock.source).observe(time.perf_counter() - started)
        return Response(accepted.model_dump_json(), 202 if new else 200, media_type="application/json")


def _refusal(knock: Knock, failure: Failure) -> Response:
    if failure.status >= 500:
        log.warning("webhook failed", endpoint_id=knock.endpoint_id, code=failure.code, detail=failure.detail)
    response = problem_response(failure)
    if isinstance(failure, TooSlow):
        response.headers["Connection"] = "close"  # the rest of the body must not hold the connection either
    return response
