"""A direct route answers as the usual one does, whatever it is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import httpx2
import pytest
from fastapi import APIRouter, FastAPI, Path, Request, Response
from tests.environment import Trusted

from incidentfox.contracts.permissions import Permission
from incidentfox.kernel.web.app import AppParts, create_app
from incidentfox.kernel.web.auth import Authenticator, Principal, requires
from incidentfox.kernel.web.direct import DirectRoute
from incidentfox.kernel.web.strict_json import StrictRoute

pytestmark = pytest.mark.anyio

Name = Annotated[str, Path(pattern=r"^[a-z]{1,8}$")]
Number = Annotated[int, Path(ge=0, le=9)]
Reader = Annotated[Principal, requires(Permission.CONFIG_READ)]


async def read(request: Request, principal: Reader, name: Name, number: Number) -> Response:
    return Response(f"{request.method} {principal.subject} {name} {number + 1}")


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield


async def ready() -> None:
    return None


@pytest.fixture
async def client(trusted: Trusted) -> AsyncIterator[httpx2.AsyncClient]:
    authenticator = Authenticator("config-service", trusted.public_keys(), None)
    app = create_app(AppParts("test", "Test", authenticator, lifespan, ready))
    for prefix, route_class in (("/usual", StrictRoute), ("/direct", DirectRoute)):
        router = APIRouter(prefix=prefix, route_class=route_class)
        router.add_api_route("/{name}/{number}", read)
        app.include_router(router)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as http:
        yield http


@pytest.mark.parametrize(
    ("path", "scopes", "status"),
    [
        ("/shop/3", {Permission.CONFIG_READ}, 200),
        ("/Shop/3", {Permission.CONFIG_READ}, 422),
        ("/shop/12", {Permission.CONFIG_READ}, 422),
        ("/shop/three", {Permission.CONFIG_READ}, 422),
        ("/sh%00p/3", {Permission.CONFIG_READ}, 400),
        ("/shop/3", {Permission.RUNS_READ}, 403),
        ("/shop/3", None, 401),
        ("/Shop/3", None, 401),
    ],
)
async def test_it_answers_as_the_usual_route_does(
    client: httpx2.AsyncClient, trusted: Trusted, path: str, scopes: set[Permission] | None, status: int
) -> None:
    headers = {"X-Correlation-Id": "cor-12345678"}
    if scopes is not None:
        token = trusted.identity("agent").token("config-service", frozenset(scopes), "acme")
        headers["Authorization"] = f"Bearer {token}"
    usual = await client.get(f"/usual{path}", headers=headers)
    direct = await client.get(f"/direct{path}", headers=headers)
    assert (direct.status_code, direct.content) == (usual.status_code, usual.content.replace(b"/usual", b"/direct"))
    assert direct.status_code == status


@pytest.mark.parametrize("handler", ["query", "body", "open"])
def test_a_handler_that_takes_anything_else_is_refused_when_it_is_declared(handler: str) -> None:
    async def query(request: Request, principal: Reader, name: Name, after: int = 0) -> Response:
        return Response()

    async def body(request: Request, principal: Reader, name: Name, document: dict[str, str]) -> Response:
        return Response()

    async def open_to_all(request: Request, name: Name) -> Response:
        return Response()

    router = APIRouter(route_class=DirectRoute)
    with pytest.raises(TypeError, match=r"a direct route takes"):
        router.add_api_route("/{name}", {"query": query, "body": body, "open": open_to_all}[handler], methods=["POST"])
