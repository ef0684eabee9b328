"""A watched answer: events in order, one end, and nothing that goes on unwatched."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from incidentfox.contracts.progress import Progress
from incidentfox.kernel.errors import Conflict, NotFound
from incidentfox.kernel.web import progress
from incidentfox.kernel.web.app import AppParts, create_app
from incidentfox.kernel.web.auth import Authenticator, public
from incidentfox.kernel.web.progress import Tell, Work, answer

pytestmark = pytest.mark.anyio

WATCHED = {"Accept": "text/event-stream"}
TURNS = 50  # of the event loop: more than it takes a reader to be told
CORRELATION = {"X-Correlation-Id": "cor_12345678"}


@asynccontextmanager
async def no_lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield


async def ready() -> None:
    """Nothing is missing."""


def serving(work: Work) -> FastAPI:
    """A service whose one route does this."""
    app = create_app(AppParts("test", "Test", Authenticator("test", {}, None), no_lifespan, ready))

    @app.get("/work")
    @public
    async def route(request: Request) -> Response:
        return await answer(request, work)

    return app


async def ask(work: Work, headers: dict[str, str] = WATCHED) -> httpx2.Response:
    transport = httpx2.ASGITransport(app=serving(work), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get("/work", headers={**headers, **CORRELATION})


def events(response: httpx2.Response) -> list[tuple[str, Any]]:
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    blocks = [block.splitlines() for block in response.text.split("\n\n") if block]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


def in_steps(end: Callable[[], Response]) -> Work:
    """Work of three steps, each of which a reader has the time to see."""

    async def work(tell: Tell) -> Response:
        for step in range(3):
            tell(Progress(judged=step, teams=3))
            for _ in range(TURNS):
                await asyncio.sleep(0)
        return end()

    return work


def done() -> Response:
    return JSONResponse({"version": 4}, status_code=201, headers={"ETag": '"4"'})


def refused() -> Response:
    raise Conflict("P123 belongs to checkout.", code="identifier_taken")


def broken() -> Response:
    raise ZeroDivisionError("secret detail")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PROGRESS_S", 0)


async def test_progress_comes_in_order_and_the_last_event_is_the_plain_answer() -> None:
    *told, last = events(await ask(in_steps(done)))
    assert told == [("progress", {"judged": step, "teams": 3}) for step in range(3)]
    assert last == ("result", {"status": 201, "etag": '"4"', "body": {"version": 4}})


async def test_without_the_header_the_answer_is_plain() -> None:
    response = await ask(in_steps(done), {"Accept": "application/json"})
    assert (response.status_code, response.json(), response.headers["etag"]) == (201, {"version": 4}, '"4"')


@pytest.mark.parametrize("end", [refused, broken])
async def test_a_failure_on_the_way_is_the_problem_that_the_plain_answer_has(end: Callable[[], Response]) -> None:
    plain = await ask(in_steps(end), {})
    *told, last = events(await ask(in_steps(end)))
    assert [name for name, _ in told] == ["progress"] * 3
    assert last == ("problem", plain.json())
    assert last[1]["status"] == plain.status_code
    assert "secret detail" not in str(last)


async def test_a_failure_before_the_first_progress_has_its_own_status() -> None:
    async def work(_: Tell) -> Response:
        raise NotFound("There is no such node.", code="node_not_found")

    response = await ask(work)
    assert (response.status_code, response.json()["code"]) == (404, "node_not_found")


async def test_work_that_tells_nothing_ends_with_its_result_alone() -> None:
    async def work(_: Tell) -> Response:
        return Response(status_code=204)

    assert events(await ask(work)) == [("result", {"status": 204, "etag": None, "body": None})]


async def test_work_ends_with_its_reader_and_before_the_request() -> None:
    ended: list[str] = []

    async def work(tell: Tell) -> Response:
        tell(Progress(judged=0, teams=3))
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # as a rollback does
            ended.append("rolled back")
        return done()

    leave = asyncio.Event()
    received: list[dict[str, Any]] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        if received:
            return received.pop()
        await leave.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if b"event: progress" in message.get("body", b""):
            leave.set()

    raw = [(b"accept", b"text/event-stream")]
    scope = {"type": "http", "method": "GET", "path": "/work", "headers": raw, "query_string": b"", "client": None}
    await serving(work)({**scope, "asgi": {"spec_version": "2.3"}}, receive, send)  # type: ignore[arg-type]
    assert ended == ["rolled back"]
