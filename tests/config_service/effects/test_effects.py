"""The ledger: intent before, outcome after, and done is done."""

from __future__ import annotations

import anyio
import pytest
from tests.config_service.surroundings import Service, Tenants, new_run

from incidentfox.contracts.runs import EffectStatus, IntendEffect, SettleEffect
from incidentfox.kernel.errors import Conflict, NotFound, Unprocessable
from incidentfox.kernel.ids import new_id
from incidentfox.kernel.tenant import Tenant

pytestmark = pytest.mark.anyio

POST = IntendEffect(effect_key="slack/C1#thread?", destination="slack", target="C1")
DONE = SettleEffect(status=EffectStatus.DONE, external_id="1.2", url="https://slack.example/1")
FAILED = SettleEffect(status=EffectStatus.FAILED, error="channel_not_found")


@pytest.fixture
async def run_id(service: Service, tenants: Tenants) -> str:
    return (await service.as_service("orchestrator").create_run(tenants.org, new_run())).run_id


async def test_an_intent_is_recorded_once_also_when_two_come_at_once(
    service: Service, tenants: Tenants, run_id: str
) -> None:
    agent, tenant = service.as_service("agent"), Tenant(tenants.org, "checkout")
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(agent.intend_effect, tenant, run_id, POST)
    [effect] = (await service.with_token(tenants.admin).run_effects(tenants.org, run_id)).items
    assert (effect.status, effect.settled_at) == (EffectStatus.INTENDED, None)
    with pytest.raises(Conflict):
        await agent.intend_effect(tenant, run_id, POST.model_copy(update={"target": "C2"}))


async def test_a_settled_effect_is_found_settled(service: Service, tenants: Tenants, run_id: str) -> None:
    agent, tenant = service.as_service("agent"), Tenant(tenants.org, "checkout")
    await agent.intend_effect(tenant, run_id, POST)
    settled = await agent.settle_effect(tenant, run_id, POST.effect_key, DONE)
    assert (settled.status, settled.external_id) == (EffectStatus.DONE, "1.2")
    assert await agent.settle_effect(tenant, run_id, POST.effect_key, DONE) == settled
    assert await agent.intend_effect(tenant, run_id, POST) == settled
    for other in (FAILED, DONE.model_copy(update={"external_id": "9"})):
        with pytest.raises(Conflict):
            await agent.settle_effect(tenant, run_id, POST.effect_key, other)


async def test_what_failed_may_be_done_later(service: Service, tenants: Tenants, run_id: str) -> None:
    agent, tenant = service.as_service("agent"), Tenant(tenants.org, "checkout")
    await agent.intend_effect(tenant, run_id, POST)
    failed = await agent.settle_effect(tenant, run_id, POST.effect_key, FAILED)
    assert failed.error == "channel_not_found"
    done = await agent.settle_effect(tenant, run_id, POST.effect_key, DONE)
    assert (done.status, done.error) == (EffectStatus.DONE, None)


async def test_nothing_settles_what_was_not_intended(service: Service, tenants: Tenants, run_id: str) -> None:
    agent, tenant = service.as_service("agent"), Tenant(tenants.org, "checkout")
    with pytest.raises(NotFound):
        await agent.settle_effect(tenant, run_id, "absent", DONE)
    with pytest.raises(NotFound):
        await agent.intend_effect(tenant, new_id("run"), POST)
    with pytest.raises(Unprocessable):
        await agent.settle_effect(tenant, run_id, "absent", SettleEffect(status=EffectStatus.INTENDED))
