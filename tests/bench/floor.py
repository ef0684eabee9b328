"""The floor that ingress is compared with: the least that can honestly acknowledge a signed webhook.

A raw handler of FastAPI, one HMAC over the raw body, one INSERT, 202. The same server settings, Postgres, role and size
of pool as the Orchestrator's API; no look-up, limit, parsing, correlation, metrics, logs, tracing, queue or tenancy.
"""

from __future__ import annotations

import gc
import hashlib
import hmac
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from incidentfox.kernel.web.server import run_app

TABLE = "CREATE TABLE bench_floor (id bigserial PRIMARY KEY, body jsonb NOT NULL)"
PATH = "/floor"
READY = "/readyz"


def create_app(database_url: str, pool_size: int, secret: bytes) -> FastAPI:
    """The application."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(database_url, min_size=0, max_size=pool_size) as pool:
            app.state.pool = pool
            yield

    async def receive(request: Request) -> Response:
        body = await request.body()
        digest = hmac.new(secret, body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(request.headers["x-pagerduty-signature"], f"v1={digest}"):
            return Response(status_code=401)
        await app.state.pool.execute("INSERT INTO bench_floor (body) VALUES ($1)", body.decode())
        return Response(status_code=202)

    async def ready(_: Request) -> Response:
        return Response()

    app = FastAPI(lifespan=lifespan)
    app.router.routes.insert(0, Route(READY, ready))
    app.router.routes.insert(0, Route(PATH, receive, methods=["POST"]))
    return app


def main() -> None:
    """Serves as its environment says."""
    environment = os.environ
    app = create_app(
        environment["FLOOR_DATABASE_URL"],
        int(environment["FLOOR_POOL_SIZE"]),
        environment["FLOOR_SECRET"].encode(),
    )
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)  # as the Orchestrator's API does
    run_app(app, "127.0.0.1", int(environment["FLOOR_PORT"]))


if __name__ == "__main__":
    main()
