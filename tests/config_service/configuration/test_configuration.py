"""Reading and writing configuration: versions, lost updates, judgement of the teams below, the effective document."""

from __future__ import annotations

import anyio
import pytest
from psycopg.errors import InsufficientPrivilege
from tests.config_service.surroundings import Service, Tenants, query, tenant_settings

from incidentfox.contracts.tree import CreateNode, NodeKind
from incidentfox.kernel.crypto import content_hash
from incidentfox.kernel.errors import Conflict, Forbidden, NotFound, PreconditionFailed, TooLarge, Unprocessable
from incidentfox.kernel.tenant import Tenant

pytestmark = pytest.mark.anyio

MODELS = {"models": {"big": {"provider": "offline", "name": "offline"}}}


async def test_a_node_begins_at_version_0(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    version = await admin.configuration(tenants.org, "checkout")
    assert (version.version, version.document, version.created_by) == (0, {}, None)


async def test_versions_count_and_stay(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    first = await admin.put_configuration(tenants.org, "shops", MODELS)
    second = await admin.patch_configuration(tenants.org, "shops", {"budgets": {"run_tokens": 5}}, if_match=1)
    assert (first.version, second.version) == (1, 2)
    assert second.document == {**MODELS, "budgets": {"run_tokens": 5}}
    assert second.hash == content_hash(second.document)
    assert second.created_by is not None
    assert second.created_by.startswith("token:tok_")
    kept = query(
        service.database,
        "SELECT version, document FROM node_configurations WHERE node_id = 'shops' ORDER BY version",
        tenant_settings(tenants.org),
    )
    assert kept == [(1, first.document), (2, second.document)]


async def test_a_write_that_changes_nothing_makes_no_version(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    await admin.put_configuration(tenants.org, "shops", MODELS)
    assert (await admin.patch_configuration(tenants.org, "shops", {})).version == 1


async def test_etags_are_the_version_and_the_hash(service: Service, tenants: Tenants) -> None:
    path = f"/api/v1/orgs/{tenants.org}/nodes/checkout"
    written = await service.call("PUT", f"{path}/configuration", tenants.admin, json={})
    assert written.headers["etag"] == '"1"'
    assert (await service.call("GET", f"{path}/configuration", tenants.admin)).headers["etag"] == '"1"'
    effective = await service.call("GET", f"{path}/effective", tenants.admin)
    assert effective.headers["etag"] == f'"{effective.json()["hash"]}"'
    assert (await service.call("GET", path, tenants.admin)).headers["etag"] == '"1"'


@pytest.mark.parametrize(
    ("if_match", "status"),
    [
        ('"0"', 200),
        ("*", 200),
        ('"7", "0"', 200),
        ('"1"', 412),
        ('"7","8"', 412),
        ("0", 400),
        ('W/"0"', 400),
        ("", 400),
    ],
)
async def test_if_match(service: Service, tenants: Tenants, if_match: str, status: int) -> None:
    path = f"/api/v1/orgs/{tenants.org}/nodes/checkout/configuration"
    answer = await service.call("PUT", path, tenants.admin, json={}, headers={"If-Match": if_match})
    assert answer.status_code == status


async def test_of_concurrent_writers_with_one_view_one_wins(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    outcomes: list[bool] = []

    async def write(number: int) -> None:
        try:
            await admin.put_configuration(tenants.org, "checkout", {"budgets": {"run_tokens": number}}, if_match=0)
        except PreconditionFailed:
            outcomes.append(False)
        else:
            outcomes.append(True)

    async with anyio.create_task_group() as group:
        for number in range(1, 9):
            group.start_soon(write, number)
    assert sorted(outcomes) == [False] * 7 + [True]
    assert (await admin.configuration(tenants.org, "checkout")).version == 1


async def test_64_concurrent_patchers_lose_nothing(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)

    async def patch(number: int) -> None:
        await admin.patch_configuration(tenants.org, "shops", {"models": {f"m{number}": {"provider": "offline"}}})

    async with anyio.create_task_group() as group:
        for number in range(64):
            group.start_soon(patch, number)
    version = await admin.configuration(tenants.org, "shops")
    assert version.version == 64
    assert len(version.document["models"]) == 64


async def test_a_team_inherits_from_organisation_and_unit(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    await admin.put_configuration(tenants.org, tenants.org, {"budgets": {"run_tokens": 1, "day_tokens": 10}})
    await admin.put_configuration(tenants.org, "shops", {"budgets": {"run_tokens": 2}, **MODELS})
    await admin.put_configuration(tenants.org, "checkout", {"budgets": {"day_tokens": None}})
    effective = await admin.effective(tenants.org, "checkout")
    assert effective.document.budgets.run_tokens == 2
    assert effective.document.budgets.day_tokens is None
    assert set(effective.document.models) == {"default", "big"}
    assert effective.sources == (("platform:defaults", 2), (tenants.org, 1), ("shops", 1), ("checkout", 1))
    assert (await admin.effective(tenants.org, "payments")).document.budgets.day_tokens == 10
    assert effective.hash == content_hash(effective.document.model_dump(mode="json", by_alias=True))


async def test_what_a_run_is_built_from_is_kept_by_its_hash(service: Service, tenants: Tenants) -> None:
    agent = service.as_service("agent")
    first = await agent.team_effective(Tenant(tenants.org, "checkout"))
    await agent.team_effective(Tenant(tenants.org, "checkout"))
    await service.with_token(tenants.admin).put_configuration(tenants.org, tenants.org, {"budgets": {"run_tokens": 1}})
    second = await agent.team_effective(Tenant(tenants.org, "checkout"))
    kept = query(
        service.database,
        "SELECT node_id, hash FROM config_effective_documents",
        tenant_settings(tenants.org, "checkout"),
    )
    assert sorted(kept) == sorted([("checkout", first.hash), ("checkout", second.hash)])


async def test_only_a_team_has_an_effective_configuration_for_runs(service: Service, tenants: Tenants) -> None:
    agent = service.as_service("agent")
    with pytest.raises(Unprocessable):
        await agent.team_effective(Tenant(tenants.org, "shops"))
    with pytest.raises(NotFound):
        await agent.team_effective(Tenant(tenants.org, "nobody"))


async def test_a_change_above_that_breaks_a_team_is_refused_with_its_name(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    await admin.put_configuration(tenants.org, "shops", MODELS)
    await admin.put_configuration(tenants.org, "payments", {"agents": {"investigator": {"model": "big"}}})
    with pytest.raises(Unprocessable) as refusal:
        await admin.put_configuration(tenants.org, "shops", {})
    assert [(error.pointer, "'payments'" in error.message) for error in refusal.value.errors] == [
        ("/agents/investigator/model", True)
    ]
    assert (await admin.configuration(tenants.org, "shops")).version == 1


async def test_a_parents_and_a_childs_write_cannot_both_slip_through(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    await admin.put_configuration(tenants.org, "shops", MODELS)

    async def attempt(node: str, document: dict[str, object]) -> None:
        try:
            await admin.put_configuration(tenants.org, node, document)
        except Unprocessable:
            return

    async with anyio.create_task_group() as group:
        group.start_soon(attempt, "shops", {})
        group.start_soon(attempt, "payments", {"agents": {"investigator": {"model": "big"}}})
    await admin.effective(tenants.org, "payments")  # raises Unprocessable if both did


async def test_a_refused_write_leaves_nothing(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    with pytest.raises(Unprocessable) as refusal:
        await admin.put_configuration(tenants.org, "checkout", {"routing": {"services": ["a"]}, "budget": {}})
    assert [error.pointer for error in refusal.value.errors] == ["/budget"]
    settings = tenant_settings(tenants.org)
    assert query(service.database, "SELECT 1 FROM node_configurations", settings) == []
    assert query(service.database, "SELECT 1 FROM config_routing_identifiers", settings) == []


async def test_routing_above_a_team_is_refused(service: Service, tenants: Tenants) -> None:
    with pytest.raises(Unprocessable) as refusal:
        await service.with_token(tenants.admin).put_configuration(
            tenants.org, "shops", {"routing": {"services": ["a"]}}
        )
    assert [error.pointer for error in refusal.value.errors] == ["/routing"]


async def test_a_team_writes_its_own_document_and_no_other(service: Service, tenants: Tenants) -> None:
    team = service.with_token(tenants.teams["checkout"])
    assert (await team.put_configuration(tenants.org, "checkout", {"budgets": {"run_tokens": 7}})).version == 1
    for node in (tenants.org, "shops"):
        with pytest.raises(Forbidden):
            await team.put_configuration(tenants.org, node, {})
    with pytest.raises(NotFound):
        await team.put_configuration(tenants.org, "payments", {})


async def test_a_team_inherits_what_it_may_not_write(service: Service, tenants: Tenants) -> None:
    await service.with_token(tenants.admin).put_configuration(tenants.org, tenants.org, {"budgets": {"run_tokens": 3}})
    team = service.with_token(tenants.teams["checkout"])
    assert (await team.effective(tenants.org, "checkout")).document.budgets.run_tokens == 3
    assert (await team.configuration(tenants.org, tenants.org)).version == 1


async def test_versions_are_immutable_for_the_service_itself(service: Service, tenants: Tenants) -> None:
    for statement in ("UPDATE node_configurations SET document = '{}'", "DELETE FROM node_configurations"):
        with pytest.raises(InsufficientPrivilege):
            query(service.database, statement, tenant_settings(tenants.org))


async def test_a_deep_tree_inherits_and_ends_at_sixteen_levels(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    parent = tenants.org
    for level in range(1, 16):
        node = CreateNode(node_id=f"u{level}", parent_id=parent, kind=NodeKind.UNIT, name="u")
        parent = (await admin.create_node(tenants.org, node)).node_id
    await admin.create_node(tenants.org, CreateNode(node_id="deep", parent_id=parent, kind=NodeKind.TEAM, name="Deep"))
    await admin.put_configuration(tenants.org, "u1", MODELS)
    assert "big" in (await admin.effective(tenants.org, "deep")).document.models
    last = CreateNode(node_id="u16", parent_id=parent, kind=NodeKind.UNIT, name="u")
    await admin.create_node(tenants.org, last)
    with pytest.raises(Unprocessable):
        await admin.create_node(tenants.org, CreateNode(node_id="u17", parent_id="u16", kind=NodeKind.UNIT, name="u"))


async def test_an_identifier_of_another_team_names_its_owner(service: Service, tenants: Tenants) -> None:
    await service.with_token(tenants.admin).put_configuration(
        tenants.org, "payments", {"routing": {"services": ["Billing"]}}
    )
    with pytest.raises(Conflict, match="payments") as refusal:
        await service.with_token(tenants.teams["checkout"]).put_configuration(
            tenants.org, "checkout", {"routing": {"services": ["free", " billing "]}}
        )
    assert [error.pointer for error in refusal.value.errors] == ["/routing/services/1"]


async def test_many_small_patches_do_not_add_up_to_more_than_a_mebibyte(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    for key in ("a", "b", "c"):
        await admin.patch_configuration(tenants.org, "shops", {"agents": {key: {"description": "x" * 300_000}}})
    with pytest.raises(TooLarge) as refusal:
        await admin.patch_configuration(tenants.org, "shops", {"agents": {"d": {"description": "x" * 300_000}}})
    assert refusal.value.code == "document_too_large"
    assert (await admin.configuration(tenants.org, "shops")).version == 3


async def test_posting_to_slack_depends_on_slack_and_says_who_depends(service: Service, tenants: Tenants) -> None:
    admin, org = service.with_token(tenants.admin), tenants.org
    await admin.put_configuration(org, org, {"integrations": {"slack": {"enabled": True}}})
    await admin.put_configuration(org, "checkout", {"destinations": {"slack": {"channel": "#c"}}})
    with pytest.raises(Unprocessable) as refusal:
        await admin.put_configuration(org, org, {"integrations": {"slack": {"enabled": False}}})
    assert [(error.pointer, error.message[:19]) for error in refusal.value.errors] == [
        ("/destinations/slack", "In team 'checkout':")
    ]
