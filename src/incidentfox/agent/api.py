"""`POST /api/v1/run`: a run comes in, in three forms, all idempotent on its id. And a finished one is replayed.

* plain: waits for the end and answers with the Run;
* `Accept: text/event-stream`: the run's timeline as server-sent events, resumable with `Last-Event-ID`;
* `Prefer: respond-async` (RFC 7240): 202 at once; the run is durable by then.

Timeline and run are read from the Config Service, which alone keeps them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from incidentfox.agent.replay import replay_run
from incidentfox.agent.workflow import start_run, workflow_id
from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.contracts.events import RunEvent, RunEventType
from incidentfox.contracts.model import OrgId
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.replay import Replay
from incidentfox.contracts.runs import AcceptedRun, CreateRun, ExecuteRun, Run, RunStatus
from incidentfox.kernel.durable import Engine, Retry, State
from incidentfox.kernel.errors import Forbidden, Invalid, Temporary
from incidentfox.kernel.ids import new_id, require_id
from incidentfox.kernel.logging import CORRELATION_HEADER, accept_correlation_id, correlation_id
from incidentfox.kernel.tenant import Tenant
from incidentfox.kernel.web.auth import Principal, requires
from incidentfox.kernel.web.sse import ServerSentEvent, event_stream, last_event_id, wants_events
from incidentfox.kernel.web.strict_json import StrictRoute

REPLAYS_AT_A_TIME = 2
"""In one process; a replay computes as much as a run, and runs come first."""

_RECONNECT = Retry(attempts=None, base_s=0.2, cap_s=5.0)


@dataclass(frozen=True)
class Door:
    """What the routes work with; made by `main.py`."""

    engine: Engine
    client: ConfigServiceClient


def router(door: Door) -> APIRouter:
    """The agent's API."""
    routes = APIRouter(prefix="/api/v1", tags=["runs"], route_class=StrictRoute)

    @routes.post("/run", responses={200: {"model": Run}, 202: {"model": AcceptedRun}})
    async def run(
        request: Request, body: ExecuteRun, principal: Annotated[Principal, requires(Permission.RUNS_EXECUTE)]
    ) -> Response:
        """Executes a run."""
        tenant = _tenant(principal, body)
        after = last_event_id(request)
        run_id = await _run_id(door, tenant, body, request.headers.get(CORRELATION_HEADER))
        if "respond-async" in request.headers.get("prefer", ""):
            return await _accepted(door, tenant, run_id)
        # Asked first, so that an unknown run is a 404 and not the failure of a workflow.
        await door.client.team_run(tenant, run_id)
        started = await start_run(door.engine, tenant.org_id, body.team_node_id, run_id)
        if wants_events(request):
            return event_stream(_server_sent(timeline(door, tenant, run_id, after)))
        await door.engine.wait(started)
        finished = await door.client.team_run(tenant, run_id)
        return Response(finished.model_dump_json(), media_type="application/json")

    at_a_time = asyncio.Semaphore(REPLAYS_AT_A_TIME)

    @routes.post("/orgs/{org_id}/runs/{run_id}/replay")
    async def replay(
        org_id: OrgId, run_id: str, principal: Annotated[Principal, requires(Permission.RUNS_READ)]
    ) -> Replay:
        """Replays a finished run from what is on record, and says whether its tools and its answer are the same.

        Nothing outside is asked, nothing is posted, nothing is written.
        """
        require_id(run_id, "run")
        principal.in_org(org_id)
        async with at_a_time:
            return await replay_run(door.client, Tenant(org_id, principal.team_node_id), run_id)

    return routes


async def timeline(door: Door, tenant: Tenant, run_id: str, after: int) -> AsyncGenerator[RunEvent]:
    """The run's events after `seq` = `after`, live, until `run.finished`. Survives a Config Service that restarts."""
    known_as = workflow_id(tenant.org_id, tenant.team_node_id or "", run_id)
    failures = 0
    while True:
        status = await door.engine.status(known_as)
        over = status is None or status.state.final
        try:
            async with door.client.stream_run_events(tenant.org_id, run_id, after=after) as events:
                async for event in events:
                    after, failures = event.seq, 0
                    yield event
                    if event.type is RunEventType.RUN_FINISHED:
                        return
        except Temporary as failure:
            failures += 1
            await asyncio.sleep(_RECONNECT.delay_s(failures, failure.retry_after_s))
            continue
        if over:
            return
        await asyncio.sleep(_RECONNECT.base_s)


async def _server_sent(events: AsyncGenerator[RunEvent]) -> AsyncIterator[ServerSentEvent]:
    async with aclosing(events):
        async for event in events:
            yield ServerSentEvent(id=str(event.seq), event=event.type.value, data=event.model_dump_json())


def _tenant(principal: Principal, body: ExecuteRun) -> Tenant:
    """The tenant of the run, if the caller's credential is bound to exactly that one."""
    if principal.in_org(body.org_id).tenant_org() != body.org_id or principal.team_node_id != body.team_node_id:
        raise Forbidden("This credential is not bound to the team of the run.", code="tenant_required")
    return Tenant(body.org_id, body.team_node_id)


async def _run_id(door: Door, tenant: Tenant, body: ExecuteRun, offered: str | None) -> str:
    """The id of the run, which is created first where the caller sends its input."""
    if body.run_id is not None:
        require_id(body.run_id, "run")
    if body.input is None:
        if body.run_id is None:
            raise Invalid("Send `run_id` of a run that exists, or `input` for a new one.", code="run_required")
        return body.run_id
    create = CreateRun(
        run_id=body.run_id or new_id("run"),
        team_node_id=body.team_node_id,
        input=body.input,
        source="api",
        # Part of what makes a repeated call the same run, so it must not be a new one each time.
        correlation_id=accept_correlation_id(offered or body.run_id or correlation_id()),
    )
    return (await door.client.create_run(tenant.org_id, create)).run_id


async def _accepted(door: Door, tenant: Tenant, run_id: str) -> Response:
    started = await start_run(door.engine, tenant.org_id, tenant.team_node_id or "", run_id)
    status = await door.engine.status(started)
    running = status is not None and status.state is State.RUNNING
    accepted = AcceptedRun(run_id=run_id, status=RunStatus.RUNNING if running else RunStatus.QUEUED)
    headers = {"Preference-Applied": "respond-async"}
    return JSONResponse(accepted.model_dump(mode="json"), status_code=202, headers=headers)
