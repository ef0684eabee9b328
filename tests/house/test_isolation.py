"""No tenant sees another, at the doors beside the Config Service's own (tests/config_service/test_isolation.py).

Every route of Orchestrator, Agent and Console, read off their route tables, is called about the team `payments` with
credentials of its sibling and of another organisation.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.environment import Trusted
from tests.house.doors import MARKER, OWN_FORM, Doors, open_doors
from tests.orchestrator.conftest import ORG

from incidentfox.contracts.permissions import SERVICE_PERMISSIONS
from incidentfox.local.postgres import EmbeddedPostgres

pytestmark = pytest.mark.anyio

OWN_LISTS = re.compile(r"GET (/api/v1/orgs/\{org_id\}/(incidents|deliveries|webhook-endpoints)|/runs|/incidents|/)$")
"""What answers with the caller's own; the marker shows that nothing foreign is among it."""


@pytest.fixture(scope="module")
async def doors(cluster: EmbeddedPostgres, trusted: Trusted) -> AsyncIterator[Doors]:
    """One for all tests here: no attack may change anything, but for what is kept of the attacker itself."""
    async with open_doors(cluster, trusted) as doors:
        yield doors


async def _state(doors: Doors) -> list[Any]:
    """Everything of the victim's that an attack could change."""
    statements = (
        "SELECT t::text FROM orchestrator_deliveries t",
        "SELECT t::text FROM orchestrator_incidents t",
        f"SELECT t::text FROM orchestrator_webhook_endpoints t WHERE org_id = '{ORG}'",
        "SELECT t::text FROM agent_runs t",
        f"SELECT t::text FROM org_nodes t WHERE org_id = '{ORG}'",
        f"SELECT t::text FROM config_secrets t WHERE org_id = '{ORG}'",
        "SELECT t::text FROM config_run_events t",
        "SELECT workflow_uuid FROM agent_dbos.workflow_status",
    )
    return [sorted(str(row[0]) for row in await doors.platform.owner.fetch(statement)) for statement in statements]


async def test_no_route_shows_or_changes_anything_of_anothers(doors: Doors) -> None:
    before = await _state(doors)
    ids = {doors.victim[name] for name in doors.victim if name.endswith("_id")} - {ORG}
    for service in ("orchestrator", "agent"):
        for attacker, token in doors.credentials(service).items():
            for route in doors.routes(service):
                answer = await doors.attempt(service, route, token)
                assert answer.status_code < 500, (attacker, route, answer.text)
                assert MARKER not in answer.text, (attacker, route, answer.text)
                if answer.is_success:
                    assert OWN_LISTS.match(route), (attacker, route, answer.text)
                    assert not ids.intersection(re.findall(r'"([^"]+)"', answer.text)), (attacker, route, answer.text)
    assert await _state(doors) == before


async def test_no_route_serves_a_caller_without_a_valid_credential(doors: Doors) -> None:
    elsewhere = doors.platform.trusted.identity("platform").token("elsewhere", SERVICE_PERMISSIONS["platform"], ORG)
    for service in ("orchestrator", "agent"):
        for token in (None, "nonsense", elsewhere):
            for route in doors.routes(service):
                answer = await doors.attempt(service, route, token)
                assert answer.status_code == 401, (route, answer.text)


async def test_no_page_shows_anything_of_anothers(doors: Doors) -> None:
    before = await _state(doors)
    for attacker, token in doors.people.items():
        signed_in = await doors.https["console"].post("/sign-in", data={"token": token}, headers=OWN_FORM)
        assert signed_in.status_code == 303, (attacker, signed_in.text)
        for route in doors.routes("console"):
            if route == "POST /sign-out":
                continue
            page = await doors.attempt("console", route, None)
            assert page.status_code < 500, (attacker, route)
            assert MARKER not in page.text, (attacker, route)
            if "{run_id}" in route:
                # 403 is for who may not do this to any run; whether there is this one, it does not say.
                refused = page.status_code == 403 and "permission_required" in page.text
                assert page.status_code == 404 or refused, (attacker, route, page.text)
        doors.https["console"].cookies.clear()
    assert await _state(doors) == before
