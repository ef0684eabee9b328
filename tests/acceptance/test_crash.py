"""Nothing accepted is ever lost, nothing is done twice: `kill -9` of every process in mid-work, many times over.

The same with 1,000 deliveries is part of `make bench`.
"""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from tests.acceptance.product import Product, until
from tests.acceptance.sender import custom_alert
from tests.acceptance.storm import Accident, Storm, moments

from incidentfox.contracts.runs import RunStatus
from incidentfox.contracts.webhooks import DeliveryStatus

pytestmark = pytest.mark.anyio

DELIVERIES = 60
KILLS = 3
SEEDS = {"orchestrator": 11, "worker": 22, "agent": 33}


async def test_sixty_deliveries_survive_the_death_of_every_process(product: Product) -> None:
    tenant = await product.tenant()
    accidents = [
        Accident(process, after, lambda process=process: product.kill(process))
        for process, seed in SEEDS.items()
        for after in moments(seed, DELIVERIES, KILLS)
    ]
    outcome = await Storm(product, tenant, DELIVERIES).rage(accidents, within_s=120)
    assert outcome.holds, outcome
    assert outcome.repeats > 0, "no sender noticed that the door was away: the stream was not disturbed"


async def test_a_config_service_that_is_away_delays_and_loses_nothing(product: Product) -> None:
    tenant = await product.tenant()
    await product.take_away("config-service")
    accepted = [await tenant.custom.deliver(custom_alert(tenant.recording_id)) for _ in range(4)]
    assert {one.attempts for one in accepted} == {1}, "the door needs no Config Service"
    async with product.superuser() as connection:

        async def worker_has_tried() -> bool:
            return any(line.get("step") == "route" for line in product.log("worker")[-20:])

        await until(worker_has_tried)
        dispatched = "SELECT count(*) FROM orchestrator_deliveries WHERE org_id = $1 AND status <> 'received'"
        assert await connection.fetchval(dispatched, tenant.org_id) == 0
    await product.bring_back("config-service")
    for one in accepted:
        delivery = await tenant.delivery(one.delivery_id)
        assert delivery.status is DeliveryStatus.PROCESSED
        run = await tenant.finished(delivery.run_id or "")
        assert run.status is RunStatus.SUCCEEDED, run.error
        assert len(await product.posts(run.run_id)) == 1


async def test_a_config_service_that_dies_in_mid_work_loses_nothing(product: Product) -> None:
    tenant = await product.tenant()
    accidents = [
        Accident("config-service", after, lambda: product.kill("config-service")) for after in moments(44, 16, 2)
    ]
    outcome = await Storm(product, tenant, 16).rage(accidents, within_s=90)
    assert outcome.holds, outcome


async def test_a_frozen_agent_hands_its_work_on_and_wakes_up_harmless(product: Product) -> None:
    """A process that is stopped and not dead (SIGSTOP, a paused machine) must not post again when it wakes up."""
    tenant = await product.tenant()
    frozen = product.pid("agent")
    sent = [await tenant.custom.deliver(custom_alert(tenant.recording_id)) for _ in range(4)]
    deliveries = [await tenant.delivery(one.delivery_id) for one in sent]
    os.kill(frozen, signal.SIGSTOP)
    try:
        await asyncio.sleep(0.5)
    finally:
        os.kill(frozen, signal.SIGCONT)
    runs = [await tenant.finished(delivery.run_id or "") for delivery in deliveries]
    assert {run.status for run in runs} == {RunStatus.SUCCEEDED}
    for run in runs:
        assert len(await product.posts(run.run_id)) == 1
