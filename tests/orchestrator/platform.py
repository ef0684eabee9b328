"""The Orchestrator among its peers: a real Config Service and an agent that does as it is told, each on a port."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import uvicorn
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response
from tests.config_service.surroundings import settings_for as config_settings_for
from tests.environment import Database, Trusted
from tests.orchestrator.conftest import ORG, Door, running, settings_for

from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.clients.transport import ServiceCredential
from incidentfox.config_service.main import create_app as create_config_service
from incidentfox.contracts.audit import AuditEvent
from incidentfox.contracts.runs import Run
from incidentfox.contracts.tree import CreateNode, CreateOrganisation, NodeKind
from incidentfox.orchestrator.main import create_app as create_orchestrator
from incidentfox.orchestrator.worker import create_app as create_worker

DEADLINE_S = 30.0
TEAM_DOCUMENT = {"entrance_agent": "planner", "agents": {"planner": {}}}


class Peer:
    """An application on a port of its own, which can be away for a while and come back on the same port."""

    def __init__(self, make_app: Callable[[], FastAPI]) -> None:
        self._make_app = make_app
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._server: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._make_app(), port=self.port, log_config=None, lifespan="on", ws="none", timeout_graceful_shutdown=1
            )
        )
        self._task = asyncio.create_task(self._server.serve())
        async with asyncio.timeout(DEADLINE_S):
            while not self._server.started:
                if self._task.done():
                    self._task.result()
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await self._task
            self._server = None


@dataclass
class ScriptedAgent:
    """`POST /api/v1/run`: keeps what it was asked and answers as told; 202 unless told otherwise."""

    calls: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    answer: Response | None = None

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/api/v1/run")
        async def run(request: Request) -> Response:
            body = await request.json()
            self.calls.append(body)
            self.headers.append(dict(request.headers))
            return self.answer or JSONResponse({"run_id": body["run_id"], "status": "queued"}, 202)

        return app

    @property
    def runs(self) -> list[str]:
        return [call["run_id"] for call in self.calls]


@dataclass
class Platform:
    """Everything that a delivery meets on its way."""

    database: Database
    trusted: Trusted
    owner: asyncpg.Connection
    config: Peer
    agent_peer: Peer
    agent: ScriptedAgent
    platform: ConfigServiceClient
    orchestrator: ConfigServiceClient
    door: Door
    processes: list[asyncio.subprocess.Process] = field(default_factory=list)

    def settings(self, **more: Any) -> Any:
        return settings_for(
            self.database,
            self.trusted,
            config_service_url=self.config.url,
            agent_url=self.agent_peer.url,
            dispatch_poll_interval_s=0.02,
            drain_s=1.0,
            **more,
        )

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        """A worker in this process."""
        async with running(create_worker(self.settings())):
            yield

    async def worker_process(self) -> asyncio.subprocess.Process:
        """A worker in a process of its own, by the entry point that production uses; it has taken up work."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        environment = {
            **os.environ,
            **self.trusted.environment("orchestrator"),
            "INCIDENTFOX_DATABASE_URL": self.database.url("incidentfox_orchestrator"),
            "INCIDENTFOX_CONFIG_SERVICE_URL": self.config.url,
            "INCIDENTFOX_AGENT_URL": self.agent_peer.url,
            "INCIDENTFOX_DISPATCH_POLL_INTERVAL_S": "0.02",
            "INCIDENTFOX_DRAIN_S": "1",
            "INCIDENTFOX_LOG_LEVEL": "ERROR",
            "INCIDENTFOX_PORT": str(port),
        }
        program = "from incidentfox.orchestrator.worker import main; main()"
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, env=environment)
        self.processes.append(process)
        await until(lambda: self._answers(port))
        return process

    async def kill(self, process: asyncio.subprocess.Process) -> None:
        """`kill -9`."""
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.wait()

    async def deliveries(self) -> list[asyncpg.Record]:
        return await self.owner.fetch("SELECT * FROM orchestrator_deliveries ORDER BY delivery_id")

    async def settled(self, count: int = 1) -> list[asyncpg.Record]:
        """The deliveries, once `count` of them have reached their end."""

        async def condition() -> list[asyncpg.Record] | None:
            rows = [row for row in await self.deliveries() if row["status"] != "received"]
            return rows if len(rows) >= count else None

        return await until(condition)

    async def runs(self, org: str = ORG) -> list[Run]:
        return list((await self.platform.runs(org, limit=200)).items)

    async def audited(self, action: str, org: str = ORG) -> list[AuditEvent]:
        return list((await self.platform.audit_events(org, action=action)).items)

    async def _answers(self, port: int) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    """Asks an async condition until it answers with something true, which it returns."""
    async with asyncio.timeout(DEADLINE_S):
        while not (answer := await condition()):
            await asyncio.sleep(0.02)
    return answer


@asynccontextmanager
async def running_platform(database: Database, trusted: Trusted, owner: asyncpg.Connection) -> AsyncIterator[Platform]:
    """acme with the teams checkout (owns PagerDuty service PF9KMXH) and payments (owns the service `payments`)."""
    agent = ScriptedAgent()
    config = Peer(lambda: create_config_service(config_settings_for(database, trusted)))
    agent_peer = Peer(agent.app)
    platform = ConfigServiceClient(config.url, ServiceCredential(trusted.identity("platform")))
    orchestrator = ConfigServiceClient(config.url, ServiceCredential(trusted.identity("orchestrator")))
    await config.start()
    await agent_peer.start()
    try:
        await _seed(platform)
        settings = settings_for(database, trusted, config_service_url=config.url, agent_url=agent_peer.url)
        app = create_orchestrator(settings)
        async with running(app) as http:
            door = Door(app, http, owner, None)  # type: ignore[arg-type]
            made = Platform(database, trusted, owner, config, agent_peer, agent, platform, orchestrator, door)
            try:
                yield made
            finally:
                for process in made.processes:
                    await made.kill(process)
    finally:
        await platform.close()
        await orchestrator.close()
        await config.stop()
        await agent_peer.stop()


async def _seed(platform: ConfigServiceClient) -> None:
    await platform.create_organisation(CreateOrganisation(org_id=ORG, name="Acme"))
    await platform.put_configuration(ORG, ORG, TEAM_DOCUMENT)
    owned = {"checkout": {"pagerduty_services": ["PF9KMXH"]}, "payments": {"services": ["payments"]}}
    for team, routing in owned.items():
        await platform.create_node(ORG, CreateNode(node_id=team, parent_id=ORG, kind=NodeKind.TEAM, name=team))
        await platform.put_configuration(ORG, team, {"routing": routing})
