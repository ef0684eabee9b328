"""Roles at any node: what each may do, how far it reaches, and that a person is the same with each of their tokens."""

from __future__ import annotations

import pytest
from tests.config_service.surroundings import Service, Tenants, new_run, query, tenant_settings

from incidentfox.contracts.audit import AuditFilters
from incidentfox.contracts.permissions import ROLE_PERMISSIONS, Permission, Role
from incidentfox.contracts.tokens import CreateToken
from incidentfox.contracts.tree import CreateNode, NodeKind
from incidentfox.kernel.errors import Forbidden, NotFound, Unprocessable

pytestmark = pytest.mark.anyio


async def holder_of(service: Service, tenants: Tenants, role: Role, node: str | None, user: str | None = None) -> str:
    """The secret of a new token with a role at a node."""
    request = CreateToken(name=role.value, node_id=node, role=role, user=user)
    return (await service.with_token(tenants.admin).create_token(tenants.org, request)).secret


@pytest.mark.parametrize("role", Role)
async def test_a_role_carries_its_permissions_wherever_it_is_given(
    service: Service, tenants: Tenants, role: Role
) -> None:
    for node in (None, tenants.org, "shops", "checkout"):
        if role is Role.ORG_ADMIN and node in ("shops", "checkout"):
            with pytest.raises(Unprocessable) as refusal:
                await holder_of(service, tenants, role, node)
            assert refusal.value.code == "role_not_allowed"
            continue
        me = await service.with_token(await holder_of(service, tenants, role, node)).me()
        assert set(me.scopes) == ROLE_PERMISSIONS[role]
        assert me.team_node_id == (node if node in ("shops", "checkout") else None)


async def test_a_role_and_scopes_exclude_each_other_and_so_do_two_nodes(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    for request in (
        CreateToken(name="t", role=Role.VIEWER, scopes=(Permission.RUNS_READ,)),
        CreateToken(name="t", node_id="shops", team_node_id="checkout", role=Role.VIEWER),
        CreateToken(name="t", node_id="shops"),
    ):
        with pytest.raises(Unprocessable):
            await admin.create_token(tenants.org, request)
    with pytest.raises(NotFound):
        await admin.create_token(tenants.org, CreateToken(name="t", node_id="nowhere", role=Role.VIEWER))


async def test_a_role_of_a_unit_reaches_every_team_below_and_nothing_beside(service: Service, tenants: Tenants) -> None:
    admin, platform = service.with_token(tenants.admin), service.as_service("platform")
    for node, parent, kind in (("deep", "shops", NodeKind.UNIT), ("cart", "deep", NodeKind.TEAM)):
        await platform.create_node(tenants.org, CreateNode(node_id=node, parent_id=parent, kind=kind, name=node))
    await platform.create_node(
        tenants.org, CreateNode(node_id="beside", parent_id=tenants.org, kind=NodeKind.TEAM, name="Beside")
    )
    orchestrator = service.as_service("orchestrator")
    runs = {team: (await orchestrator.create_run(tenants.org, new_run(team))).run_id for team in ("cart", "beside")}
    for node in (tenants.org, "shops", "cart", "beside"):
        await admin.put_configuration(tenants.org, node, {"budgets": {"run_tokens": 7}})

    unit = service.with_token(await holder_of(service, tenants, Role.TEAM_ADMIN, "shops"))
    me = (await unit.me()).subject
    assert {node.node_id for node in (await unit.nodes(tenants.org)).items} == {
        *(tenants.org, "shops", "checkout", "payments", "deep", "cart")
    }
    assert [run.run_id for run in (await unit.runs(tenants.org)).items] == [runs["cart"]]
    assert (await unit.run(tenants.org, runs["cart"])).team_node_id == "cart"
    assert (await unit.run_events(tenants.org, runs["cart"])).items == ()
    assert (await unit.effective(tenants.org, "cart")).document.budgets.run_tokens == 7
    assert (await unit.configuration(tenants.org, "cart")).version == 1
    await unit.patch_configuration(tenants.org, "cart", {"budgets": {"run_tokens": 8}})
    await unit.put_secret(tenants.org, "deep", "key", "value")
    events = (await unit.audit_events(tenants.org, wanted=AuditFilters(action="secret.written"))).items
    assert [event.target for event in events] == ["deep/key"]

    with pytest.raises(NotFound):
        await unit.run(tenants.org, runs["beside"])
    for refused in (
        unit.configuration(tenants.org, "beside"),
        unit.effective(tenants.org, "beside"),
        unit.put_secret(tenants.org, "beside", "key", "value"),
        unit.put_configuration(tenants.org, "beside", {}),
    ):
        with pytest.raises(NotFound):
            await refused
    with pytest.raises(Forbidden):
        await unit.put_configuration(tenants.org, tenants.org, {})
    seen = [event for event in (await unit.audit_events(tenants.org, limit=200)).items if event.actor != me]
    assert seen
    assert "beside" not in str([event.target for event in seen])


async def test_a_team_admin_gives_tokens_below_and_not_beside_or_above(service: Service, tenants: Tenants) -> None:
    unit = service.with_token(await holder_of(service, tenants, Role.TEAM_ADMIN, "shops"))
    viewer = CreateToken(name="v", node_id="checkout", role=Role.VIEWER)
    created = await unit.create_token(tenants.org, viewer)
    assert {token.team_node_id for token in (await unit.tokens(tenants.org)).items} == {
        "shops",
        "checkout",
        "payments",
    }
    new = await unit.rotate_token(tenants.org, created.token.token_id, 0)
    await unit.revoke_token(tenants.org, new.token.token_id)
    for elsewhere in (None, tenants.org):
        with pytest.raises(Forbidden):
            await unit.create_token(tenants.org, CreateToken(name="v", node_id=elsewhere, role=Role.VIEWER))
    with pytest.raises(Forbidden):
        await unit.create_token(tenants.org, CreateToken(name="v", role=Role.ORG_ADMIN))
    team = service.with_token(await holder_of(service, tenants, Role.TEAM_ADMIN, "checkout"))
    for node in ("payments", "shops"):
        with pytest.raises((Forbidden, NotFound)):
            await team.create_token(tenants.org, CreateToken(name="v", node_id=node, role=Role.VIEWER))


async def test_a_role_does_no_more_than_it_says(service: Service, tenants: Tenants) -> None:
    viewer = service.with_token(await holder_of(service, tenants, Role.VIEWER, "shops"))
    auditor = service.with_token(await holder_of(service, tenants, Role.AUDITOR, None))
    for refused in (
        viewer.put_configuration(tenants.org, "checkout", {}),
        viewer.put_secret(tenants.org, "checkout", "a", "b"),
        viewer.audit_events(tenants.org),
        viewer.tokens(tenants.org),
        auditor.put_configuration(tenants.org, "checkout", {}),
        auditor.create_token(tenants.org, CreateToken(name="t")),
    ):
        with pytest.raises(Forbidden) as refusal:
            await refused
        assert refusal.value.code == "permission_required"
    assert (await auditor.audit_chain(tenants.org)).end.seq >= 0


async def test_a_person_is_the_same_with_each_of_their_tokens(service: Service, tenants: Tenants) -> None:
    secrets = [
        await holder_of(service, tenants, Role.EDITOR, node, "ana@example.com") for node in ("shops", "checkout")
    ]
    for secret in secrets:
        assert (await service.with_token(secret).me()).subject == "user:ana@example.com"
        assert (await service.as_service("orchestrator").introspect(secret)).subject == "user:ana@example.com"
    await service.with_token(secrets[1]).put_configuration(tenants.org, "checkout", {})
    admin = service.with_token(tenants.admin)
    [event] = (await admin.audit_events(tenants.org, wanted=AuditFilters(actor="user:ana@example.com"))).items
    assert event.action == "configuration.updated"
    first = service.with_token(secrets[0])
    code = await first.create_sign_in_code()
    session = await service.client(None).exchange_sign_in_code(code.code)
    assert (await service.with_token(session.secret).me()).subject == "user:ana@example.com"
    await first.sign_out()
    await service.with_token(secrets[1]).me()


@pytest.mark.parametrize("user", ["", "token:x", "a b", "x" * 201, "ana\n", "user:x"])
async def test_a_handle_that_could_be_taken_for_something_else_is_refused(
    service: Service, tenants: Tenants, user: str
) -> None:
    path = f"/api/v1/orgs/{tenants.org}/tokens"
    answer = await service.call("POST", path, tenants.admin, json={"name": "t", "user": user})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/body/user")


async def test_the_database_shows_a_unit_what_is_below_and_lets_it_write_nothing_there(
    service: Service, tenants: Tenants
) -> None:
    admin = service.with_token(tenants.admin)
    await admin.put_configuration(tenants.org, "checkout", {})
    unit = tenant_settings(tenants.org, "shops")
    teams = "SELECT DISTINCT team_node_id FROM config_audit_events WHERE action = 'token.created' ORDER BY 1"
    assert query(service.database, teams, unit) == [("checkout",), ("payments",)]
    assert query(service.database, teams, tenant_settings(tenants.org, "checkout")) == [("checkout",)]
    assert query(service.database, teams, tenant_settings(tenants.other, "shops")) == []
    assert query(service.database, "UPDATE team_tokens SET revoked_at = now() RETURNING 1", unit) == []


async def test_the_admin_of_a_team_takes_no_second_name(service: Service, tenants: Tenants) -> None:
    ana = service.with_token(await holder_of(service, tenants, Role.TEAM_ADMIN, "checkout", "ana"))
    bos = CreateToken(name="bo", node_id="checkout", role=Role.APPROVER, user="bo")
    of_bo = await service.with_token(tenants.admin).create_token(tenants.org, bos)
    for refused in (
        ana.create_token(tenants.org, bos),
        ana.rotate_token(tenants.org, of_bo.token.token_id, 0),
    ):
        with pytest.raises(Forbidden) as refusal:
            await refused
        assert refusal.value.code == "organisation_required"
    mine = await ana.create_token(tenants.org, bos.model_copy(update={"user": "ana"}))
    assert (await service.with_token(mine.secret).me()).subject == "user:ana"
    await ana.revoke_token(tenants.org, of_bo.token.token_id)
