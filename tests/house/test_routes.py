"""Every door is shut by default: each route declares its permission, and only the orchestrator takes webhooks."""

from __future__ import annotations

import pytest
from starlette.routing import Mount, Route
from tests.environment import Trusted
from tests.house.services import FACTORIES, build, permission_of

from incidentfox.contracts.permissions import Permission

OPERATIONAL = {"/healthz", "/readyz", "/metrics", "/openapi.json"}
PUBLIC_ELSEWHERE = {
    "config-service": {"/api/v1/sign-in-codes/exchange"},
    "orchestrator": {"/webhooks/{source}/{endpoint_id}"},
    "worker": set(),
    "agent": set(),
    "console": {"/", "/sign-in", "/sign-out", "/static", "/static/{path:path}", "/sign-in/token"},
}


@pytest.mark.parametrize("service", FACTORIES)
def test_every_route_declares_its_permission(service: str, trusted: Trusted) -> None:
    undeclared = [
        f"{getattr(route, 'methods', '')} {route.path}"
        for route in build(service, trusted).routes
        if isinstance(route, Route) and permission_of(route) is None
    ]
    assert not undeclared


@pytest.mark.parametrize("service", FACTORIES)
def test_what_is_public_is_so_on_purpose(service: str, trusted: Trusted) -> None:
    public = {
        route.path
        for route in build(service, trusted).routes
        if isinstance(route, Mount) or permission_of(route) is Permission.PUBLIC
    }
    assert public - OPERATIONAL <= PUBLIC_ELSEWHERE[service]


def test_only_the_orchestrator_accepts_webhooks(trusted: Trusted) -> None:
    takers = {service for service in FACTORIES for route in build(service, trusted).routes if "webhooks/" in route.path}
    assert takers == {"orchestrator"}
