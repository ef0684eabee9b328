"""Audit events: one for each mutation and each denial, append-only, idempotent, apart by team."""

from __future__ import annotations

from datetime import timedelta

import anyio
import psycopg
import pytest
from tests.config_service.surroundings import Service, Tenants, new_run, query, tenant_settings

from incidentfox.contracts.audit import AppendAuditEvent, AuditFilters
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.recordings import UploadRecording
from incidentfox.contracts.runs import EffectStatus, FinishRun, IntendEffect, RunStatus, SettleEffect, StartedRun
from incidentfox.contracts.tokens import CreateToken
from incidentfox.contracts.tree import CreateNode, NodeKind
from incidentfox.kernel.crypto import content_hash
from incidentfox.kernel.errors import Conflict, Forbidden, NotFound
from incidentfox.kernel.tenant import Tenant

pytestmark = pytest.mark.anyio


async def test_every_mutation_is_on_record(service: Service, tenants: Tenants) -> None:
    admin, org, tenant = service.with_token(tenants.admin), tenants.org, Tenant(tenants.org, "checkout")
    agent, orchestrator = service.as_service("agent"), service.as_service("orchestrator")
    await admin.create_node(org, CreateNode(node_id="new", parent_id=org, kind=NodeKind.TEAM, name="New"))
    await admin.put_configuration(org, "checkout", {})
    await admin.put_secret(org, "checkout", "a", "x")
    created = await admin.create_token(org, CreateToken(name="t"))
    code = await service.with_token(created.secret).create_sign_in_code()
    await service.client(None).exchange_sign_in_code(code.code)
    await admin.revoke_token(org, created.token.token_id)
    await service.as_service("platform").upload_recording(org, UploadRecording(files={}))
    run = await orchestrator.create_run(org, new_run())
    await agent.start_run(tenant, run.run_id, StartedRun(config_hash="h"))
    await agent.intend_effect(tenant, run.run_id, IntendEffect(effect_key="e", destination="slack", target="C1"))
    await agent.settle_effect(tenant, run.run_id, "e", SettleEffect(status=EffectStatus.DONE))
    await agent.finish_run(tenant, run.run_id, FinishRun(status=RunStatus.FAILED, error="x"))
    recorded = {event.action for event in (await admin.audit_events(org, limit=200)).items}
    assert recorded >= {
        "organisation.created",
        "node.created",
        "configuration.updated",
        "secret.written",
        "token.created",
        "token.revoked",
        "sign_in_code.created",
        "sign_in_code.exchanged",
        "recording.uploaded",
        "run.created",
        "run.started",
        "run.finished",
        "effect.intended",
        "effect.settled",
    }


async def test_an_event_says_who_what_from_where_and_from_what_to_what(service: Service, tenants: Tenants) -> None:
    path = f"/api/v1/orgs/{tenants.org}/nodes/checkout/configuration"
    document = {"budgets": {"run_tokens": 5}}
    headers = {"X-Correlation-Id": "cor_of_this_test"}
    await service.call("PUT", path, tenants.teams["checkout"], json=document, headers=headers)
    admin = service.with_token(tenants.admin)
    [event] = (await admin.audit_events(tenants.org, action="configuration.updated")).items
    assert event.actor == (await service.with_token(tenants.teams["checkout"]).me()).subject
    assert (event.target, event.team_node_id, event.detail) == ("checkout", "checkout", {"version": 1})
    assert (event.before_hash, event.after_hash) == (content_hash({}), content_hash(document))
    assert (event.correlation_id, event.source_address) == ("cor_of_this_test", "127.0.0.1")


async def test_a_refused_write_records_a_denial_and_no_mutation(service: Service, tenants: Tenants) -> None:
    team = service.with_token(tenants.teams["checkout"])
    admin = service.with_token(tenants.admin)
    with pytest.raises(Forbidden):
        await team.put_configuration(tenants.org, "shops", {})
    with pytest.raises(Forbidden):
        await team.create_token(tenants.org, CreateToken(name="t"))
    with pytest.raises(NotFound):
        await team.configuration(tenants.org, "payments")
    with pytest.raises(NotFound):
        await team.nodes(tenants.other)
    events = (await admin.audit_events(tenants.org, action="access.denied")).items
    assert [event.detail["code"] for event in events] == [
        "org_not_found",
        "node_not_found",
        "permission_required",
        "outside_of_own_team",
    ]
    assert events[0].target == f"GET /api/v1/orgs/{tenants.other}/nodes"
    assert {event.team_node_id for event in events} == {"checkout"}
    assert (await admin.audit_events(tenants.org, action="configuration.updated")).items == ()
    assert (
        await service.with_token(tenants.other_admin).audit_events(tenants.other, action="access.denied")
    ).items == ()


async def test_appending_is_idempotent_on_the_key(service: Service, tenants: Tenants) -> None:
    orchestrator = service.as_service("orchestrator")
    event = AppendAuditEvent(event_key="k", team_node_id="checkout", action="delivery.received", target="dlv_1")
    stored = []

    async def append() -> None:
        stored.append(await orchestrator.append_audit_event(tenants.org, event))

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(append)
    assert len({found.event_id for found in stored}) == 1
    assert stored[0].actor == "service:orchestrator"
    with pytest.raises(Conflict):
        await orchestrator.append_audit_event(tenants.org, event.model_copy(update={"action": "other"}))
    elsewhere = await orchestrator.append_audit_event(tenants.other, event)
    assert elsewhere.event_id != stored[0].event_id


async def test_events_are_listed_newest_first_in_pages(service: Service, tenants: Tenants) -> None:
    orchestrator, admin = service.as_service("orchestrator"), service.with_token(tenants.admin)
    for number in range(5):
        event = AppendAuditEvent(event_key=str(number), action="delivery.received", target=f"dlv_{number}")
        await orchestrator.append_audit_event(tenants.org, event)
    newest = (await admin.audit_events(tenants.org, action="delivery.received")).items
    for wanted in (
        AuditFilters(action="delivery.received"),
        AuditFilters(action="delivery.received", since=newest[-1].at),
        AuditFilters(action="delivery.received", until=newest[0].at + timedelta(microseconds=1)),
    ):
        seen, cursor = [], None
        while True:
            page = await admin.audit_events(tenants.org, wanted=wanted, cursor=cursor, limit=2)
            seen += [event.event_id for event in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert seen == [event.event_id for event in newest]
        assert len(seen) == 5
        assert seen == sorted(seen, reverse=True)


async def test_a_team_sees_its_own_events(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    for team in ("checkout", "payments"):
        await admin.put_configuration(tenants.org, team, {})
    events = (await service.with_token(tenants.teams["checkout"]).audit_events(tenants.org)).items
    assert {event.team_node_id for event in events} == {"checkout"}


async def test_a_service_bound_to_a_team_records_that_teams_events(service: Service, tenants: Tenants) -> None:
    token = service.service_token("agent", Permission.AUDIT_WRITE, tenants.org, "checkout")
    body = {"event_key": "k", "action": "a", "target": "t"}
    path = "/api/v1/internal/audit-events"
    own = await service.call("POST", path, token, json=body)
    assert own.json()["team_node_id"] == "checkout"
    foreign = await service.call("POST", path, token, json={**body, "event_key": "l", "team_node_id": "payments"})
    assert foreign.status_code == 403


async def test_the_log_is_append_only_for_the_service_itself(service: Service, tenants: Tenants) -> None:
    for statement in (
        "UPDATE config_audit_events SET actor = 'x'",
        "DELETE FROM config_audit_events",
        "TRUNCATE config_audit_events",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            query(service.database, statement, tenant_settings(tenants.org))


async def test_the_record_of_a_run_vouches_for_each_of_its_states(service: Service, tenants: Tenants) -> None:
    admin, agent = service.with_token(tenants.admin), service.as_service("agent")
    tenant = Tenant(tenants.org, "checkout")
    run = await service.as_service("orchestrator").create_run(tenants.org, new_run())
    await agent.start_run(tenant, run.run_id, StartedRun(config_hash="sha256:c"))
    ended = await agent.finish_run(tenant, run.run_id, FinishRun(status=RunStatus.FAILED, error="x"))
    found = (await admin.audit_events(tenants.org, wanted=AuditFilters(target=run.run_id))).items
    finished, started, created = found
    assert [event.action for event in found] == ["run.finished", "run.started", "run.created"]
    assert (created.before_hash, created.after_hash) == (None, started.before_hash)
    assert started.after_hash == finished.before_hash
    assert started.detail == {"config_hash": "sha256:c"}
    assert finished.after_hash == content_hash(ended.model_dump(mode="json"))
