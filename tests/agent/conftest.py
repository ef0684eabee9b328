"""The agent as a service, with its neighbours; and no model may be reached by accident."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic_ai import models
from tests.agent.scenes import ORG, TEAM
from tests.agent.twins import ConfigServiceTwin, serve
from tests.environment import Database, Trusted

from incidentfox.agent.main import create_app
from incidentfox.agent.settings import AgentSettings
from incidentfox.clients.agent import AgentClient
from incidentfox.clients.config_service import ServiceCredential
from incidentfox.contracts.runs import ExecuteRun

models.ALLOW_MODEL_REQUESTS = False


@dataclass
class Surroundings:
    """What an agent needs round it: a database, keys, and a Config Service."""

    database: Database
    trusted: Trusted
    config: ConfigServiceTwin
    config_url: str

    def environment(self) -> dict[str, str]:
        """The environment of a real agent process."""
        return {
            **self.trusted.environment("agent"),
            "INCIDENTFOX_DATABASE_URL": self.database.url("incidentfox_agent"),
            "INCIDENTFOX_CONFIG_SERVICE_URL": self.config_url,
            "INCIDENTFOX_CONSOLE_URL": "https://console.test",
            "INCIDENTFOX_DURABLE_POLL_INTERVAL_S": "0.05",
        }

    def settings(self) -> AgentSettings:
        """The same as settings, for an agent in this process."""
        folder = self.trusted.folder
        return AgentSettings(
            identity_key_file=folder / "agent.jwk",
            trusted_keys_file=folder / "trusted.json",
            database_url=self.database.url("incidentfox_agent"),
            config_service_url=self.config_url,
            console_url="https://console.test",
            durable_poll_interval_s=0.05,
            drain_s=0.5,
        )

    def client(self, agent_url: str, service: str = "orchestrator") -> AgentClient:
        """A client with a service's identity."""
        return AgentClient(agent_url, ServiceCredential(self.trusted.identity(service)))

    def execute(self, run_id: str | None = None, **rest: Any) -> ExecuteRun:
        """The request for a run of the team."""
        return ExecuteRun(run_id=run_id, org_id=ORG, team_node_id=TEAM, **rest)

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[str]:
        """An agent in this process; its base URL."""
        async with serve(create_app(self.settings())) as url:
            yield url


@dataclass
class AgentProcess:
    """A real agent process, started as production starts it, that may be killed at any time."""

    surroundings: Surroundings
    log: Path
    port: int = 0
    process: asyncio.subprocess.Process | None = None
    lines: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Starts it and waits until it is ready."""
        self.port = _free_port()
        command = [sys.executable, "-m", "uvicorn", "incidentfox.agent.main:app", "--factory", "--port", str(self.port)]
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *command, env={**os.environ, **self.surroundings.environment()}, stdout=log, stderr=log
            )
        async with asyncio.timeout(40), httpx2.AsyncClient() as http:
            while True:
                assert self.process.returncode is None, self.log.read_text()
                try:
                    if (await http.get(f"{self.url}/readyz")).status_code == 200:
                        return
                except httpx2.TransportError:
                    await asyncio.sleep(0.05)

    async def kill(self) -> None:
        """`kill -9`."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@pytest.fixture
async def surroundings(database: Database, trusted: Trusted) -> AsyncIterator[Surroundings]:
    """A database, keys, and a Config Service that knows one team."""
    config = ConfigServiceTwin()
    async with serve(config.app()) as url:
        yield Surroundings(database, trusted, config, url)


@pytest.fixture
async def agent_process(surroundings: Surroundings, tmp_path: Path) -> AsyncIterator[Callable[[], AgentProcess]]:
    """Makes agent processes; whatever still runs in the end is killed."""
    made: list[AgentProcess] = []

    def make() -> AgentProcess:
        made.append(AgentProcess(surroundings, tmp_path / f"agent-{len(made)}.log"))
        return made[-1]

    yield make
    for one in made:
        if one.process is not None:
            await one.kill()
