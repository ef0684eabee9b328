"""A dry run says what the write would do, judges the same, and writes nothing at all."""

from __future__ import annotations

from typing import Any

import pytest
from tests.config_service.surroundings import Service, Tenants
from tests.config_service.test_isolation import state_of

from incidentfox.contracts.change_requests import OpenChangeRequest, PatchChange
from incidentfox.contracts.explanation import WritePreview
from incidentfox.contracts.tree import CreateNode, NodeKind, UpdateNode
from incidentfox.kernel.errors import Failure, Forbidden, NotFound

pytestmark = pytest.mark.anyio

DOCUMENT: dict[str, Any] = {"budgets": {"run_tokens": 4}, "routing": {"services": ["cart"]}}


async def test_a_preview_shows_each_affected_teams_difference(service: Service, tenants: Tenants) -> None:
    admin, org = service.with_token(tenants.admin), tenants.org
    await admin.put_configuration(org, org, {"budgets": {"run_tokens": 5}})
    await admin.put_configuration(org, "payments", {"budgets": {"run_tokens": 7}})
    preview = await admin.preview_patch(org, "shops", {"budgets": {"run_tokens": 6, "day_tokens": 60}})
    assert preview.refusals == ()
    assert [(change.pointer, change.kind) for change in preview.changes] == [("/budgets", "added")]
    shown = {
        effect.team_node_id: [(change.pointer, change.before, change.after) for change in effect.changes]
        for effect in preview.teams
    }
    assert shown == {
        "checkout": [("/budgets/day_tokens", None, 60), ("/budgets/run_tokens", 5, 6)],
        "payments": [("/budgets/day_tokens", None, 60)],
    }
    assert preview.affected_teams == 2
    before = {team: (await admin.effective(org, team)).document for team in shown}
    await admin.patch_configuration(org, "shops", {"budgets": {"run_tokens": 6, "day_tokens": 60}})
    for team, changes in shown.items():
        after = (await admin.effective(org, team)).document
        changed = {"run_tokens", "day_tokens"} & {pointer.rpartition("/")[2] for pointer, _, _ in changes}
        for name in changed:
            assert getattr(before[team].budgets, name) != getattr(after.budgets, name)


@pytest.mark.parametrize(
    "patch",
    [
        {"budgets": {"run_tokens": 40}},
        {"budget": {}},
        {"routing": {"services": ["billing"]}},
        {"tools": {"search_logs": {"enabled": False}}},
        {"policies": {"/nowhere": {"locked": True}}},
        {"agents": {"investigator": {"description": "Fine."}}},
        {"destinations": {"slack": {"channel": "#x"}}},
    ],
)
async def test_a_preview_refuses_exactly_what_the_write_refuses(
    service: Service, tenants: Tenants, patch: dict[str, Any]
) -> None:
    admin, org = service.with_token(tenants.admin), tenants.org
    rules = {"/budgets/run_tokens": {"max": 9}, "/tools": {"requires_approval": True}}
    await admin.put_configuration(org, org, {"budgets": {"run_tokens": 5}, "policies": rules})
    await admin.put_configuration(org, "payments", {"routing": {"services": ["billing"]}})
    preview = await admin.preview_patch(org, "checkout", patch)
    stale = await admin.preview_patch(org, "checkout", patch, if_match=7)
    assert [refusal.code for refusal in stale.refusals] == ["version_conflict"]
    refused = None
    try:
        await admin.patch_configuration(org, "checkout", patch)
    except Failure as failure:
        refused = (failure.status, failure.code, failure.errors)
    shown = [(refusal.status, refusal.code, refusal.errors) for refusal in preview.refusals]
    assert shown == ([refused] if refused is not None else [])


async def test_no_preview_writes_anything(service: Service, tenants: Tenants) -> None:
    admin, org = service.with_token(tenants.admin), tenants.org
    await admin.put_configuration(org, "checkout", {"budgets": {"run_tokens": 1}})
    await admin.create_node(org, CreateNode(node_id="away", parent_id=org, kind=NodeKind.UNIT, name="Away"))
    await admin.archive_node(org, "away")
    new = CreateNode(node_id="new", parent_id="shops", kind=NodeKind.TEAM, name="New", configuration=DOCUMENT)
    before = state_of(service, org)
    previews: list[WritePreview] = [
        await admin.preview_put(org, "checkout", DOCUMENT),
        await admin.preview_patch(org, "shops", {"budgets": {"run_tokens": 4}}),
        await admin.preview_rollback(org, "checkout", 0),
        await admin.preview_creation(org, new),
        await admin.preview_update(org, "checkout", UpdateNode(name="Other", parent_id=org)),
        await admin.preview_archiving(org, "shops"),
        await admin.preview_restoring(org, "away"),
        await admin.preview_opening(org, "checkout", OpenChangeRequest(title="x", change=PatchChange(patch=DOCUMENT))),
    ]
    assert [preview.refusals for preview in previews] == [()] * len(previews)
    assert len((await admin.delete_node(org, "shops", dry_run=True)).teams) == 2
    assert state_of(service, org) == before


async def test_a_preview_needs_the_rights_of_the_write(service: Service, tenants: Tenants) -> None:
    team, org = service.with_token(tenants.teams["checkout"]), tenants.org
    with pytest.raises(Forbidden):
        await team.preview_patch(org, "shops", {})
    with pytest.raises(NotFound):
        await team.preview_patch(org, "payments", {})
    with pytest.raises(Forbidden):
        await team.preview_update(org, "checkout", UpdateNode(name="x"))
    assert (await team.preview_patch(org, "checkout", {"budgets": {"run_tokens": 3}})).affected_teams == 1


async def test_the_published_schema_names_every_section_and_the_policies(service: Service, tenants: Tenants) -> None:
    schema = await service.with_token(tenants.teams["checkout"]).configuration_schema()
    effective = (await service.with_token(tenants.admin).effective(tenants.org, "checkout")).document
    assert set(schema["properties"]) == {*type(effective).model_fields, "policies"}
    assert schema["additionalProperties"] is False
    assert "required" not in schema
    assert "locked" in schema["$defs"]["Policy"]["properties"]
    references = [part.split('"')[0] for part in str(schema).replace("'", '"').split("#/$defs/")[1:]]
    assert references
    assert set(references) <= set(schema["$defs"])
