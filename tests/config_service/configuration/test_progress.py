"""A write that many teams stand below, watched: it says how far it is, and how it ended, once."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import psycopg
import pytest
from tests.config_service.surroundings import Service, Tenants, query, tenant_settings

from incidentfox.config_service.configuration import writing
from incidentfox.contracts.change_requests import Decision, OpenChangeRequest, PatchChange
from incidentfox.contracts.progress import Progress
from incidentfox.contracts.tokens import CreateToken
from incidentfox.contracts.tree import CreateNode, NodeKind, UpdateNode
from incidentfox.kernel.errors import Conflict, NotFound, PreconditionFailed, Unprocessable
from incidentfox.kernel.web import progress

pytestmark = pytest.mark.anyio

TEAMS = 300
PATCH: dict[str, Any] = {"budgets": {"run_tokens": 6}}


@pytest.fixture
def many(service: Service, tenants: Tenants, monkeypatch: pytest.MonkeyPatch) -> str:
    """The organisation, with so many teams more in its unit. Each step of the work is told."""
    monkeypatch.setattr(progress, "PROGRESS_S", 0)
    with psycopg.connect(service.database.superuser_url) as connection:
        for table, columns, values in (
            ("org_nodes", "node_id, parent_id, kind, name, created_by", "'t-' || n, 'shops', 'team', 'T', 'test'"),
            ("config_node_ancestry", "node_id, ancestor_id, distance", "'t-' || n, 't-' || n, 0"),
            ("config_node_ancestry", "node_id, ancestor_id, distance", "'t-' || n, 'shops', 1"),
            ("config_node_ancestry", "node_id, ancestor_id, distance", f"'t-' || n, '{tenants.org}', 2"),
        ):
            insert = f"INSERT INTO {table} (org_id, {columns}) SELECT '{tenants.org}', {values}"
            connection.execute(f"{insert} FROM generate_series(1, {TEAMS}) AS n".encode())
    return tenants.org


async def watched(service: Service, token: str, method: str, path: str, body: Any, **headers: str) -> list[Any]:
    """The events of a call as (name, data)."""
    given = {"Accept": "text/event-stream", **headers}
    response = await service.call(method, f"/api/v1/orgs/{path}", token, json=body, headers=given)
    assert response.headers["content-type"].startswith("text/event-stream"), response.text
    blocks = [block.splitlines() for block in response.text.split("\n\n") if block]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


def versions(service: Service, org: str) -> int:
    """How many versions of the organisation's own document there are."""
    statement = f"SELECT count(*) FROM node_configurations WHERE node_id = '{org}'"
    return int(query(service.database, statement, tenant_settings(org))[0][0])


async def test_progress_rises_to_one_result_that_is_the_plain_answer(
    service: Service, tenants: Tenants, many: str
) -> None:
    path = f"{many}/nodes/{many}/configuration"
    *told, (name, result) = await watched(service, tenants.admin, "PATCH", path, PATCH)
    assert {event for event, _ in told} == {"progress"}
    assert {data["teams"] for _, data in told} == {TEAMS + 2}
    judged = [data["judged"] for _, data in told]
    assert judged == sorted(set(judged))
    assert judged[0] == 0 < judged[-1] <= TEAMS + 2
    plain = await service.call("GET", f"/api/v1/orgs/{path}", tenants.admin)
    assert (name, result) == ("result", {"status": 200, "etag": plain.headers["etag"], "body": plain.json()})
    again = await watched(service, tenants.admin, "PATCH", path, PATCH)
    assert again == [("result", result)]  # it changes nothing, so nothing is judged


async def test_moving_and_restoring_a_unit_are_watched_too(service: Service, tenants: Tenants, many: str) -> None:
    admin, platform = service.with_token(tenants.admin), service.as_service("platform")
    await platform.create_node(many, CreateNode(node_id="area", parent_id=many, kind=NodeKind.UNIT, name="Area"))
    heard: list[Progress] = []
    moved = await admin.update_node(many, "shops", UpdateNode(parent_id="area"), tell=heard.append)
    assert (moved.parent_id, heard[-1].teams) == ("area", TEAMS + 2)
    judged = [progress.judged for progress in heard]
    assert judged == sorted(judged)
    assert judged[0] == 0 < judged[-1]
    await admin.archive_node(many, "shops")
    *told, (name, result) = await watched(service, tenants.admin, "POST", f"{many}/nodes/shops/restore", None)
    assert {event for event, _ in told} == {"progress"}
    plain = await service.call("GET", f"/api/v1/orgs/{many}/nodes/shops", tenants.admin)
    assert (name, result) == ("result", {"status": 200, "etag": plain.headers["etag"], "body": plain.json()})
    preview = await service.call(
        "PATCH", f"/api/v1/orgs/{many}/nodes/shops?dry_run=true", tenants.admin, json={"parent_id": many}
    )
    assert (preview.status_code, preview.json()["node_id"]) == (200, "shops")


async def test_a_refusal_on_the_way_is_the_plain_problem_and_writes_nothing(
    service: Service, tenants: Tenants, many: str
) -> None:
    admin = service.with_token(tenants.admin)
    await admin.put_configuration(many, "t-250", {"budgets": {"run_tokens": 40}})
    rule = {"policies": {"/budgets/run_tokens": {"max": 9}}}
    path = f"{many}/nodes/{many}/configuration"
    headers = {"X-Correlation-Id": "cor_12345678"}
    plain = await service.call("PATCH", f"/api/v1/orgs/{path}", tenants.admin, json=rule, headers=headers)
    assert plain.status_code == 422
    *told, last = await watched(service, tenants.admin, "PATCH", path, rule, **headers)
    assert told[0] == ("progress", {"judged": 0, "teams": TEAMS + 2})
    assert last == ("problem", plain.json())
    assert versions(service, many) == 0


async def test_what_needs_no_judging_is_refused_with_its_own_status(
    service: Service, tenants: Tenants, many: str
) -> None:
    headers = {"Accept": "text/event-stream", "If-Match": '"7"'}
    path = f"/api/v1/orgs/{many}/nodes/{many}/configuration"
    stale = await service.call("PATCH", path, tenants.admin, json=PATCH, headers=headers)
    assert (stale.status_code, stale.json()["code"]) == (412, "version_conflict")
    foreign = await service.call("PATCH", path, tenants.other_admin, json=PATCH, headers=headers)
    assert (foreign.status_code, foreign.json()["code"]) == (404, "org_not_found")
    denials = await service.with_token(tenants.other_admin).audit_events(tenants.other, action="access.denied")
    assert len(denials.items) == 1
    assert versions(service, many) == 0


async def test_a_reader_who_leaves_before_the_commit_leaves_nothing_behind(
    service: Service, tenants: Tenants, many: str
) -> None:
    body = json.dumps(PATCH).encode()
    received = [{"type": "http.request", "body": body, "more_body": False}]
    told: list[bytes] = []
    leave = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if received:
            return received.pop()
        await leave.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        told.append(message.get("body", b""))
        if b"event: progress" in told[-1]:
            leave.set()

    path = f"/api/v1/orgs/{many}/nodes/{many}/configuration"
    headers = {"accept": "text/event-stream", "authorization": f"Bearer {tenants.admin}"}
    scope: dict[str, Any] = {
        "type": "http",
        "method": "PATCH",
        "path": path,
        "headers": [
            (name.encode(), value.encode())
            for name, value in {**headers, "content-type": "application/json", "content-length": str(len(body))}.items()
        ],
        "query_string": b"",
        "client": None,
        "asgi": {"spec_version": "2.3"},
    }
    await service.app(scope, receive, send)  # type: ignore[arg-type]
    assert not [chunk for chunk in told if b"event: result" in chunk or b"event: problem" in chunk]
    assert versions(service, many) == 0
    # Nothing holds the tree's lock either: the next writer has its turn at once.
    version = await service.with_token(tenants.admin).patch_configuration(many, many, PATCH)
    assert version.version == 1


async def test_the_client_hands_on_progress_and_answers_as_without(
    service: Service, tenants: Tenants, many: str
) -> None:
    admin = service.with_token(tenants.admin)
    told: list[Progress] = []
    dry = await admin.preview_patch(many, many, PATCH, tell=told.append)
    assert dry == await admin.preview_patch(many, many, PATCH)
    assert told[0] == Progress(judged=0, teams=TEAMS + 2)
    written = await admin.put_configuration(many, many, PATCH, tell=told.append)
    assert written == await admin.configuration(many, many)
    assert (await admin.roll_back_configuration(many, many, 0, tell=told.append)).document == {}
    with pytest.raises(PreconditionFailed):
        await admin.patch_configuration(many, many, PATCH, if_match=1, tell=told.append)
    with pytest.raises(NotFound):
        await admin.patch_configuration(many, "nowhere", PATCH, tell=told.append)
    await admin.put_configuration(many, "t-250", {"budgets": {"day_tokens": 40}})
    with pytest.raises(Unprocessable) as refused:
        await admin.patch_configuration(many, many, {"policies": {"/budgets/day_tokens": {"max": 9}}}, tell=told.append)
    assert refused.value.code == "policy_violation"
    assert refused.value.errors


async def test_a_change_request_is_opened_previewed_and_applied_in_sight(
    service: Service, tenants: Tenants, many: str
) -> None:
    admin, other = [
        service.with_token((await service.as_service("platform").create_token(many, request)).secret)
        for request in (CreateToken(name=user, user=user) for user in ("alice", "bob"))
    ]
    told: list[Progress] = []
    asked = OpenChangeRequest(title="More", change=PatchChange(patch=PATCH))
    opened = await admin.open_change_request(many, many, asked, tell=told.append)
    assert told
    assert versions(service, many) == 0
    told.clear()
    shown = await admin.preview_change_request(many, many, opened.request_id, tell=told.append)
    assert told
    assert shown.affected_teams == TEAMS + 2
    told.clear()
    applied = await other.approve_change_request(many, many, opened.request_id, Decision(), tell=told.append)
    assert told
    assert (applied.applied_version, versions(service, many)) == (1, 1)
    with pytest.raises(Conflict):
        await other.approve_change_request(many, many, opened.request_id, Decision(), tell=told.append)


async def test_a_repeated_key_answers_the_same_as_an_event(service: Service, tenants: Tenants, many: str) -> None:
    asked = OpenChangeRequest(title="More", change=PatchChange(patch=PATCH)).model_dump(mode="json")
    path, key = f"{many}/nodes/{many}/change-requests", {"Idempotency-Key": "once"}
    *_, first = await watched(service, tenants.admin, "POST", path, asked, **key)
    assert first[0] == "result"
    assert first[1]["status"] == 201
    assert await watched(service, tenants.admin, "POST", path, asked, **key) == [first]


async def test_others_have_their_turn_meanwhile(
    service: Service, tenants: Tenants, many: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two pieces of the work the event loop is free: counted in turns, not in time."""
    monkeypatch.setattr(writing, "_BATCH", 25)
    turns = 0

    async def another() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    beside = asyncio.ensure_future(another())
    await service.with_token(tenants.admin).patch_configuration(many, many, PATCH)
    beside.cancel()
    assert turns > TEAMS / 25
