"""What every service has: problems, limits, correlation, health."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from fastapi import FastAPI, Request

from incidentfox.kernel.errors import Conflict, RateLimited, Unavailable
from incidentfox.kernel.web.app import MAX_BODY_BYTES, AppParts, create_app
from incidentfox.kernel.web.auth import Authenticator, public
from incidentfox.kernel.web.pagination import Cursor, Limit, decode_cursor, encode_cursor, page


@asynccontextmanager
async def no_lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield


async def not_ready() -> None:
    raise Unavailable("The database is away.", code="database_unavailable")


@pytest.fixture
def client() -> httpx2.AsyncClient:
    app = create_app(AppParts("test", "Test", Authenticator("test", {}, None), no_lifespan, not_ready, {"/big": 4096}))

    @app.get("/conflict")
    @public
    async def conflict() -> None:
        raise Conflict("P123 belongs to checkout.", code="identifier_taken")

    @app.get("/limited")
    @public
    async def limited() -> None:
        raise RateLimited("Too fast.", retry_after_s=2.2)

    @app.get("/bug")
    @public
    async def bug() -> None:
        raise ZeroDivisionError("secret detail")

    @app.post("/echo")
    @public
    async def echo(request: Request) -> int:
        return len(await request.body())

    @app.post("/big")
    @public
    async def big(request: Request) -> int:
        return len(await request.body())

    @app.post("/parsed")
    @public
    async def parsed(body: list[int]) -> int:
        return sum(body)

    @app.get("/list")
    @public
    async def listing(limit: Limit = 2, cursor: Cursor = None) -> object:
        after = int(decode_cursor(cursor) or 0)
        return page(list(range(after + 1, after + limit + 2)), limit, str)

    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://test")


@pytest.mark.anyio
async def test_a_failure_is_a_problem_with_a_stable_code(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/conflict", headers={"X-Correlation-Id": "cor_from_caller"})
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (409, "application/problem+json")
    assert problem["code"] == "identifier_taken"
    assert problem["correlation_id"] == answer.headers["x-correlation-id"] == "cor_from_caller"


@pytest.mark.anyio
async def test_a_limit_says_when_to_come_back(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/limited")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")


@pytest.mark.anyio
async def test_a_bug_tells_the_caller_nothing(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/bug", headers={"X-Correlation-Id": "cor_from_caller"})
    assert answer.status_code == 500
    assert answer.json()["correlation_id"] == answer.headers["x-correlation-id"] == "cor_from_caller"
    assert "secret" not in answer.text
    assert answer.json()["code"] == "internal_error"


@pytest.mark.anyio
async def test_what_is_not_there_is_a_problem_too(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/nothing")).json()["code"] == "not_found"
    assert (await client.delete("/conflict")).json()["code"] == "method_not_allowed"


@pytest.mark.anyio
@pytest.mark.parametrize(("path", "limit"), [("/echo", MAX_BODY_BYTES), ("/big", 4096)])
async def test_the_size_of_a_body_is_limited_declared_or_not(client: httpx2.AsyncClient, path: str, limit: int) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(limit // 1024 + 1):
            yield b"x" * 1024

    assert (await client.post(path, content=b"x" * limit)).json() == limit
    for content in (b"x" * (limit + 1), chunks()):
        refused = await client.post(path, content=content)
        assert refused.status_code == 413
        assert refused.json()["code"] == "too_large"


@pytest.mark.anyio
async def test_a_body_that_is_parsed_has_the_same_limit(client: httpx2.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY_BYTES // 1024 + 1):
            yield b" " * 1024

    refused = await client.post("/parsed", content=chunks(), headers={"Content-Type": "application/json"})
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")


@pytest.mark.anyio
async def test_alive_is_not_ready(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/healthz")).status_code == 200
    unready = await client.get("/readyz")
    assert (unready.status_code, unready.json()["code"]) == (503, "database_unavailable")
    assert "incidentfox_http_requests_total" in (await client.get("/metrics")).text


@pytest.mark.anyio
async def test_cursors_lead_through_a_list(client: httpx2.AsyncClient) -> None:
    first = (await client.get("/list")).json()
    second = (await client.get("/list", params={"cursor": first["next_cursor"]})).json()
    assert (first["items"], second["items"]) == ([1, 2], [3, 4])
    for broken in ("%", "bm9wZQ", encode_cursor("1")[:-2], encode_cursor("a\0b"), encode_cursor("\ud800")):
        refused = await client.get("/list", params={"cursor": broken})
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_cursor")
