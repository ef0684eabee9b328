"""A service of the shop as a process: `python -m incidentfox.local.shop.service`, with `SHOP_VERSION=inventory-2.14.0`.

Business routes come from the release; besides them each service answers `GET /metrics` (Prometheus), `GET /logs` and
`GET /traces` (NDJSON; `?since=<Unix seconds>` or `?offset=<bytes>`), and `GET /readyz?version=`, which is 200 from the
instance of that version only: during a deploy two instances listen on one socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from incidentfox.local.shop.calls import Peer, PeerFailed
from incidentfox.local.shop.releases import Release, find_release
from incidentfox.local.shop.runtime import Runtime, open_pool
from incidentfox.local.shop.settings import ServiceSettings
from incidentfox.local.shop.telemetry import Telemetry, logs_file, read_feed, spans_file

Handler = Callable[[Runtime, dict[str, Any]], Awaitable[dict[str, Any]]]

_PEER_TIMEOUT_S = {"web": 6.0, "orders": 5.0}


def business_routes(service: str, release: ModuleType) -> list[tuple[str, str, Handler]]:
    """(method, path, handler) of a service; what each does is the release's own code."""
    if service == "web":
        return [
            ("POST", "/checkout", lambda shop, body: release.checkout(shop, body["sku"], body["quantity"])),
            ("GET", "/recent", lambda shop, _: release.recent(shop)),
        ]
    if service == "orders":
        return [("POST", "/orders", lambda shop, body: release.place_order(shop, body["sku"], body["quantity"]))]
    return [("POST", "/reservations", lambda shop, body: release.reserve(shop, body["sku"], body["quantity"]))]


class ShopService:
    """The ASGI application of one service."""

    def __init__(self, release: Release, settings: ServiceSettings) -> None:
        self._release = release
        self._settings = settings
        self._runtime: Runtime | None = None
        self.telemetry = Telemetry(release.service, release.version, settings.run_dir)
        self._in_use = Gauge("db_pool_in_use", "Connections that are taken.", registry=self.telemetry.registry)
        self._waiting = Gauge("db_pool_size", "Connections that are open.", registry=self.telemetry.registry)
        self.app = Starlette(routes=self._routes(), lifespan=self._lifespan)

    def _routes(self) -> list[Route]:
        service, folder = self._release.service, self._settings.run_dir
        business = [
            Route(path, self._endpoint(method, path, handler), methods=[method])
            for method, path, handler in business_routes(service, self._release.load())
        ]
        return [
            *business,
            Route("/metrics", self._metrics),
            Route("/logs", _feed(logs_file(folder, service))),
            Route("/traces", _feed(spans_file(folder, service))),
            Route("/readyz", self._readyz),
        ]

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        pool = await open_pool(self._settings.database_url.get_secret_value(), self.telemetry)
        async with contextlib.AsyncExitStack() as stack:
            peer = None
            if self._settings.peer_url is not None:
                timeout_s = _PEER_TIMEOUT_S[self._release.service]
                peer = await stack.enter_async_context(Peer(self._settings.peer_url, self.telemetry, timeout_s))
            self._runtime = Runtime(pool, peer, self.telemetry)
            self.telemetry.log("INFO", f"{self._release.service} {self._release.version} started")
            yield
            self.telemetry.log("INFO", f"{self._release.service} {self._release.version} stopping")
        pool.terminate()  # a release may have lost connections, and closing would wait for them for ever

    def _endpoint(self, method: str, path: str, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        telemetry = self.telemetry

        async def serve(request: Request) -> Response:
            assert self._runtime is not None
            body = await request.json() if method == "POST" else {}
            began = time.perf_counter()
            with (
                telemetry.active.track_inprogress(),
                telemetry.span(f"{method} {path}", "SERVER", request.headers.get("traceparent")) as span,
            ):
                status, answer = await self._outcome(handler, body)
                span.attributes |= {"http.route": path, "http.response.status_code": status}
                if status >= 500:
                    span.fail(answer["error"])
                    telemetry.log("ERROR", f"{method} {path} failed: {answer['error']}", **{"http.route": path})
            telemetry.requests.labels(method, path, str(status)).observe(time.perf_counter() - began)
            return JSONResponse(answer, status)

        return serve

    async def _outcome(self, handler: Handler, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        assert self._runtime is not None
        try:
            return 200, await handler(self._runtime, body)
        except PeerFailed as error:
            return 502, {"error": str(error)}
        except asyncpg.LockNotAvailableError as error:
            return 503, {"error": str(error)}
        except TimeoutError:
            return 503, {"error": "no free database connection within 2 s"}
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            return 500, {"error": f"database: {error}"}

    async def _metrics(self, _: Request) -> Response:
        if self._runtime is not None:
            pool = self._runtime.pool
            self._waiting.set(pool.get_size())
            self._in_use.set(pool.get_size() - pool.get_idle_size())
        return Response(generate_latest(self.telemetry.registry), media_type=CONTENT_TYPE_LATEST)

    async def _readyz(self, request: Request) -> Response:
        wanted = request.query_params.get("version", self._release.version)
        ready = self._runtime is not None and wanted == self._release.version
        # Closed, so that who polls does not stay with the instance that is about to go.
        return JSONResponse({"version": self._release.version}, 200 if ready else 503, {"connection": "close"})


def _feed(path: Path) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        try:
            since = float(request.query_params.get("since", "0"))
            offset = int(request.query_params["offset"]) if "offset" in request.query_params else None
        except ValueError:
            return JSONResponse({"error": "`since` is in Unix seconds, `offset` in bytes."}, 400)
        content, end = await asyncio.to_thread(read_feed, path, since, offset)
        return Response(content, media_type="application/x-ndjson", headers={"x-next-offset": str(end)})

    return serve


def main() -> None:
    """Serves until SIGTERM, then finishes what is in flight."""
    settings = ServiceSettings()
    release = find_release(settings.version)
    config = uvicorn.Config(
        ShopService(release, settings).app,
        loop="asyncio",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=5,
    )
    door = socket.socket(fileno=settings.listen_fd)
    asyncio.run(uvicorn.Server(config).serve(sockets=[door]))


if __name__ == "__main__":
    main()
