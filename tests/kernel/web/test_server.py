"""What the server under an application adds: limits, and no second report of what was reported."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI, Request
from structlog.testing import capture_logs

from incidentfox.kernel.web import server
from incidentfox.kernel.web.app import AppParts, create_app
from incidentfox.kernel.web.auth import Authenticator, public

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def no_lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield


async def ready() -> None:
    pass


@pytest.fixture
def app() -> FastAPI:
    made = create_app(AppParts("test", "Test", Authenticator("test", {}, None), no_lifespan, ready))

    @made.get("/bug")
    @public
    async def bug() -> None:
        raise ZeroDivisionError("an error of ours")

    @made.get("/caller")
    @public
    async def caller(request: Request) -> str:
        return request.client.host if request.client else ""

    return made


@asynccontextmanager
async def serving(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch, **settings: object
) -> AsyncIterator[httpx2.AsyncClient]:
    """The application as `run_app` would serve it, but on this loop."""
    made: list[uvicorn.Config] = []
    monkeypatch.setattr(server.uvicorn, "run", lambda app, **given: made.append(uvicorn.Config(app, **given)))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server.run_app(app, "127.0.0.1", port, **settings)  # type: ignore[arg-type]
    running = uvicorn.Server(made[0])
    task = asyncio.create_task(running.serve())
    async with asyncio.timeout(20):
        while not running.started:
            await asyncio.sleep(0.01)
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        yield http
    running.should_exit = True
    await task


async def test_an_error_of_ours_is_logged_once(app, monkeypatch, caplog) -> None:
    async with serving(app, monkeypatch) as http:
        with caplog.at_level(logging.ERROR), capture_logs() as logged:
            answer = await http.get("/bug")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert [(line["event"], repr(line["exc_info"])) for line in logged] == [
        ("unhandled exception", "ZeroDivisionError('an error of ours')")
    ]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR], "the server's own report"


@pytest.mark.parametrize(
    ("trusted", "seen"), [("", "127.0.0.1"), ("127.0.0.1", "203.0.113.7"), ("10.0.0.1", "127.0.0.1")]
)
async def test_whom_a_proxy_speaks_for_is_believed_of_trusted_ones_alone(app, monkeypatch, trusted, seen) -> None:
    async with serving(app, monkeypatch, trusted_proxies=trusted) as http:
        answer = await http.get("/caller", headers={"X-Forwarded-For": "203.0.113.7"})
    assert answer.json() == seen
