"""Every door is shut by default: each route declares its permission, and only the orchestrator takes webhooks."""

from __future__ import annotations

import pytest
from tests.environment import Trusted
from tests.house.services import FACTORIES, build, routes_of

from incidentfox.contracts.permissions import Permission
from incidentfox.kernel.web.openapi import permission_of
from incidentfox.kernel.web.strict_json import StrictRoute

OPERATIONAL = {"/healthz", "/readyz", "/metrics", "/openapi.json"}
PUBLIC_ELSEWHERE = {
    "config-service": {"/api/v1/sign-in-codes/exchange"},
    "orchestrator": {"/webhooks/{source}/{endpoint_id}"},
    "worker": set(),
    "agent": set(),
    "console": {"/", "/sign-in", "/static/{name}"},
}
AT_LEAST = {"config-service": 40, "orchestrator": 14, "worker": 4, "agent": 5, "console": 10}


@pytest.mark.parametrize("service", FACTORIES)
def test_every_route_declares_its_permission(service: str, trusted: Trusted) -> None:
    routes = routes_of(build(service, trusted))
    assert len(routes) >= AT_LEAST[service], "the routes are not seen"
    assert not [f"{route.methods} {route.path}" for route in routes if permission_of(route) is None]


@pytest.mark.parametrize("service", FACTORIES)
def test_what_is_public_is_so_on_purpose(service: str, trusted: Trusted) -> None:
    routes = routes_of(build(service, trusted))
    public = {route.path for route in routes if permission_of(route) is Permission.PUBLIC}
    assert public - OPERATIONAL == PUBLIC_ELSEWHERE[service]


def test_only_the_orchestrator_accepts_webhooks(trusted: Trusted) -> None:
    takers = {
        service
        for service in FACTORIES
        for route in routes_of(build(service, trusted))
        if route.path.startswith("/webhooks") or ("webhook" in route.path and permission_of(route) is Permission.PUBLIC)
    }
    assert takers == {"orchestrator"}


@pytest.mark.parametrize("service", ["config-service", "orchestrator", "agent"])
def test_every_route_that_takes_json_reads_it_strictly(service: str, trusted: Trusted) -> None:
    routes = [found.route for found in routes_of(build(service, trusted)) if found.path.startswith("/api/")]
    assert routes
    assert [route.path for route in routes if not isinstance(route, StrictRoute)] == []
