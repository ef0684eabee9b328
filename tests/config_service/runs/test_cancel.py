"""Cancelling a run: who may, what it ends, and that a cancelled run has posted nothing and never will."""

from __future__ import annotations

import asyncio

import pytest
from tests.config_service.effects.test_effects import POST
from tests.config_service.runs.test_runs import FAILED, STARTED
from tests.config_service.surroundings import Service, Tenants, new_event, new_run

from incidentfox.contracts.budgets import ReserveBudget
from incidentfox.contracts.events import AppendRunEvents, RunEventType
from incidentfox.contracts.permissions import Role
from incidentfox.contracts.runs import CancelRun, Run, RunStatus
from incidentfox.contracts.tokens import CreateToken
from incidentfox.kernel.errors import Conflict, Failure, Forbidden, NotFound
from incidentfox.kernel.tenant import Tenant

pytestmark = pytest.mark.anyio

CANCEL = CancelRun(reason="A false alarm, see alice@example.com with token ghp_" + "a" * 36)


@pytest.fixture
async def run_id(service: Service, tenants: Tenants) -> str:
    return (await service.as_service("orchestrator").create_run(tenants.org, new_run())).run_id


@pytest.mark.parametrize("started", [False, True])
async def test_a_run_ends_on_record_for_everybody(
    service: Service, tenants: Tenants, run_id: str, started: bool
) -> None:
    admin, agent, tenant = (
        service.with_token(tenants.admin),
        service.as_service("agent"),
        Tenant(tenants.org, "checkout"),
    )
    if started:
        await agent.start_run(tenant, run_id, STARTED)
    cancelled = await admin.cancel_run(tenants.org, run_id, CANCEL)
    assert cancelled.status is RunStatus.CANCELLED
    assert cancelled.error is not None
    assert "A false alarm" in cancelled.error
    assert "ghp_aaaa" not in cancelled.error, "a reason is text from outside as any other"
    assert await admin.cancel_run(tenants.org, run_id, CancelRun()) == cancelled, "cancelled is cancelled"
    [ended] = (await admin.run_events(tenants.org, run_id)).items
    assert (ended.type, ended.data["status"]) == (RunEventType.RUN_FINISHED, "cancelled")
    [event] = (await admin.audit_events(tenants.org, action="run.cancelled")).items
    assert (event.target, event.detail["error"]) == (run_id, cancelled.error)
    assert event.actor in cancelled.error


async def test_nothing_of_a_cancelled_run_is_taken_from_its_agent(
    service: Service, tenants: Tenants, run_id: str
) -> None:
    agent, tenant = service.as_service("agent"), Tenant(tenants.org, "checkout")
    await agent.start_run(tenant, run_id, STARTED)
    before = AppendRunEvents(events=(new_event("before"),))
    await agent.append_run_events(tenant, run_id, before)
    await service.with_token(tenants.admin).cancel_run(tenants.org, run_id, CancelRun())
    reserve = ReserveBudget(call="c1", attempt="a", tokens=1, usd=None)
    late = AppendRunEvents(events=(new_event("late"),))
    for refused in (
        agent.start_run(tenant, run_id, STARTED),
        agent.reserve_budget(tenant, run_id, reserve),
        agent.append_run_events(tenant, run_id, late),
        agent.intend_effect(tenant, run_id, POST),
        agent.finish_run(tenant, run_id, FAILED),
    ):
        with pytest.raises(Conflict) as refusal:
            await refused
        assert refusal.value.code == "run_finished"
    await agent.append_run_events(tenant, run_id, before)  # what had arrived may be said again
    kinds = [event.type for event in (await service.with_token(tenants.admin).run_events(tenants.org, run_id)).items]
    assert kinds[-1] is RunEventType.RUN_FINISHED
    assert len(kinds) == 2


async def test_what_is_over_or_being_posted_is_not_cancelled(service: Service, tenants: Tenants, run_id: str) -> None:
    admin, agent, tenant = (
        service.with_token(tenants.admin),
        service.as_service("agent"),
        Tenant(tenants.org, "checkout"),
    )
    await agent.start_run(tenant, run_id, STARTED)
    await agent.intend_effect(tenant, run_id, POST)
    with pytest.raises(Conflict) as posting:
        await admin.cancel_run(tenants.org, run_id, CANCEL)
    assert posting.value.code == "run_is_posting"
    await agent.finish_run(tenant, run_id, FAILED)
    with pytest.raises(Conflict) as over:
        await admin.cancel_run(tenants.org, run_id, CANCEL)
    assert over.value.code == "run_finished"
    assert (await admin.run(tenants.org, run_id)).error == FAILED.error


async def test_either_the_cancellation_or_the_post_comes_first(service: Service, tenants: Tenants) -> None:
    admin, agent, tenant = (
        service.with_token(tenants.admin),
        service.as_service("agent"),
        Tenant(tenants.org, "checkout"),
    )
    for _ in range(8):
        run_id = (await service.as_service("orchestrator").create_run(tenants.org, new_run())).run_id
        await agent.start_run(tenant, run_id, STARTED)
        outcomes = await asyncio.gather(
            admin.cancel_run(tenants.org, run_id, CancelRun()),
            agent.intend_effect(tenant, run_id, POST),
            return_exceptions=True,
        )
        assert [isinstance(outcome, Conflict) for outcome in outcomes].count(True) == 1, outcomes
        effects = (await admin.run_effects(tenants.org, run_id)).items
        run = await admin.run(tenants.org, run_id)
        assert (run.status is RunStatus.CANCELLED) == (not effects)


async def test_those_who_shape_a_team_may_cancel_its_runs_and_nobody_else(
    service: Service, tenants: Tenants, run_id: str
) -> None:
    admin = service.with_token(tenants.admin)

    async def cancel_as(role: Role, node_id: str) -> Run | Failure:
        made = await admin.create_token(tenants.org, CreateToken(name=role, role=role, node_id=node_id))
        try:
            return await service.with_token(made.secret).cancel_run(tenants.org, run_id, CancelRun())
        except Failure as failure:
            return failure

    for role in (Role.VIEWER, Role.AUDITOR, Role.APPROVER):
        assert isinstance(await cancel_as(role, "checkout"), Forbidden)
    for role in (Role.EDITOR, Role.TEAM_ADMIN):
        assert isinstance(await cancel_as(role, "payments"), NotFound)
    with pytest.raises(Failure):
        await service.with_token(tenants.other_admin).cancel_run(tenants.other, run_id, CancelRun())
    assert (await admin.run(tenants.org, run_id)).status is RunStatus.QUEUED
    ended = await cancel_as(Role.EDITOR, "checkout")
    assert isinstance(ended, Run)
    assert ended.status is RunStatus.CANCELLED
