"""Two replicas of every service on one database, as in a cluster: either of each may stop or die at any time.

In front of each pair is a balancer that knows nothing of HTTP. One replica of each pair is always there, so the work
goes on; what the other one had in hand is taken over, not lost and not done again.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import pytest
from tests.acceptance.product import Product, Tenancy, running_product
from tests.acceptance.sender import Sender, custom_alert
from tests.acceptance.storm import Accident, Mishap, Storm, moments

from incidentfox.clients.config_service import ConfigServiceClient, TokenCredential
from incidentfox.contracts.events import RunEvent, RunEventType
from incidentfox.contracts.webhooks import AcceptedDelivery

pytestmark = pytest.mark.anyio

DELIVERIES = 30
SEEDS = {"config-service": 1, "orchestrator": 2, "worker": 3, "agent": 4}


@pytest.fixture(scope="module")
async def replicated(anyio_backend: str) -> AsyncIterator[Product]:
    """The product with two replicas of each service."""
    async with running_product(replicas=2) as product:
        yield product


async def test_either_replica_of_every_service_may_stop_or_die_at_any_time(replicated: Product) -> None:
    tenant = await replicated.tenant()
    storm = Storm(replicated, tenant, DELIVERIES)
    accidents = [
        Accident(service, after, mishap)
        for service, seed in SEEDS.items()
        for after, mishap in zip(moments(seed, DELIVERIES, 2), _mishaps(storm, replicated, service, seed), strict=True)
    ]
    outcome = await storm.rage(accidents, within_s=120)
    assert outcome.holds, outcome


async def test_one_delivery_at_both_doors_at_once_starts_one_run(replicated: Product) -> None:
    tenant = await replicated.tenant()
    doors = [_door(replicated, tenant, number) for number in (1, 2)]
    messages = [custom_alert(tenant.recording_id, incident_key=f"twice-{number}") for number in range(6)]
    answers = await asyncio.gather(*(door.send(message) for message in messages for door in doors))
    assert Counter(answer.status_code for answer in answers) == {202: 6, 200: 6}
    taken = {AcceptedDelivery.model_validate_json(answer.content).delivery_id for answer in answers}
    assert len(taken) == len(messages)
    for delivery_id in taken:
        run = await tenant.finished((await tenant.delivery(delivery_id or "")).run_id or "")
        assert len(await replicated.posts(run.run_id)) == 1
    assert len(await tenant.runs()) == len(messages)


async def test_a_timeline_is_whole_and_live_at_either_replica(replicated: Product) -> None:
    tenant = await replicated.tenant()
    delivery = await tenant.dispatched(tenant.custom, custom_alert(tenant.recording_id))
    told = await asyncio.gather(
        *(
            _follow(replicated.replica_url(f"config-service-{number}"), tenant, delivery.run_id or "")
            for number in (1, 2)
        )
    )
    assert told[0] == told[1]
    assert [event.seq for event in told[0]] == list(range(1, len(told[0]) + 1))
    assert told[0][-1].type is RunEventType.RUN_FINISHED


def _mishaps(storm: Storm, product: Product, service: str, seed: int) -> list[Mishap]:
    """One replica is killed, the other one is stopped in order; chance says which, and what comes first."""
    chance = random.Random(seed)
    killed, stopped = chance.sample([f"{service}-1", f"{service}-2"], 2)
    return chance.sample([partial(product.kill, killed), partial(_roll_out, storm, product, stopped)], 2)


async def _roll_out(storm: Storm, product: Product, replica: str) -> None:
    """Away for as long as it takes the other replicas to get on with the work, then back."""
    await product.take_away(replica)
    await storm.goes_on()
    await product.bring_back(replica)


def _door(product: Product, tenant: Tenancy, number: int) -> Sender:
    """The tenant's sender at one replica, past the balancer."""
    here = product.replica_url(f"orchestrator-{number}")
    return replace(tenant.custom, url=tenant.custom.url.replace(product.url("orchestrator"), here))


async def _follow(url: str, tenant: Tenancy, run_id: str) -> list[RunEvent]:
    """The timeline as one replica streams it, to its end."""
    client = ConfigServiceClient(url, TokenCredential(tenant.token))
    told: list[RunEvent] = []
    try:
        async with client.stream_run_events(tenant.org_id, run_id) as events:
            async for event in events:
                told.append(event)
    finally:
        await client.close()
    return told
