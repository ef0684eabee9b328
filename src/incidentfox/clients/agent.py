"""The client of the Agent: starts runs and replays them.

The base URL is the shared deployment's or a team's dedicated one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from incidentfox.clients.transport import Call, Credential, Transport, segment
from incidentfox.contracts.events import RunEvent
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.replay import Replay
from incidentfox.contracts.runs import AcceptedRun, ExecuteRun, Run
from incidentfox.kernel.tenant import Tenant

AUDIENCE = "agent"


class AgentClient:
    """`POST /api/v1/run` in its three forms, all idempotent on the run's id; and replays, which change nothing."""

    def __init__(self, base_url: str, credential: Credential | None) -> None:
        self._transport = Transport(AUDIENCE, base_url, credential)

    async def close(self) -> None:
        """Closes the connections."""
        await self._transport.close()

    async def ready(self) -> None:
        """Raises Unavailable unless the service and its database answer."""
        await self._transport.json(Call("GET", "/readyz", Permission.PUBLIC))

    async def start(self, request: ExecuteRun) -> AcceptedRun:
        """Starts the run and returns at once (202, `Prefer: respond-async`, RFC 7240): it is durable by then."""
        return await self._transport.model(self._call(request, {"Prefer": "respond-async"}), AcceptedRun)

    async def run(self, request: ExecuteRun) -> Run:
        """Starts the run and waits for its end."""
        return await self._transport.model(replace(self._call(request, {}), waits=True), Run)

    @asynccontextmanager
    async def stream(self, request: ExecuteRun, *, after: int = 0) -> AsyncIterator[AsyncIterator[RunEvent]]:
        """Starts the run (or joins it) and streams its timeline from `after` on."""
        call = self._call(request, {"Last-Event-ID": str(after)})
        async with self._transport.stream(call) as events:
            yield (RunEvent.model_validate_json(data) async for _, _, data in events)

    async def replay(self, org_id: str, run_id: str) -> Replay:
        """Replays a finished run from what is on record."""
        path = f"/api/v1/orgs/{segment(org_id)}/runs/{segment(run_id)}/replay"
        call = Call("POST", path, Permission.RUNS_READ, Tenant(org_id), waits=True)
        return await self._transport.model(call, Replay)

    @staticmethod
    def _call(request: ExecuteRun, headers: dict[str, str]) -> Call:
        tenant = Tenant(request.org_id, request.team_node_id)
        return Call("POST", "/api/v1/run", Permission.RUNS_EXECUTE, tenant, request, headers=headers)
