"""Change requests: four eyes, one base version, an end, and one transaction."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from tests.config_service.surroundings import Service, Tenants, as_superuser, query, tenant_settings

from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.contracts.change_requests import (
    ChangeRequest,
    ChangeRequestStatus,
    Decision,
    MoveChange,
    OpenChangeRequest,
    PatchChange,
    ReplaceChange,
)
from incidentfox.contracts.permissions import Permission, Role
from incidentfox.contracts.tokens import CreateToken
from incidentfox.contracts.tree import CreateNode, NodeKind, UpdateNode
from incidentfox.kernel.errors import Conflict, Forbidden, Gone, Invalid, NotFound, Unprocessable

pytestmark = pytest.mark.anyio

YES = Decision(comment="Agreed.")
GUARD = {"policies": {"/budgets": {"requires_approval": True}, "/agents/*/tools": {"requires_approval": True}}}
RAISE = {"budgets": {"run_tokens": 9}}


def asking(patch: dict[str, Any] | None = None, **rest: Any) -> OpenChangeRequest:
    return OpenChangeRequest(title="Raise the budget", change=PatchChange(patch=patch or RAISE), **rest)


async def person(service: Service, org: str, name: str, **rest: Any) -> ConfigServiceClient:
    request = CreateToken(name=name, user=name, **{"node_id": org, "role": Role.ORG_ADMIN, **rest})
    return service.with_token((await service.as_service("platform").create_token(org, request)).secret)


@pytest.fixture
async def guarded(service: Service, tenants: Tenants) -> str:
    """The organisation, whose budgets and tools change with approval only."""
    await service.with_token(tenants.admin).put_configuration(tenants.org, tenants.org, GUARD)
    return tenants.org


async def opened(client: ConfigServiceClient, org: str, **rest: Any) -> ChangeRequest:
    return await client.open_change_request(org, "checkout", asking(**rest))


async def test_a_direct_write_is_refused_with_the_way_to_ask(service: Service, tenants: Tenants, guarded: str) -> None:
    admin = service.with_token(tenants.admin)
    for node in (guarded, "shops", "checkout"):
        with pytest.raises(Conflict, match="change-requests") as refusal:
            await admin.patch_configuration(guarded, node, RAISE)
        assert refusal.value.code == "approval_required"
        assert refusal.value.errors[0].pointer == "/budgets"
    await admin.patch_configuration(guarded, "checkout", {"agents": {"investigator": {"description": "Free."}}})
    assert (await admin.effective(guarded, "checkout")).document.budgets.run_tokens is None


async def test_nobody_gets_round_by_first_loosening_the_policy(
    service: Service, tenants: Tenants, guarded: str
) -> None:
    admin = service.with_token(tenants.admin)
    loosenings: list[dict[str, Any]] = [
        {"policies": None},
        {"policies": {"/budgets": None}},
        {"policies": {"/budgets": {"requires_approval": False, "locked": True}}},
        {"policies": None, **RAISE},
    ]
    for patch in loosenings:
        with pytest.raises(Conflict) as refusal:
            await admin.patch_configuration(guarded, guarded, patch)
        assert refusal.value.code == "approval_required"
    with pytest.raises(Conflict):
        await admin.roll_back_configuration(guarded, guarded, 0)
    with pytest.raises(Conflict):
        await admin.put_configuration(guarded, guarded, {})
    await admin.create_node(guarded, CreateNode(node_id="x", parent_id="shops", kind=NodeKind.TEAM, name="x"))
    with pytest.raises(Conflict):
        await admin.create_node(
            guarded, CreateNode(node_id="y", parent_id="shops", kind=NodeKind.TEAM, name="y", configuration=RAISE)
        )


async def test_another_person_applies_it_and_everything_says_so(
    service: Service, tenants: Tenants, guarded: str
) -> None:
    alice, bob = await person(service, guarded, "alice"), await person(service, guarded, "bob")
    request = await opened(alice, guarded)
    assert (request.status, request.created_by, request.base_version) == (ChangeRequestStatus.OPEN, "user:alice", 0)
    preview = await bob.preview_change_request(guarded, "checkout", request.request_id)
    assert preview.refusals == ()
    assert [(team.team_node_id, team.changes[0].pointer) for team in preview.teams] == [
        ("checkout", "/budgets/run_tokens")
    ]
    await bob.comment_on_change_request(guarded, "checkout", request.request_id, "Why nine?")
    await alice.comment_on_change_request(guarded, "checkout", request.request_id, "Ten is too many.")
    applied = await bob.approve_change_request(guarded, "checkout", request.request_id, YES)
    assert (applied.status, applied.decided_by, applied.applied_version) == (
        ChangeRequestStatus.APPLIED,
        "user:bob",
        1,
    )
    version = await bob.configuration(guarded, "checkout")
    assert (version.document, version.created_by, version.change_request_id) == (
        RAISE,
        "user:alice",
        request.request_id,
    )
    explained = await bob.explained(guarded, "checkout")
    value = next(value for value in explained.values if value.pointer == "/budgets/run_tokens")
    assert (value.set_by.by, value.set_by.change_request_id) == ("user:alice", request.request_id)
    comments = await bob.change_request_comments(guarded, "checkout", request.request_id)
    assert [(said.created_by, said.text) for said in comments.items] == [
        ("user:bob", "Why nine?"),
        ("user:alice", "Ten is too many."),
    ]
    actions = [event.action for event in (await bob.audit_events(guarded)).items if event.target == request.request_id]
    assert actions == [
        "change_request.approved",
        "change_request.commented",
        "change_request.commented",
        "change_request.opened",
    ]


async def test_nobody_approves_their_own_under_any_of_their_names(
    service: Service, tenants: Tenants, guarded: str
) -> None:
    alice, again = await person(service, guarded, "alice"), await person(service, guarded, "alice")
    mine = await opened(alice, guarded)
    for own in (alice, again):
        with pytest.raises(Forbidden) as refusal:
            await own.approve_change_request(guarded, "checkout", mine.request_id, YES)
        assert refusal.value.code == "four_eyes_required"
    admin = service.with_token(tenants.admin)
    request = await opened(admin, guarded)
    session = service.with_token((await admin.exchange_sign_in_code((await admin.create_sign_in_code()).code)).secret)
    made = service.with_token((await admin.create_token(guarded, CreateToken(name="second"))).secret)
    for same in (admin, session, made):
        with pytest.raises(Forbidden):
            await same.approve_change_request(guarded, "checkout", request.request_id, YES)
    asked_by_session = await opened(session, guarded)
    with pytest.raises(Forbidden):
        await admin.approve_change_request(guarded, "checkout", asked_by_session.request_id, YES)
    assert (await admin.configuration(guarded, "checkout")).version == 0
    await alice.approve_change_request(guarded, "checkout", request.request_id, YES)


async def test_who_may_not_approve(service: Service, tenants: Tenants, guarded: str) -> None:
    alice = await person(service, guarded, "alice")
    request = await opened(alice, guarded)
    team = service.with_token(tenants.teams["checkout"])
    viewer = await person(service, guarded, "vera", role=Role.VIEWER)
    editor = await person(service, guarded, "edith", node_id="shops", role=Role.EDITOR)
    for client in (team, viewer, editor):
        with pytest.raises(Forbidden):
            await client.approve_change_request(guarded, "checkout", request.request_id, YES)
    with pytest.raises(NotFound):
        await service.with_token(tenants.teams["payments"]).change_request(guarded, "checkout", request.request_id)
    approver = await person(service, guarded, "anna", node_id="shops", role=Role.APPROVER)
    assert (await approver.change_request(guarded, "checkout", request.request_id)).title == request.title
    await approver.approve_change_request(guarded, "checkout", request.request_id, YES)
    with pytest.raises(Forbidden):
        await approver.open_change_request(guarded, "checkout", asking({"budgets": {"run_tokens": 3}}))


async def test_a_stale_request_is_refused_until_it_is_rebased(service: Service, tenants: Tenants, guarded: str) -> None:
    alice, bob = await person(service, guarded, "alice"), await person(service, guarded, "bob")
    request = await opened(alice, guarded)
    replacing = OpenChangeRequest(title="All", change=ReplaceChange(document=RAISE))
    whole = await alice.open_change_request(guarded, "checkout", replacing)
    await alice.patch_configuration(guarded, "checkout", {"agents": {"investigator": {"description": "Other."}}})
    for asked in (request, whole):
        with pytest.raises(Conflict) as refusal:
            await bob.approve_change_request(guarded, "checkout", asked.request_id, YES)
        assert refusal.value.code == "change_request_stale"
    preview = await bob.preview_change_request(guarded, "checkout", request.request_id)
    assert [refused.code for refused in preview.refusals] == ["version_conflict"]
    with pytest.raises(Forbidden):
        await bob.rebase_change_request(guarded, "checkout", request.request_id)
    with pytest.raises(Conflict):
        await alice.rebase_change_request(guarded, "checkout", whole.request_id)
    assert (await alice.rebase_change_request(guarded, "checkout", request.request_id)).base_version == 1
    await bob.approve_change_request(guarded, "checkout", request.request_id, YES)
    document = (await bob.configuration(guarded, "checkout")).document
    assert document == {"agents": {"investigator": {"description": "Other."}}, **RAISE}


async def test_a_request_ends_once(service: Service, tenants: Tenants, guarded: str) -> None:
    alice, bob = await person(service, guarded, "alice"), await person(service, guarded, "bob")
    rejected, withdrawn, raced = [await opened(alice, guarded) for _ in range(3)]
    await bob.reject_change_request(guarded, "checkout", rejected.request_id, Decision(comment="No."))
    with pytest.raises(Forbidden):
        await bob.withdraw_change_request(guarded, "checkout", withdrawn.request_id, Decision())
    await alice.withdraw_change_request(guarded, "checkout", withdrawn.request_id, Decision())
    for ended in (rejected, withdrawn):
        with pytest.raises(Conflict) as refusal:
            await bob.approve_change_request(guarded, "checkout", ended.request_id, YES)
        assert refusal.value.code == "change_request_closed"
    outcomes: list[str] = []

    async def decide(decision: Any) -> None:
        try:
            outcomes.append((await decision).status)
        except Conflict as conflict:
            outcomes.append(conflict.code)

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(decide, bob.approve_change_request(guarded, "checkout", raced.request_id, YES))
        group.start_soon(decide, bob.reject_change_request(guarded, "checkout", raced.request_id, YES))
    assert len([outcome for outcome in outcomes if outcome != "change_request_closed"]) == 1
    listed = await alice.change_requests(guarded, node_id="checkout", status=ChangeRequestStatus.REJECTED)
    assert rejected.request_id in {request.request_id for request in listed.items}


async def test_an_expired_request_is_gone(service: Service, tenants: Tenants, guarded: str) -> None:
    alice, bob = await person(service, guarded, "alice"), await person(service, guarded, "bob")
    request = await opened(alice, guarded)
    as_superuser(
        service.database,
        "UPDATE config_change_requests SET expires_at = now() - interval '1 second'"
        f" WHERE request_id = '{request.request_id}'",
    )
    assert (await bob.change_request(guarded, "checkout", request.request_id)).status is ChangeRequestStatus.EXPIRED
    with pytest.raises(Gone):
        await bob.approve_change_request(guarded, "checkout", request.request_id, YES)
    expired = await bob.change_requests(guarded, status=ChangeRequestStatus.EXPIRED)
    assert [found.request_id for found in expired.items] == [request.request_id]
    assert (await bob.change_requests(guarded, status=ChangeRequestStatus.OPEN)).items == ()


async def test_an_approval_that_cannot_be_applied_leaves_the_request_open(
    service: Service, tenants: Tenants, guarded: str
) -> None:
    alice, bob = await person(service, guarded, "alice"), await person(service, guarded, "bob")
    request = await opened(alice, guarded)
    await alice.patch_configuration(guarded, "shops", {"policies": {"/budgets/run_tokens": {"allowed": [None, 3]}}})
    with pytest.raises(Unprocessable) as refusal:
        await bob.approve_change_request(guarded, "checkout", request.request_id, YES)
    assert refusal.value.code == "policy_violation"
    assert (await bob.change_request(guarded, "checkout", request.request_id)).status is ChangeRequestStatus.OPEN
    assert (await bob.configuration(guarded, "checkout")).version == 0


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        ({"budget": {}}, "invalid_configuration"),
        ({"policies": {"/nowhere": {"locked": True}}}, "invalid_configuration"),
        ({"entrance_agent": "nobody"}, "invalid_configuration"),
        ({}, "nothing_to_change"),
    ],
)
async def test_what_could_never_be_applied_cannot_be_asked_for(
    service: Service, tenants: Tenants, guarded: str, patch: dict[str, Any], code: str
) -> None:
    admin = service.with_token(tenants.admin)
    request = OpenChangeRequest(title="x", change=PatchChange(patch=patch))
    with pytest.raises(Unprocessable) as refusal:
        await admin.open_change_request(guarded, "checkout", request)
    assert refusal.value.code == code
    assert (await admin.change_requests(guarded)).items == ()


async def test_moving_into_and_out_of_the_reach_of_approval_needs_it_too(service: Service, tenants: Tenants) -> None:
    org, admin = tenants.org, service.with_token(tenants.admin)
    alice, bob = await person(service, org, "alice"), await person(service, org, "bob")
    await admin.create_node(org, CreateNode(node_id="free", parent_id=org, kind=NodeKind.UNIT, name="Free"))
    wild = CreateNode(node_id="wild", parent_id="free", kind=NodeKind.TEAM, name="Wild", configuration=RAISE)
    await admin.create_node(org, wild)
    await admin.put_configuration(org, "shops", GUARD)
    for node, parent in (("checkout", "free"), ("wild", "shops"), ("free", "shops")):
        with pytest.raises(Conflict) as refusal:
            await admin.update_node(org, node, UpdateNode(parent_id=parent))
        assert refusal.value.code == "approval_required"
    asked = OpenChangeRequest(title="Out", change=MoveChange(parent_id="free"))
    request = await alice.open_change_request(org, "checkout", asked)
    assert request.base_version == 1
    applied = await bob.approve_change_request(org, "checkout", request.request_id, YES)
    assert (applied.applied_version, (await bob.node(org, "checkout")).parent_id) == (2, "free")


async def test_what_is_archived_does_not_come_back_changed_without_approval(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    await admin.put_configuration(tenants.org, "shops", {"policies": {"/budgets": {"requires_approval": True}}})
    await admin.archive_node(tenants.org, "shops")
    with pytest.raises(Conflict, match="In team 'checkout'") as refusal:
        await admin.patch_configuration(tenants.org, tenants.org, RAISE)
    assert refusal.value.code == "approval_required"
    preview = await admin.preview_patch(tenants.org, tenants.org, RAISE)
    assert (preview.affected_teams, [refused.code for refused in preview.refusals]) == (0, ["approval_required"])
    await admin.patch_configuration(tenants.org, tenants.org, {"agents": {"investigator": {"description": "Free."}}})
    await admin.restore_node(tenants.org, "shops")
    assert (await admin.effective(tenants.org, "checkout")).document.budgets.run_tokens is None


async def test_the_database_itself_refuses_ones_own_approval(service: Service, tenants: Tenants, guarded: str) -> None:
    request = await opened(service.with_token(tenants.admin), guarded)
    with pytest.raises(Exception, match="four_eyes"):
        query(
            service.database,
            "UPDATE config_change_requests SET status = 'applied', decided_at = now(), decided_by = created_by,"
            f" applied_version = 1 WHERE request_id = '{request.request_id}'",
            tenant_settings(guarded),
        )


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("", {"title": "x"}, "/change"),
        ("", {"title": "", "change": {"kind": "patch", "patch": {}}}, "/title"),
        ("", {"title": "x", "change": {"kind": "drop"}}, "/change"),
        ("", {"title": "x", "change": {"kind": "patch", "patch": []}}, "/change/patch/patch"),
        ("", {"title": "x", "change": {"kind": "patch", "patch": {}}, "expires_in_s": 1}, "/expires_in_s"),
        ("", {"title": "x", "change": {"kind": "move", "parent_id": "NO"}}, "/change/move/parent_id"),
        ("/REQUEST/comments", {"text": " "}, "/text"),
        ("/REQUEST/approve", {"comment": 5}, "/comment"),
        ("/REQUEST/reject", {"because": "x"}, "/because"),
    ],
)
async def test_bad_input_names_the_field(
    service: Service, tenants: Tenants, guarded: str, path: str, body: dict[str, Any], pointer: str
) -> None:
    request = await opened(service.with_token(tenants.admin), guarded)
    address = f"/api/v1/orgs/{guarded}/nodes/checkout/change-requests{path.replace('REQUEST', request.request_id)}"
    answer = await service.call("POST", address, tenants.admin, json=body)
    assert answer.status_code == 422, answer.text
    assert any(error["pointer"].endswith(pointer) for error in answer.json()["errors"]), answer.text


async def test_unknown_requests_and_made_up_cursors(service: Service, tenants: Tenants, guarded: str) -> None:
    admin = service.with_token(tenants.admin)
    request = await opened(admin, guarded)
    with pytest.raises(NotFound):
        await admin.change_request(guarded, "payments", request.request_id)
    with pytest.raises(NotFound):
        await admin.change_request(guarded, "checkout", "crq_" + "0" * 26)
    for cursor in ("x", "WyJhIl0"):
        with pytest.raises(Invalid):
            await admin.change_requests(guarded, cursor=cursor)
        with pytest.raises(Invalid):
            await admin.change_request_comments(guarded, "checkout", request.request_id, cursor=cursor)
    token = service.service_token("platform", Permission.CONFIG_READ, guarded)
    answer = await service.call("GET", f"/api/v1/orgs/{guarded}/change-requests?status=lost", token)
    assert answer.status_code == 422
