"""What protects responses and forms: headers on everything, and no form but the console's own."""

from __future__ import annotations

from itertools import chain

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from tests.console.conftest import HTML, OWN, Desk, console_settings
from tests.environment import Trusted

from incidentfox.console.defence import Defence
from incidentfox.console.main import create_app
from incidentfox.console.settings import ConsoleSettings
from incidentfox.contracts.permissions import Permission
from incidentfox.kernel.ids import new_id

POLICY = {
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
}


@pytest.fixture
def settings(trusted: Trusted) -> ConsoleSettings:
    return console_settings(trusted, "http://127.0.0.1:1", "https://fox.example.com")


@pytest.fixture
def app(settings: ConsoleSettings) -> FastAPI:
    return create_app(settings)


@pytest.fixture
def browser(app: FastAPI) -> TestClient:
    return TestClient(app, headers=HTML, follow_redirects=False, raise_server_exceptions=False)


@pytest.mark.parametrize(
    "address", ["/", "/sign-in", "/runs", "/nowhere", "/static/theme.css", "/static/none.css", "/healthz", "/readyz"]
)
def test_every_response_carries_the_headers(browser: TestClient, address: str) -> None:
    headers = browser.get(address).headers
    policy = set(headers["content-security-policy"].split("; "))
    assert policy >= POLICY
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["x-frame-options"] == "DENY"
    assert headers["strict-transport-security"].startswith("max-age=")
    assert "cache-control" in headers


def test_a_failure_of_our_own_carries_them_too(app: FastAPI, browser: TestClient) -> None:
    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("a secret detail")

    page = browser.get("/broken")
    assert page.status_code == 500
    assert set(page.headers["content-security-policy"].split("; ")) >= POLICY
    assert "cor_" in page.text
    assert "a secret detail" not in page.text


def test_no_transport_security_over_plain_http(desk: Desk) -> None:
    with desk.stranger() as stranger:
        assert "strict-transport-security" not in stranger.get("/sign-in").headers


@pytest.mark.parametrize("address", ["/sign-in", "/sign-out", "/nowhere"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://fox.example.com"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example.com"},
        {"Origin": "https://fox.example.com.evil.com"},
        {"Origin": "http://fox.example.com"},
        {"Origin": "null"},
    ],
    ids=str,
)
def test_foreign_forms_are_refused(browser: TestClient, address: str, headers: dict[str, str]) -> None:
    response = browser.post(address, data={"token": "x"}, headers=headers)
    assert response.status_code == 403
    assert "not sent from the console" in response.text
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize("headers", [OWN, {"Origin": "https://fox.example.com"}, {"Origin": "HTTPS://FOX.example.com"}])
def test_own_forms_pass(browser: TestClient, headers: dict[str, str]) -> None:
    assert browser.post("/sign-in", data={"token": "x"}, headers=headers).status_code == 401


def test_every_route_declares_its_permission(app: FastAPI) -> None:
    included = [route.original_router.routes for route in app.routes if hasattr(route, "original_router")]
    own = [route for route in app.routes if hasattr(route, "endpoint")]
    declared = {}
    for route in chain(own, *included):
        needed = [getattr(one.call, "permission", None) for one in route.dependant.dependencies]
        found = [getattr(route.endpoint, "permission", None), *needed]
        declared[route.path] = [permission for permission in found if permission is not None]
    assert len(declared) >= 12
    assert [path for path, permissions in declared.items() if not permissions] == []
    assert declared["/runs/{run_id}"] == [Permission.RUNS_READ]
    assert declared["/runs/{run_id}/events"] == [Permission.RUNS_READ]
    assert declared["/incidents"] == [Permission.INCIDENTS_READ]


def test_nobody_is_signed_in_between_requests(desk: Desk) -> None:
    """One client serves everybody: without a cookie there is nobody that it could act as."""
    with desk.visitor() as visitor, desk.stranger() as stranger:
        for _ in range(3):
            assert visitor.get("/runs").status_code == 200
            assert stranger.get("/runs").status_code == 303
            assert stranger.get(f"/runs/{new_id('run')}").status_code == 303


def test_the_defence_is_the_outermost_middleware(app: FastAPI) -> None:
    assert app.user_middleware[0].cls is Defence
