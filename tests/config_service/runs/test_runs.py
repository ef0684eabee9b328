"""Creating, starting and finishing runs through the client; each is safe to repeat."""

from __future__ import annotations

import anyio
import pytest
from tests.config_service.surroundings import Service, Tenants, new_event, new_run

from incidentfox.contracts.answer import Answer, Usage
from incidentfox.contracts.events import AppendRunEvents, RunEventType
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.runs import AlertInput, FinishRun, RunInput, RunStatus, StartedRun
from incidentfox.kernel.clock import utc_now
from incidentfox.kernel.errors import Conflict, Forbidden, Invalid, NotFound, Unprocessable
from incidentfox.kernel.ids import new_id
from incidentfox.kernel.tenant import Tenant

pytestmark = pytest.mark.anyio

STARTED = StartedRun(config_hash="sha256:" + "0" * 64)
FAILED = FinishRun(status=RunStatus.FAILED, error="no_model: none")


def answer_of(run_id: str, duration_s: float = 1.0, confidence: float = 0.5) -> Answer:
    return Answer(
        run_id=run_id,
        config_hash=STARTED.config_hash,
        root_cause=None,
        confidence=confidence,
        usage=Usage(requests=1, cost_usd=0.01),
        duration_s=duration_s,
    )


async def test_the_same_run_twice_is_one_and_another_is_a_conflict(service: Service, tenants: Tenants) -> None:
    orchestrator = service.as_service("orchestrator")
    alert = AlertInput(title="Checkout is slow", fired_at=utc_now())
    request = new_run(input=RunInput(prompt="Why?", alert=alert), delivery_id="dlv_1")
    first = await orchestrator.create_run(tenants.org, request)
    assert first.input == request.input
    assert await orchestrator.create_run(tenants.org, request) == first
    for changed in ({"source": "custom"}, {"team_node_id": "payments"}, {"input": RunInput(prompt="What?")}):
        with pytest.raises(Conflict):
            await orchestrator.create_run(tenants.org, request.model_copy(update=changed))


async def test_a_repeated_creation_returns_the_run_as_it_stands(service: Service, tenants: Tenants) -> None:
    orchestrator, request = service.as_service("orchestrator"), new_run()
    await orchestrator.create_run(tenants.org, request)
    await service.as_service("agent").start_run(Tenant(tenants.org, "checkout"), request.run_id, STARTED)
    assert (await orchestrator.create_run(tenants.org, request)).status is RunStatus.RUNNING


async def test_concurrent_creations_are_one_run(service: Service, tenants: Tenants) -> None:
    orchestrator, request = service.as_service("orchestrator"), new_run()
    async with anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(orchestrator.create_run, tenants.org, request)
    assert len((await service.with_token(tenants.admin).runs(tenants.org)).items) == 1
    created = await service.with_token(tenants.admin).audit_events(tenants.org, action="run.created")
    assert [event.target for event in created.items] == [request.run_id]


async def test_a_run_needs_a_team_of_the_organisation(service: Service, tenants: Tenants) -> None:
    orchestrator = service.as_service("orchestrator")
    for node in ("shops", "nobody", tenants.org, tenants.other):
        with pytest.raises(Unprocessable) as refusal:
            await orchestrator.create_run(tenants.org, new_run(node))
        assert [error.pointer for error in refusal.value.errors] == ["/team_node_id"]
    for run_id in ("run_1", "x", new_id("dlv")):
        with pytest.raises(Invalid):
            await orchestrator.create_run(tenants.org, new_run(run_id=run_id))


async def test_starting_keeps_the_first_configuration(service: Service, tenants: Tenants) -> None:
    agent, tenant = service.as_service("agent"), Tenant(tenants.org, "checkout")
    run = await service.as_service("orchestrator").create_run(tenants.org, new_run())
    started = await agent.start_run(tenant, run.run_id, STARTED)
    again = await agent.start_run(tenant, run.run_id, StartedRun(config_hash="sha256:" + "1" * 64))
    assert started == again
    assert (started.status, started.config_hash) == (RunStatus.RUNNING, STARTED.config_hash)
    assert started.started_at is not None


async def test_the_same_ending_twice_is_one_whatever_it_took(service: Service, tenants: Tenants) -> None:
    agent, tenant = service.as_service("agent"), Tenant(tenants.org, "checkout")
    run_id = (await service.as_service("orchestrator").create_run(tenants.org, new_run())).run_id
    await agent.start_run(tenant, run_id, STARTED)

    def ending(**change: float) -> FinishRun:
        return FinishRun(status=RunStatus.SUCCEEDED, answer=answer_of(run_id, **change), usage=Usage(requests=3))

    first = await agent.finish_run(tenant, run_id, ending())
    assert (first.status, first.usage.requests) == (RunStatus.SUCCEEDED, 3)
    assert await agent.finish_run(tenant, run_id, ending(duration_s=2.0)) == first
    for other in (ending(confidence=0.9), FAILED):
        with pytest.raises(Conflict):
            await agent.finish_run(tenant, run_id, other)
    with pytest.raises(Conflict):
        await agent.start_run(tenant, run_id, STARTED)
    events = (await service.with_token(tenants.admin).run_events(tenants.org, run_id)).items
    assert [event.type for event in events] == [RunEventType.RUN_FINISHED]
    assert events[0].data["status"] == "succeeded"


async def test_a_run_that_never_started_may_fail_and_not_succeed(service: Service, tenants: Tenants) -> None:
    agent, orchestrator = service.as_service("agent"), service.as_service("orchestrator")
    tenant = Tenant(tenants.org, "checkout")
    run_id = (await orchestrator.create_run(tenants.org, new_run())).run_id
    with pytest.raises(Conflict) as refusal:
        await agent.finish_run(tenant, run_id, FinishRun(status=RunStatus.SUCCEEDED, answer=answer_of(run_id)))
    assert refusal.value.code == "run_state_conflict"
    assert (await orchestrator.finish_run(tenant, run_id, FAILED)).status is RunStatus.FAILED


async def test_an_ending_that_does_not_hold_together_is_refused(service: Service, tenants: Tenants) -> None:
    agent, tenant = service.as_service("agent"), Tenant(tenants.org, "checkout")
    run_id = (await service.as_service("orchestrator").create_run(tenants.org, new_run())).run_id
    await agent.start_run(tenant, run_id, STARTED)
    for ending, pointer in (
        (FinishRun(status=RunStatus.RUNNING), "/status"),
        (FinishRun(status=RunStatus.SUCCEEDED), "/answer"),
        (FinishRun(status=RunStatus.SUCCEEDED, answer=answer_of(new_id("run"))), "/answer/run_id"),
    ):
        with pytest.raises(Unprocessable) as refusal:
            await agent.finish_run(tenant, run_id, ending)
        assert [error.pointer for error in refusal.value.errors] == [pointer]


async def test_the_agents_own_ending_on_the_timeline_is_not_doubled(service: Service, tenants: Tenants) -> None:
    agent, tenant = service.as_service("agent"), Tenant(tenants.org, "checkout")
    run_id = (await service.as_service("orchestrator").create_run(tenants.org, new_run())).run_id
    own = AppendRunEvents(events=(new_event("end", RunEventType.RUN_FINISHED, status="failed"),))
    await agent.append_run_events(tenant, run_id, own)
    await agent.finish_run(tenant, run_id, FAILED)
    late = AppendRunEvents(events=(new_event("end-2", RunEventType.RUN_FINISHED),))
    again = (await agent.append_run_events(tenant, run_id, late)).items
    events = (await service.with_token(tenants.admin).run_events(tenants.org, run_id)).items
    assert events == again
    assert events[0].data == {"status": "failed"}


async def test_runs_are_listed_newest_first_in_pages_by_team_and_status(service: Service, tenants: Tenants) -> None:
    orchestrator, admin = service.as_service("orchestrator"), service.with_token(tenants.admin)
    created = [
        (await orchestrator.create_run(tenants.org, new_run(team))).run_id
        for team in ("checkout", "payments", "checkout", "checkout")
    ]
    await orchestrator.finish_run(Tenant(tenants.org, "checkout"), created[0], FAILED)
    seen, cursor = [], None
    while True:
        found = await admin.runs(tenants.org, team="checkout", cursor=cursor, limit=2)
        seen += [run.run_id for run in found.items]
        cursor = found.next_cursor
        if cursor is None:
            break
    assert seen == sorted((created[0], created[2], created[3]), reverse=True)
    assert [run.run_id for run in (await admin.runs(tenants.org, status="failed")).items] == [created[0]]
    own = await service.with_token(tenants.teams["payments"]).runs(tenants.org)
    assert [run.run_id for run in own.items] == [created[1]]


async def test_an_idempotency_key_repeats_the_answer(service: Service, tenants: Tenants) -> None:
    token = service.service_token("orchestrator", Permission.RUNS_WRITE, tenants.org)
    body = new_run().model_dump(mode="json")
    headers = {"Idempotency-Key": "r-1"}
    first = await service.call("POST", "/api/v1/internal/runs", token, json=body, headers=headers)
    again = await service.call("POST", "/api/v1/internal/runs", token, json=body, headers=headers)
    assert first.status_code == 201
    assert first.json() == again.json()


async def test_a_person_does_not_write_runs(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    with pytest.raises(Forbidden):
        await admin.create_run(tenants.org, new_run())
    with pytest.raises(NotFound):
        await admin.run(tenants.org, new_id("run"))


async def test_what_a_run_is_asked_is_stored_without_secrets_and_addresses_by_choice(
    service: Service, tenants: Tenants
) -> None:
    orchestrator, admin = service.as_service("orchestrator"), service.with_token(tenants.admin)
    secret = "ghp_" + "a1B2" * 9
    alert = AlertInput(title=f"leak {secret}", summary="ask kim@example.com", fired_at=utc_now())
    request = new_run(input=RunInput(prompt=f"password={secret}", alert=alert))
    created = await orchestrator.create_run(tenants.org, request)
    assert created.input.alert is not None
    assert created.input.alert.title == "leak [redacted:github-token]"
    assert created.input.alert.summary == "ask kim@example.com"
    assert created.input.prompt == "password=[redacted:github-token]"
    assert await orchestrator.create_run(tenants.org, request) == created
    await admin.put_configuration(tenants.org, "checkout", {"privacy": {"redact_emails": True}})
    private = await orchestrator.create_run(tenants.org, new_run(input=RunInput(prompt="", alert=alert)))
    assert private.input.alert is not None
    assert private.input.alert.summary == "ask [redacted:email]"
