"""The live timeline, over a real server: it comes as it is written, resumes, and ends with the run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
import uvicorn
from tests.config_service.surroundings import Service, Tenants, as_superuser, new_event, new_run

from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.clients.transport import TokenCredential
from incidentfox.contracts.events import AppendRunEvents, RunEvent, RunEventType
from incidentfox.contracts.runs import FinishRun, RunStatus
from incidentfox.kernel.errors import NotFound
from incidentfox.kernel.ids import new_id
from incidentfox.kernel.tenant import Tenant

pytestmark = pytest.mark.anyio

LIMIT_S = 10


@pytest.fixture(scope="module")
async def base_url(service: Service) -> AsyncIterator[str]:
    """The application under a real server: an in-process transport hands a response over only when it is complete."""
    server = uvicorn.Server(uvicorn.Config(service.app, port=0, lifespan="off", log_config=None, ws="none"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await serving


@asynccontextmanager
async def reading(base_url: str, token: str) -> AsyncIterator[ConfigServiceClient]:
    client = ConfigServiceClient(base_url, TokenCredential(token), attempts=1)
    yield client
    await client.close()


class Run:
    """A run that the test writes to."""

    def __init__(self, service: Service, tenants: Tenants, run_id: str) -> None:
        self.agent, self.tenant, self.run_id = service.as_service("agent"), Tenant(tenants.org, "checkout"), run_id

    async def write(self, *keys: str) -> None:
        events = AppendRunEvents(events=tuple(new_event(key) for key in keys))
        await self.agent.append_run_events(self.tenant, self.run_id, events)

    async def finish(self) -> None:
        await self.agent.finish_run(self.tenant, self.run_id, FinishRun(status=RunStatus.FAILED, error="x"))


@pytest.fixture
async def run(service: Service, tenants: Tenants) -> Run:
    created = await service.as_service("orchestrator").create_run(tenants.org, new_run())
    return Run(service, tenants, created.run_id)


async def test_events_come_as_they_are_written_and_the_stream_ends_with_the_run(
    service: Service, tenants: Tenants, base_url: str, run: Run
) -> None:
    await run.write("a", "b")
    seen: list[RunEvent] = []
    with anyio.fail_after(LIMIT_S):
        async with (
            reading(base_url, tenants.teams["checkout"]) as client,
            client.stream_run_events(tenants.org, run.run_id) as events,
        ):
            async for event in events:
                seen.append(event)
                if event.seq == 2:
                    await run.write("c")
                if event.seq == 3:
                    await run.finish()
    assert [event.seq for event in seen] == [1, 2, 3, 4]
    assert seen[-1].type is RunEventType.RUN_FINISHED


async def test_a_notification_wakes_the_stream_before_it_looks_by_itself(
    service: Service, tenants: Tenants, base_url: str, run: Run
) -> None:
    delays: list[float] = []
    with anyio.fail_after(LIMIT_S):
        async with (
            reading(base_url, tenants.admin) as client,
            client.stream_run_events(tenants.org, run.run_id) as events,
        ):
            for number in range(5):
                written = time.monotonic()
                await run.write(str(number))
                await anext(events)
                delays.append(time.monotonic() - written)
    assert min(delays) < 0.3, delays


async def test_a_reader_resumes_after_the_last_event_it_has(
    service: Service, tenants: Tenants, base_url: str, run: Run
) -> None:
    await run.write("a", "b", "c")
    await run.finish()
    with anyio.fail_after(LIMIT_S):
        async with (
            reading(base_url, tenants.admin) as client,
            client.stream_run_events(tenants.org, run.run_id, after=2) as events,
        ):
            assert [event.seq async for event in events] == [3, 4]


async def test_a_stream_that_is_over_says_so(service: Service, tenants: Tenants, run: Run) -> None:
    await run.finish()
    headers = {"Accept": "text/event-stream", "Last-Event-ID": "1"}
    path = f"/api/v1/orgs/{tenants.org}/runs/{run.run_id}/events"
    assert (await service.call("GET", path, tenants.admin, headers=headers)).status_code == 204
    for wrong in ("x", "-1", "9" * 12, "9" * 30):
        answer = await service.call("GET", path, tenants.admin, headers={**headers, "Last-Event-ID": wrong})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_last_event_id")


async def test_the_wire_form_is_that_of_server_sent_events(service: Service, tenants: Tenants, run: Run) -> None:
    await run.finish()
    path = f"/api/v1/orgs/{tenants.org}/runs/{run.run_id}/events"
    answer = await service.call("GET", path, tenants.admin, headers={"Accept": "text/event-stream"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.startswith("id: 1\nevent: run.finished\ndata: {")
    assert answer.text.endswith("}\n\n")


async def test_a_lost_notification_and_a_lost_connection_cost_a_second_at_most(
    service: Service, tenants: Tenants, base_url: str, run: Run
) -> None:
    with anyio.fail_after(LIMIT_S):
        async with (
            reading(base_url, tenants.admin) as client,
            client.stream_run_events(tenants.org, run.run_id) as events,
        ):
            await run.write("a")
            await anext(events)
            as_superuser(
                service.database,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE query LIKE 'LISTEN%' AND datname = current_database()",
            )
            written = time.monotonic()
            await run.write("b")
            assert (await anext(events)).seq == 2
            assert time.monotonic() - written < 2.5


async def test_a_revoked_token_ends_its_stream(service: Service, tenants: Tenants, base_url: str, run: Run) -> None:
    admin = service.with_token(tenants.admin)
    token_id = (await service.with_token(tenants.teams["checkout"]).me()).subject.removeprefix("token:")
    with anyio.fail_after(LIMIT_S):
        async with (
            reading(base_url, tenants.teams["checkout"]) as client,
            client.stream_run_events(tenants.org, run.run_id) as events,
        ):
            await run.write("a")
            await anext(events)
            await admin.revoke_token(tenants.org, token_id)
            await run.write("secret")
            assert [event async for event in events] == []


async def test_nobody_streams_what_they_may_not_read(
    service: Service, tenants: Tenants, base_url: str, run: Run
) -> None:
    for token in (tenants.teams["payments"], tenants.other_admin):
        async with reading(base_url, token) as client:
            with pytest.raises(NotFound):
                async with client.stream_run_events(tenants.org, run.run_id):
                    pass
    async with reading(base_url, tenants.admin) as client:
        with pytest.raises(NotFound):
            async with client.stream_run_events(tenants.org, new_id("run")):
                pass
