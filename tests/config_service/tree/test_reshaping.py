"""Renaming, moving, archiving, restoring and deleting: what each does, refuses, previews and leaves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import anyio
import pytest
from tests.config_service.surroundings import Service, Tenants, new_run, query, tenant_settings

from incidentfox.contracts.routing import Identifier, IdentifierKind, RoutingLookup
from incidentfox.contracts.tree import CreateNode, Node, NodeKind, UpdateNode
from incidentfox.kernel.errors import (
    Conflict,
    Forbidden,
    NotFound,
    PreconditionFailed,
    Unauthenticated,
    Unprocessable,
)
from incidentfox.kernel.tenant import Tenant

pytestmark = pytest.mark.anyio


def unit(node_id: str, parent: str) -> CreateNode:
    return CreateNode(node_id=node_id, parent_id=parent, kind=NodeKind.UNIT, name=node_id)


def team(node_id: str, parent: str, configuration: dict[str, Any] | None = None) -> CreateNode:
    return CreateNode(node_id=node_id, parent_id=parent, kind=NodeKind.TEAM, name=node_id, configuration=configuration)


def lookup(service: str) -> RoutingLookup:
    return RoutingLookup(identifiers=(Identifier(kind=IdentifierKind.SERVICE, value=service),))


async def test_a_rename_keeps_the_id_and_counts_the_version(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    renamed = await admin.update_node(tenants.org, "shops", UpdateNode(name="Web shops"), if_match=1)
    assert (renamed.node_id, renamed.name, renamed.version) == ("shops", "Web shops", 2)
    assert await admin.update_node(tenants.org, "shops", UpdateNode()) == renamed
    with pytest.raises(PreconditionFailed):
        await admin.update_node(tenants.org, "shops", UpdateNode(name="Again"), if_match=1)
    events = await admin.audit_events(tenants.org, action="node.renamed")
    assert events.items[0].detail == {"from": "Shops", "to": "Web shops"}


async def test_a_move_takes_everything_below_along(service: Service, tenants: Tenants) -> None:
    admin, org = service.with_token(tenants.admin), tenants.org
    await admin.create_node(org, unit("europe", org))
    await admin.put_configuration(org, "europe", {"budgets": {"run_tokens": 7}})
    before = datetime.now(UTC)
    preview = await admin.preview_update(org, "shops", UpdateNode(parent_id="europe"))
    assert preview.refusals == ()
    assert {effect.team_node_id for effect in preview.teams} == {"checkout", "payments"}
    assert [change.pointer for change in preview.teams[0].changes] == ["/budgets/run_tokens"]
    assert (await admin.node(org, "shops")).parent_id == org
    await admin.update_node(org, "shops", UpdateNode(parent_id="europe"))
    effective = await admin.effective(org, "checkout")
    assert effective.document.budgets.run_tokens == 7
    assert [source for source, _ in effective.sources] == ["platform:defaults", "europe"]
    own = service.with_token(tenants.teams["checkout"])
    assert {node.node_id for node in (await own.nodes(org)).items} == {org, "europe", "shops", "checkout"}
    assert (await admin.effective(org, "checkout", at=before)).document.budgets.run_tokens is None


async def test_a_team_that_was_moved_does_not_learn_its_former_units_past(service: Service, tenants: Tenants) -> None:
    admin, org = service.with_token(tenants.admin), tenants.org
    await admin.put_configuration(org, "shops", {"budgets": {"run_tokens": 3}})
    moment = datetime.now(UTC)
    await admin.update_node(org, "checkout", UpdateNode(parent_id=org))
    own = service.with_token(tenants.teams["checkout"])
    assert (await own.effective(org, "checkout")).document.budgets.run_tokens is None
    with pytest.raises(NotFound):
        await own.effective(org, "checkout", at=moment)
    assert (await admin.effective(org, "checkout", at=moment)).document.budgets.run_tokens == 3


@pytest.mark.parametrize(
    ("node", "parent", "words"),
    [
        ("shops", "shops", "itself or stands below"),
        ("shops", "inner", "itself or stands below"),
        ("shops", "checkout", "is a team"),
        ("checkout", "payments", "is a team"),
        ("checkout", "nowhere", "no node 'nowhere'"),
        ("ORG", "shops", "root of its own tree"),
    ],
)
async def test_where_a_node_may_not_be_moved(
    service: Service, tenants: Tenants, node: str, parent: str, words: str
) -> None:
    admin, org = service.with_token(tenants.admin), tenants.org
    await admin.create_node(org, unit("inner", "shops"))
    change = UpdateNode(parent_id=parent)
    node_id = org if node == "ORG" else node
    with pytest.raises(Unprocessable, match=words) as refusal:
        await admin.update_node(org, node_id, change)
    assert [error.pointer for error in refusal.value.errors] == ["/parent_id"]
    preview = await admin.preview_update(org, node_id, change)
    assert [refused.code for refused in preview.refusals] == ["invalid_node"]


async def test_a_move_may_not_make_the_tree_too_deep(service: Service, tenants: Tenants) -> None:
    admin, org = service.with_token(tenants.admin), tenants.org
    parent = org
    for level in range(1, 15):
        parent = (await admin.create_node(org, unit(f"d{level}", parent))).node_id
    await admin.update_node(org, "shops", UpdateNode(parent_id=parent))
    assert (await admin.effective(org, "checkout")).team_node_id == "checkout"
    await admin.update_node(org, "shops", UpdateNode(parent_id=org))
    last = await admin.create_node(org, unit("d15", parent))
    with pytest.raises(Unprocessable, match="16 levels"):
        await admin.update_node(org, "shops", UpdateNode(parent_id=last.node_id))


async def test_two_moves_at_once_make_no_circle(service: Service, tenants: Tenants) -> None:
    admin, org = service.with_token(tenants.admin), tenants.org
    outcomes: list[bool] = []

    async def move(node: str, parent: str) -> None:
        try:
            await admin.update_node(org, node, UpdateNode(parent_id=parent))
        except Unprocessable:
            outcomes.append(False)
        else:
            outcomes.append(True)

    for name in ("left", "right"):
        await admin.create_node(org, unit(name, org))
    async with anyio.create_task_group() as group:
        group.start_soon(move, "left", "right")
        group.start_soon(move, "right", "left")
    assert sorted(outcomes) == [False, True]


async def test_what_is_archived_neither_changes_nor_runs_nor_routes(service: Service, tenants: Tenants) -> None:
    admin, org = service.with_token(tenants.admin), tenants.org
    await admin.put_configuration(org, "checkout", {"routing": {"services": ["cart"]}})
    assert (await admin.who_would_get(org, lookup("cart"))).team_node_id == "checkout"
    archived = await admin.archive_node(org, "shops")
    assert archived.archived_at is not None
    assert (await admin.node(org, "checkout")).archived_at == archived.archived_at
    assert (await admin.who_would_get(org, lookup("cart"))).team_node_id is None
    with pytest.raises(Conflict, match="archived"):
        await admin.patch_configuration(org, "checkout", {"budgets": {"run_tokens": 1}})
    with pytest.raises(Conflict, match="archived"):
        await admin.create_node(org, team("late", "shops"))
    with pytest.raises(Conflict, match="archived"):
        await admin.archive_node(org, "shops")
    with pytest.raises(Conflict, match="archived"):
        await service.as_service("agent").team_effective(Tenant(org, "checkout"))
    with pytest.raises(Conflict, match="above"):
        await admin.restore_node(org, "checkout")
    assert (await admin.effective(org, "checkout")).team_node_id == "checkout"
    await admin.restore_node(org, "shops")
    assert (await admin.node(org, "checkout")).archived_at is None
    assert (await admin.who_would_get(org, lookup("cart"))).team_node_id == "checkout"


async def test_restoring_is_judged_anew(service: Service, tenants: Tenants) -> None:
    admin, org = service.with_token(tenants.admin), tenants.org
    document = {"routing": {"services": ["cart"]}, "budgets": {"run_tokens": 50}}
    await admin.put_configuration(org, "checkout", document)
    await admin.archive_node(org, "checkout")
    await admin.put_configuration(org, "payments", {"routing": {"services": ["cart"]}, "budgets": {"run_tokens": 5}})
    with pytest.raises(Conflict, match="payments"):
        await admin.restore_node(org, "checkout")
    await admin.patch_configuration(org, "payments", {"routing": None})
    await admin.put_configuration(org, "shops", {"policies": {"/budgets/run_tokens": {"max": 9}}})
    with pytest.raises(Unprocessable) as refusal:
        await admin.restore_node(org, "checkout")
    assert refusal.value.code == "policy_violation"
    preview = await admin.preview_restoring(org, "checkout")
    assert [refused.code for refused in preview.refusals] == ["policy_violation"]
    assert (await admin.node(org, "checkout")).archived_at is not None


async def test_a_deletion_says_before_what_falls_with_it(service: Service, tenants: Tenants) -> None:
    admin, org = service.with_token(tenants.admin), tenants.org
    await admin.put_configuration(org, "checkout", {"routing": {"services": ["cart", "basket"]}})
    await admin.put_secret(org, "shops", "slack", "x")
    before = query(service.database, "SELECT count(*) FROM config_routing_identifiers", tenant_settings(org))
    preview = await admin.delete_node(org, "shops", dry_run=True)
    assert (preview.dry_run, preview.units, preview.teams) == (True, ("shops",), ("checkout", "payments"))
    assert (preview.identifiers, preview.secrets, preview.tokens) == (2, 1, 2)
    assert query(service.database, "SELECT count(*) FROM config_routing_identifiers", tenant_settings(org)) == before
    assert (await service.with_token(tenants.teams["checkout"]).me()).team_node_id == "checkout"
    done = await admin.delete_node(org, "shops", if_match=1)
    assert done == preview.model_copy(update={"dry_run": False})


async def test_what_a_deleted_team_held_is_free_and_what_it_did_stays(service: Service, tenants: Tenants) -> None:
    admin, org = service.with_token(tenants.admin), tenants.org
    await admin.put_configuration(org, "checkout", {"routing": {"services": ["cart"]}})
    run = await service.as_service("orchestrator").create_run(org, new_run("checkout"))
    shown = await service.as_service("agent").team_effective(Tenant(org, "checkout"))
    await admin.delete_node(org, "checkout")
    for gone in (admin.node(org, "checkout"), admin.effective(org, "checkout"), admin.configuration(org, "checkout")):
        with pytest.raises(NotFound):
            await gone
    with pytest.raises(NotFound):
        await admin.put_configuration(org, "checkout", {})
    with pytest.raises(Unauthenticated):
        await service.with_token(tenants.teams["checkout"]).me()
    assert "checkout" not in {node.node_id for node in (await admin.nodes(org)).items}
    await admin.put_configuration(org, "payments", {"routing": {"services": ["cart"]}})
    assert (await admin.run(org, run.run_id)).team_node_id == "checkout"
    assert (await admin.effective_by_hash(org, "checkout", shown.hash)).hash == shown.hash
    assert "checkout" in {event.team_node_id for event in (await admin.audit_events(org)).items}
    with pytest.raises(Conflict, match="not given out again"):
        await admin.create_node(org, team("checkout", "shops"))
    with pytest.raises((NotFound, Conflict, Unprocessable)):
        await service.as_service("orchestrator").create_run(org, new_run("checkout"))


async def test_the_root_and_the_default_team_do_not_go(service: Service, tenants: Tenants) -> None:
    admin, org = service.with_token(tenants.admin), tenants.org
    for write in (admin.delete_node(org, org), admin.archive_node(org, org)):
        with pytest.raises(Unprocessable, match="organisation"):
            await write
    await admin.put_configuration(org, org, {"routing": {"default_team": "checkout"}})
    for write in (admin.delete_node(org, "shops"), admin.archive_node(org, "checkout")):
        with pytest.raises(Conflict, match="default team"):
            await write


async def test_only_the_whole_organisations_admins_reshape_it(service: Service, tenants: Tenants) -> None:
    own, org = service.with_token(tenants.teams["checkout"]), tenants.org
    for write in (
        own.update_node(org, "checkout", UpdateNode(name="Mine")),
        own.archive_node(org, "checkout"),
        own.restore_node(org, "checkout"),
        own.delete_node(org, "checkout"),
    ):
        with pytest.raises(Forbidden):
            await write


async def test_a_node_with_a_broken_first_document_is_not_created(service: Service, tenants: Tenants) -> None:
    admin, org = service.with_token(tenants.admin), tenants.org
    for document in ({"budget": {}}, {"policies": {"/nowhere": {"locked": True}}}, {"entrance_agent": "nobody"}):
        with pytest.raises(Unprocessable):
            await admin.create_node(org, team("broken", "shops", document))
        assert len((await admin.preview_creation(org, team("broken", "shops", document))).refusals) == 1
    await admin.put_configuration(org, "payments", {"routing": {"services": ["cart"]}})
    with pytest.raises(Conflict, match="payments"):
        await admin.create_node(org, team("broken", "shops", {"routing": {"services": ["cart"]}}))
    with pytest.raises(NotFound):
        await admin.node(org, "broken")
    created = await admin.create_node(org, team("sound", "shops", {"routing": {"services": ["basket"]}}))
    assert isinstance(created, Node)
    assert (await admin.who_would_get(org, lookup("basket"))).team_node_id == "sound"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PATCH", "checkout", {"nmae": "x"}, 422),
        ("PATCH", "checkout", {"name": ""}, 422),
        ("PATCH", "checkout", {"name": 5}, 422),
        ("PATCH", "checkout", {"parent_id": "../etc"}, 422),
        ("PATCH", "nobody", {"name": "x"}, 404),
        ("DELETE", "nobody", None, 404),
        ("POST", "nobody/archive", None, 404),
        ("POST", "nobody/restore", None, 404),
        ("DELETE", "checkout?dry_run=maybe", None, 422),
    ],
)
async def test_bad_input(
    service: Service, tenants: Tenants, method: str, path: str, body: dict[str, Any] | None, status: int
) -> None:
    address = f"/api/v1/orgs/{tenants.org}/nodes/{path}"
    answer = await service.call(method, address, tenants.admin, **({"json": body} if body is not None else {}))
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert (await service.with_token(tenants.admin).node(tenants.org, "checkout")).version == 1
