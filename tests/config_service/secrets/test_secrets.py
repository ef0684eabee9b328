"""Secrets: sealed for one place, resolved by the agent alone for one run, nowhere in the clear."""

from __future__ import annotations

import logging

import pytest
from tests.config_service.surroundings import Service, Tenants, as_superuser, new_run, query, tenant_settings

from incidentfox.contracts.configuration import ResolveSecrets
from incidentfox.contracts.permissions import Permission
from incidentfox.kernel.errors import Conflict, Failure, Forbidden, NotFound
from incidentfox.kernel.ids import new_id
from incidentfox.kernel.tenant import Tenant

pytestmark = pytest.mark.anyio

PLANTED = "planted-Xk29-secret"
OWN_TABLES = "SELECT DISTINCT table_name FROM information_schema.role_table_grants WHERE grantee = current_user"


async def resolve(service: Service, org: str, team: str, *names: str) -> dict[str, str]:
    run = await service.as_service("orchestrator").create_run(org, new_run(team))
    request = ResolveSecrets(run_id=run.run_id, names=names)
    return (await service.as_service("agent").resolve_secrets(Tenant(org, team), request)).values


async def test_the_nearest_level_holds_and_the_absent_is_absent(service: Service, tenants: Tenants) -> None:
    admin, org = service.with_token(tenants.admin), tenants.org
    await admin.put_secret(org, org, "a", "of-org")
    await admin.put_secret(org, "shops", "a", "of-unit")
    await admin.put_secret(org, org, "b", "of-org")
    await admin.put_secret(org, "checkout", "b", "of-team")
    await admin.put_secret(org, "payments", "c", "of-sibling")
    assert await resolve(service, org, "checkout", "a", "b", "c") == {"a": "of-unit", "b": "of-team"}
    assert await resolve(service, org, "payments", "a", "b", "c") == {"a": "of-unit", "b": "of-org", "c": "of-sibling"}
    assert await resolve(service, org, "checkout", "b") == {"b": "of-team"}


async def test_a_secret_is_replaced_and_listed_without_its_value(service: Service, tenants: Tenants) -> None:
    team = service.with_token(tenants.teams["checkout"])
    first = await team.put_secret(tenants.org, "checkout", "a", "1")
    second = await team.put_secret(tenants.org, "checkout", "a", "2")
    assert second.updated_at > first.updated_at
    assert (await team.secrets(tenants.org, "checkout")).items == (second,)
    assert second.key_id == "k1"
    assert await resolve(service, tenants.org, "checkout", "a") == {"a": "2"}


async def test_every_resolution_is_on_record(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    await admin.put_secret(tenants.org, tenants.org, "a", "x")
    await admin.put_secret(tenants.org, "checkout", "b", "x")
    await resolve(service, tenants.org, "checkout", "a", "b", "absent")
    events = (await admin.audit_events(tenants.org, action="secret.resolved")).items
    assert sorted(event.target for event in events) == sorted([f"{tenants.org}/a", "checkout/b"])
    assert {(event.actor, event.team_node_id) for event in events} == {("service:agent", "checkout")}
    assert all(event.detail["run_id"].startswith("run_") for event in events)


async def test_only_the_agent_resolves_and_only_for_a_run_of_the_team(service: Service, tenants: Tenants) -> None:
    orchestrator, tenant = service.as_service("orchestrator"), Tenant(tenants.org, "checkout")
    sibling = (await orchestrator.create_run(tenants.org, new_run("payments"))).run_id
    own = (await orchestrator.create_run(tenants.org, new_run("checkout"))).run_id
    agent = service.as_service("agent")
    for run_id in (new_id("run"), sibling):
        with pytest.raises(NotFound):
            await agent.resolve_secrets(tenant, ResolveSecrets(run_id=run_id, names=("a",)))
    for caller in (orchestrator, service.as_service("platform"), service.with_token(tenants.admin)):
        with pytest.raises(Forbidden):
            await caller.resolve_secrets(tenant, ResolveSecrets(run_id=own, names=("a",)))
    whole_org = service.service_token("agent", Permission.SECRETS_RESOLVE, tenants.org)
    answer = await service.call(
        "POST",
        "/api/v1/internal/teams/checkout/secrets/resolve",
        whole_org,
        json={"run_id": sibling, "names": ["a"]},
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "run_of_another_team")


async def test_a_team_writes_its_own_secrets_only(service: Service, tenants: Tenants) -> None:
    team = service.with_token(tenants.teams["checkout"])
    for node in (tenants.org, "shops"):
        with pytest.raises(Forbidden):
            await team.put_secret(tenants.org, node, "a", "x")
    with pytest.raises(NotFound):
        await team.put_secret(tenants.org, "payments", "a", "x")
    with pytest.raises(NotFound):
        await team.secrets(tenants.org, "payments")


async def test_a_deletion_says_who_refers_to_the_secret_and_what_they_get_instead(
    service: Service, tenants: Tenants
) -> None:
    admin, org = service.with_token(tenants.admin), tenants.org
    slack = {"integrations": {"slack": {"bot_token": {"$secret": "slack"}}}}
    await admin.put_configuration(org, "shops", slack)
    for node in (org, "shops", "payments"):
        await admin.put_secret(org, node, "slack", f"of-{node}")
    would = await admin.delete_secret(org, "shops", "slack", dry_run=True)
    pointers = ("/integrations/slack/bot_token",)
    assert [(use.team_node_id, use.pointers) for use in would.uses] == [("checkout", pointers)], "payments has its own"
    assert (would.used_by, would.falls_back_to, would.dry_run) == (1, org, True)
    assert await resolve(service, org, "checkout", "slack") == {"slack": "of-shops"}, "a dry run deletes nothing"

    done = await admin.delete_secret(org, "shops", "slack")
    assert done == would.model_copy(update={"dry_run": False})
    assert await resolve(service, org, "checkout", "slack") == {"slack": f"of-{org}"}
    assert await resolve(service, org, "payments", "slack") == {"slack": "of-payments"}
    with pytest.raises(NotFound) as twice:
        await admin.delete_secret(org, "shops", "slack")
    assert twice.value.code == "secret_not_found"
    event = (await admin.audit_events(org, action="secret.deleted")).items[0]
    assert (event.target, event.detail) == ("shops/slack", {"used_by": 1, "falls_back_to": org})

    last = await admin.delete_secret(org, org, "slack")
    assert (last.used_by, last.falls_back_to) == (1, None)
    assert await resolve(service, org, "checkout", "slack") == {}


async def test_a_team_deletes_its_own_secrets_only(service: Service, tenants: Tenants) -> None:
    admin, team = service.with_token(tenants.admin), service.with_token(tenants.teams["checkout"])
    for node in (tenants.org, "payments", "checkout"):
        await admin.put_secret(tenants.org, node, "a", "x")
    with pytest.raises(Forbidden):
        await team.delete_secret(tenants.org, tenants.org, "a")
    with pytest.raises(NotFound):
        await team.delete_secret(tenants.org, "payments", "a")
    assert (await team.delete_secret(tenants.org, "checkout", "a")).falls_back_to == tenants.org


async def test_the_secrets_of_an_archived_team_stay_as_they_are(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    kept = await admin.put_secret(tenants.org, "checkout", "a", "x")
    await admin.archive_node(tenants.org, "checkout")
    for work in (
        admin.put_secret(tenants.org, "checkout", "a", "y"),
        admin.delete_secret(tenants.org, "checkout", "a"),
    ):
        with pytest.raises(Conflict) as refused:
            await work
        assert refused.value.code == "node_archived"
    assert (await admin.secrets(tenants.org, "checkout")).items == (kept,)


async def test_a_ciphertext_does_not_open_elsewhere(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    await admin.put_secret(tenants.org, "payments", "a", "theirs")
    await admin.put_secret(tenants.org, "checkout", "a", "ours")
    as_superuser(
        service.database,
        "UPDATE config_secrets SET ciphertext = (SELECT ciphertext FROM config_secrets"
        f" WHERE org_id = '{tenants.org}' AND node_id = 'payments' AND name = 'a')"
        f" WHERE org_id = '{tenants.org}' AND node_id = 'checkout'",
    )
    with pytest.raises(Failure) as failure:
        await resolve(service, tenants.org, "checkout", "a")
    assert failure.value.code == "integrity_failure"


async def test_a_planted_secret_is_nowhere_in_the_clear(
    service: Service, tenants: Tenants, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = tenant_settings(tenants.org)
    admin = service.with_token(tenants.admin)
    await admin.put_secret(tenants.org, "checkout", "a", PLANTED)
    assert await resolve(service, tenants.org, "checkout", "a") == {"a": PLANTED}
    path = f"/api/v1/orgs/{tenants.org}"
    refused = await service.call("PUT", f"{path}/nodes/checkout/secrets/b", tenants.admin, json={"valeu": PLANTED})
    assert refused.status_code == 422
    texts = [refused.text, caplog.text]
    for route in ("/nodes/checkout/secrets", "/nodes/checkout/effective", "/audit-events", "/runs"):
        texts.append((await service.call("GET", path + route, tenants.admin)).text)
    for (table,) in query(service.database, OWN_TABLES):
        texts += [row for (row,) in query(service.database, f"SELECT t::text FROM {table} t", settings)]
    assert not any(PLANTED in text or PLANTED.encode().hex() in text for text in texts)
