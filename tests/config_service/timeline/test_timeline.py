"""Appending to the timeline: numbers without gaps or doubles, and no event twice."""

from __future__ import annotations

import anyio
import pytest
from tests.config_service.surroundings import Service, Tenants, new_event, new_run

from incidentfox.contracts.events import AppendRunEvents, RunEventType
from incidentfox.kernel.errors import NotFound, Unprocessable
from incidentfox.kernel.ids import new_id
from incidentfox.kernel.tenant import Tenant

pytestmark = pytest.mark.anyio


@pytest.fixture
async def run_id(service: Service, tenants: Tenants) -> str:
    return (await service.as_service("orchestrator").create_run(tenants.org, new_run())).run_id


async def test_concurrent_writers_leave_no_gap_and_no_double(service: Service, tenants: Tenants, run_id: str) -> None:
    agent, tenant = service.as_service("agent"), Tenant(tenants.org, "checkout")

    async def write(writer: int) -> None:
        for batch in range(4):
            events = tuple(new_event(f"{writer}-{batch}-{number}", number=number) for number in range(3))
            stored = await agent.append_run_events(tenant, run_id, AppendRunEvents(events=events))
            numbers = [event.seq for event in stored.items]
            assert numbers == list(range(numbers[0], numbers[0] + 3))

    async with anyio.create_task_group() as group:
        for writer in range(8):
            group.start_soon(write, writer)
    events = (await service.with_token(tenants.admin).run_events(tenants.org, run_id)).items
    assert [event.seq for event in events] == list(range(1, 97))


async def test_a_run_is_created_with_the_head_of_its_timeline_once(service: Service, tenants: Tenants) -> None:
    orchestrator, tenant = service.as_service("orchestrator"), Tenant(tenants.org, "checkout")
    request = new_run(timeline=(new_event("accepted"), new_event("routed"), new_event("accepted", again=True)))
    run = await orchestrator.create_run(tenants.org, request)
    later = request.model_copy(update={"timeline": (new_event("accepted", at_another_time=True),)})
    assert await orchestrator.create_run(tenants.org, later) == run, "its timeline is not what tells runs apart"
    more = AppendRunEvents(events=(new_event("routed"), new_event("started")))
    await service.as_service("agent").append_run_events(tenant, run.run_id, more)
    events = (await service.with_token(tenants.admin).run_events(tenants.org, run.run_id)).items
    assert [event.seq for event in events] == [1, 2, 3]
    assert [event.data for event in events] == [{}, {}, {}]
    end = new_event("end").model_copy(update={"type": RunEventType.RUN_FINISHED})
    for refused in ((end,), tuple(new_event(str(number)) for number in range(501))):
        with pytest.raises(Unprocessable):
            await orchestrator.create_run(tenants.org, new_run(timeline=refused))


async def test_an_event_is_there_once(service: Service, tenants: Tenants, run_id: str) -> None:
    agent, tenant = service.as_service("agent"), Tenant(tenants.org, "checkout")
    first = await agent.append_run_events(tenant, run_id, AppendRunEvents(events=(new_event("a", n=1),)))
    batch = AppendRunEvents(events=(new_event("b", n=2), new_event("a", n=3), new_event("c", n=4), new_event("c", n=5)))
    second = await agent.append_run_events(tenant, run_id, batch)
    assert [event.seq for event in second.items] == [2, 1, 3, 3]
    assert second.items[1] == first.items[0]
    assert [event.data["n"] for event in second.items] == [2, 1, 4, 4]
    assert (await agent.append_run_events(tenant, run_id, AppendRunEvents(events=()))).items == ()


async def test_concurrent_repetitions_are_one(service: Service, tenants: Tenants, run_id: str) -> None:
    agent, tenant = service.as_service("agent"), Tenant(tenants.org, "checkout")
    events = AppendRunEvents(events=(new_event("x"), new_event("y")))
    async with anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(agent.append_run_events, tenant, run_id, events)
    assert len((await service.with_token(tenants.admin).run_events(tenants.org, run_id)).items) == 2


async def test_the_timeline_is_read_in_pages(service: Service, tenants: Tenants, run_id: str) -> None:
    agent, tenant = service.as_service("agent"), Tenant(tenants.org, "checkout")
    events = tuple(new_event(str(number)) for number in range(5))
    await agent.append_run_events(tenant, run_id, AppendRunEvents(events=events))
    admin = service.with_token(tenants.admin)
    assert [event.seq for event in (await admin.run_events(tenants.org, run_id, after=1, limit=2)).items] == [2, 3]
    path = f"/api/v1/orgs/{tenants.org}/runs/{run_id}/events?limit=2"
    seen, cursor = [], ""
    while True:
        page = (await service.call("GET", f"{path}&cursor={cursor}" if cursor else path, tenants.admin)).json()
        seen += [event["seq"] for event in page["items"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert seen == [1, 2, 3, 4, 5]


async def test_a_batch_ends_a_run_once(service: Service, tenants: Tenants, run_id: str) -> None:
    agent, tenant = service.as_service("agent"), Tenant(tenants.org, "checkout")
    twice = tuple(new_event(key, RunEventType.RUN_FINISHED) for key in ("a", "b"))
    with pytest.raises(Unprocessable):
        await agent.append_run_events(tenant, run_id, AppendRunEvents(events=twice))
    many = tuple(new_event(str(number)) for number in range(501))
    with pytest.raises(Unprocessable):
        await agent.append_run_events(tenant, run_id, AppendRunEvents(events=many))
    assert (await service.with_token(tenants.admin).run_events(tenants.org, run_id)).items == ()


async def test_an_absent_run_has_no_timeline(service: Service, tenants: Tenants) -> None:
    agent, absent = service.as_service("agent"), new_id("run")
    with pytest.raises(NotFound):
        await agent.append_run_events(
            Tenant(tenants.org, "checkout"), absent, AppendRunEvents(events=(new_event("a"),))
        )
    with pytest.raises(NotFound):
        await service.with_token(tenants.admin).run_events(tenants.org, absent)
