"""Clients against a real server: what a peer answers is bounded, and comes back as the failure that it was."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from tests.agent.twins import serve

from incidentfox.clients import transport
from incidentfox.clients.transport import Call, Transport
from incidentfox.contracts.permissions import Permission
from incidentfox.kernel.errors import Conflict, RateLimited, TooLarge, Unavailable

pytestmark = pytest.mark.anyio


async def endless(_: Request) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 4096
            await asyncio.sleep(0)  # lets the server notice that its client has gone

    return StreamingResponse(chunks())


async def bomb(_: Request) -> Response:
    return Response(gzip.compress(b" " * 1_000_000), headers={"Content-Encoding": "gzip"})


async def garbled(_: Request) -> Response:
    return Response(b"no gzip", headers={"Content-Encoding": "gzip"})


async def problem(request: Request) -> Response:
    status = int(request.query_params["status"])
    body = {"type": "t", "title": "t", "status": status, "code": "told", "detail": "as told"}
    return JSONResponse(body, status, {"Retry-After": "7"}, media_type="application/problem+json")


async def empty(_: Request) -> Response:
    return Response(status_code=204)


@pytest.fixture
async def peer() -> AsyncIterator[Transport]:
    routes = [Route(f"/{route.__name__}", route) for route in (endless, bomb, garbled, problem, empty)]
    async with serve(Starlette(routes=routes)) as url:
        made = Transport("peer", url, None, attempts=1)
        yield made
        await made.close()


def get(path: str, **query: str | int | None) -> Call:
    return Call("GET", path, Permission.PUBLIC, query=query)


@pytest.mark.parametrize("path", ["/endless", "/bomb"])
async def test_no_peer_fills_the_memory(peer: Transport, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_ANSWER_BYTES", 100_000)
    with pytest.raises(TooLarge):
        await peer.json(get(path))


async def test_an_answer_that_cannot_be_decoded_is_no_answer(peer: Transport) -> None:
    with pytest.raises(Unavailable):
        await peer.json(get("/garbled"))


async def test_a_problem_comes_back_as_the_failure_that_it_was(peer: Transport) -> None:
    with pytest.raises(Conflict, match="as told") as refused:
        await peer.json(get("/problem", status=409))
    assert refused.value.code == "told"
    with pytest.raises(RateLimited) as limited:
        await peer.json(get("/problem", status=429))
    assert limited.value.retry_after_s == 7.0


async def test_an_empty_answer_is_none(peer: Transport) -> None:
    assert await peer.json(get("/empty")) is None
