"""Who would get this payload: read as its source reads it, routed as it would be, and nothing comes of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from tests.environment import Database, Trusted
from tests.orchestrator.conftest import ORG, incident_event
from tests.orchestrator.platform import Platform, running_platform

from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.routing import RouteRule
from incidentfox.contracts.webhooks import DryRunResult

pytestmark = pytest.mark.anyio


@pytest.fixture
async def platform(database: Database, trusted: Trusted, owner: asyncpg.Connection) -> AsyncIterator[Platform]:
    async with running_platform(database, trusted, owner) as made:
        yield made


async def post(
    platform: Platform, source: str, body: object, *, permission: Permission = Permission.WEBHOOKS_WRITE, org: str = ORG
) -> tuple[int, dict[str, object]]:
    token = platform.trusted.identity("platform").token("orchestrator", frozenset({permission}), ORG)
    response = await platform.door.http.post(
        f"/api/v1/orgs/{org}/webhook-sources/{source}/dry-run",
        json={"body": body if isinstance(body, str) else json.dumps(body)},
        headers={"Authorization": f"Bearer {token}"},
    )
    return response.status_code, response.json()


async def result(platform: Platform, source: str, body: object) -> DryRunResult:
    status, answer = await post(platform, source, body)
    assert status == 200, answer
    return DryRunResult.model_validate(answer)


async def test_a_payload_is_routed_as_its_delivery_would_be_and_leaves_no_trace(platform: Platform) -> None:
    dry = await result(platform, "pagerduty", incident_event())
    assert dry.route is not None
    assert (dry.route.team_node_id, dry.route.rule, dry.starts_run) == ("checkout", RouteRule.IDENTIFIER, True)
    assert (dry.action, dry.external_id, dry.title) == ("trigger", "PGR0VU2", "A little bump in the road")
    resolved = await result(platform, "pagerduty", incident_event("incident.resolved"))
    assert (resolved.route and resolved.route.team_node_id, resolved.starts_run) == ("checkout", False)
    await platform.door.assert_nothing_could_run()
    assert await platform.door.count("orchestrator_incidents") == 0
    assert [await platform.audited(f"delivery.{outcome}") for outcome in ("routed", "unrouted")] == [[], []]


async def test_what_no_team_owns_says_what_was_tried(platform: Platform) -> None:
    custom = {"type": "alert.triggered", "data": {"title": "Down", "service": "nobodys"}}
    dry = await result(platform, "custom", custom)
    assert dry.route is not None
    assert (dry.route.team_node_id, dry.starts_run) == (None, False)
    assert [attempt.rule.value for attempt in dry.route.tried] == ["identifier", "service_pattern", "default_team"]
    ignored = await result(platform, "custom", {"type": "invoice.paid"})
    assert (ignored.route, ignored.action) == (None, "ignore")
    assert ignored.ignored_because is not None


async def test_every_published_payload_of_pagerduty_can_be_tried(platform: Platform, payloads: Path) -> None:
    for path in sorted((payloads / "pagerduty").glob("*.json")):
        status, answer = await post(platform, "pagerduty", path.read_text(encoding="utf-8"))
        assert status in (200, 400), (path.name, answer)


async def test_what_is_no_payload_is_refused(platform: Platform) -> None:
    for source, body, expected in (
        ("pagerduty", "not json", (400, "malformed_body")),
        ("pagerduty", {"messages": []}, (400, "pagerduty_v2_unsupported")),
        ("carrier-pigeon", "{}", (404, "unknown_source")),
    ):
        status, answer = await post(platform, source, body)
        assert (status, answer["code"]) == expected


async def test_it_needs_the_permission_in_ones_own_organisation(platform: Platform) -> None:
    assert (await post(platform, "pagerduty", {}, permission=Permission.WEBHOOKS_READ))[0] == 403
    assert (await post(platform, "pagerduty", {}, org="globex"))[0] == 404
