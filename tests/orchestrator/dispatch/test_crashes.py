"""Worker processes killed at any instant: every accepted trigger ends in exactly one run."""

import asyncio
import random

import pytest
from starlette.responses import JSONResponse
from tests.orchestrator.conftest import incident_event
from tests.orchestrator.platform import until

pytestmark = pytest.mark.anyio


async def test_a_worker_killed_between_its_steps_leaves_one_run(platform) -> None:
    """The agent does not take the run, so the worker dies with the run created and the start outstanding."""
    platform.agent.answer = JSONResponse({}, 503)
    created = await platform.door.endpoint()
    await platform.door.pagerduty(created, incident_event())
    first = await platform.worker_process()

    async def asked() -> bool:
        return bool(platform.agent.calls)

    await until(asked)
    await platform.kill(first)
    [run] = await platform.runs()
    platform.agent.answer = None
    await platform.worker_process()
    [delivery] = await platform.settled()
    assert (delivery["status"], delivery["run_id"]) == ("processed", run.run_id)
    assert len(await platform.runs()) == 1
    assert set(platform.agent.runs) == {run.run_id}
    assert len(await platform.audited("delivery.routed")) == 1


async def test_a_stream_of_triggers_survives_workers_that_are_killed_at_random(platform) -> None:
    chance = random.Random(7)
    created = await platform.door.endpoint()
    accepted: list[str] = []

    async def send() -> None:
        for number in range(30):
            event = incident_event(incident=f"P{number}", event_id=f"EVENT{number}")
            response = await platform.door.pagerduty(created, event)
            assert response.status_code == 202
            accepted.append(response.json()["delivery_id"])
            await asyncio.sleep(0.05)

    sending = asyncio.create_task(send())
    worker = await platform.worker_process()
    for _ in range(3):
        await asyncio.sleep(chance.uniform(0.05, 0.4))
        await platform.kill(worker)
        worker = await platform.worker_process()
    await sending
    deliveries = await platform.settled(30)
    assert {row["delivery_id"] for row in deliveries} == set(accepted)
    assert {row["status"] for row in deliveries} == {"processed"}
    runs = await platform.runs()
    assert sorted(run.run_id for run in runs) == sorted("run_" + delivery_id[4:] for delivery_id in accepted)
    assert set(platform.agent.runs) == {run.run_id for run in runs}
    for run in runs[:5]:
        events = (await platform.platform.run_events("acme", run.run_id)).items
        assert [event.type for event in events] == ["delivery.accepted", "delivery.routed"]
