"""Organisations, units and teams."""

from __future__ import annotations

import secrets

import anyio
import pytest
from tests.config_service.surroundings import Service, Tenants

from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.tree import CreateNode, CreateOrganisation, NodeKind
from incidentfox.kernel.errors import Conflict, Forbidden, NotFound, Unprocessable

pytestmark = pytest.mark.anyio


def team(node_id: str, parent_id: str, kind: NodeKind = NodeKind.TEAM) -> CreateNode:
    return CreateNode(node_id=node_id, parent_id=parent_id, kind=kind, name=node_id)


async def test_an_organisation_is_its_own_root_and_its_id_is_taken_once(service: Service) -> None:
    org = f"new-{secrets.token_hex(4)}"
    platform = service.as_service("platform")
    root = await platform.create_organisation(CreateOrganisation(org_id=org, name=" New "))
    assert (root.node_id, root.parent_id, root.kind, root.name, root.version) == (org, None, NodeKind.ORG, "New", 1)
    with pytest.raises(Conflict):
        await platform.create_organisation(CreateOrganisation(org_id=org, name="Again"))


async def test_only_the_platform_creates_organisations(service: Service, tenants: Tenants) -> None:
    request = CreateOrganisation(org_id="mine", name="Mine")
    for caller in (service.with_token(tenants.admin), service.as_service("orchestrator")):
        with pytest.raises(Forbidden):
            await caller.create_organisation(request)
    token = service.service_token("platform", Permission.ORGS_CREATE, tenants.org)
    answer = await service.call("POST", "/api/v1/orgs", token, json=request.model_dump())
    assert answer.status_code == 404


async def test_nodes_are_listed_in_pages_by_id(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    seen, cursor = [], None
    while True:
        page = await admin.nodes(tenants.org, cursor=cursor, limit=3)
        seen += [node.node_id for node in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == sorted([tenants.org, "shops", "checkout", "payments"])


async def test_a_team_sees_itself_and_what_is_above_it(service: Service, tenants: Tenants) -> None:
    own = service.with_token(tenants.teams["checkout"])
    assert {node.node_id for node in (await own.nodes(tenants.org)).items} == {tenants.org, "shops", "checkout"}
    assert (await own.node(tenants.org, "shops")).kind is NodeKind.UNIT
    with pytest.raises(NotFound):
        await own.node(tenants.org, "payments")
    with pytest.raises(Forbidden):
        await own.create_node(tenants.org, team("mine", "checkout"))


@pytest.mark.parametrize(
    ("node_id", "parent", "kind", "pointer"),
    [
        ("x", "nobody", NodeKind.TEAM, "/parent_id"),
        ("x", "checkout", NodeKind.TEAM, "/parent_id"),
        ("x", "shops", NodeKind.ORG, "/kind"),
    ],
)
async def test_where_a_node_may_not_stand(
    service: Service, tenants: Tenants, node_id: str, parent: str, kind: NodeKind, pointer: str
) -> None:
    with pytest.raises(Unprocessable) as refusal:
        await service.with_token(tenants.admin).create_node(tenants.org, team(node_id, parent, kind))
    assert [error.pointer for error in refusal.value.errors] == [pointer]


async def test_an_id_is_taken_once_also_when_two_come_at_once(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    refused: list[int] = []

    async def create(number: int) -> None:
        try:
            await admin.create_node(tenants.org, team("twin", "shops"))
        except Conflict:
            refused.append(number)

    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(create, number)
    assert len(refused) == 3


async def test_a_parent_of_another_organisation_is_no_parent(service: Service, tenants: Tenants) -> None:
    with pytest.raises(Unprocessable):
        await service.with_token(tenants.admin).create_node(tenants.org, team("x", tenants.other))


async def test_an_idempotency_key_repeats_the_answer_also_at_once(service: Service, tenants: Tenants) -> None:
    path, body = f"/api/v1/orgs/{tenants.org}/nodes", team("once", "shops").model_dump(mode="json")
    answers = []

    async def create() -> None:
        answers.append(await service.call("POST", path, tenants.admin, json=body, headers={"Idempotency-Key": "n-1"}))

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(create)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    bad = await service.call("POST", path, tenants.admin, json=body, headers={"Idempotency-Key": "two words"})
    assert bad.status_code == 422
