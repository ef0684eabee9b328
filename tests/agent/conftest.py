"""The agent as a service, with its neighbours; and no model may be reached by accident."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from pydantic_ai import models
from tests.agent.scenes import ORG, TEAM, document
from tests.agent.twins import serve
from tests.environment import Database, Trusted

from incidentfox.agent.main import create_app
from incidentfox.agent.settings import AgentSettings
from incidentfox.clients.agent import AgentClient
from incidentfox.clients.config_service import ConfigServiceClient, ServiceCredential
from incidentfox.config_service.main import create_app as create_config_service
from incidentfox.config_service.settings import ConfigServiceSettings
from incidentfox.contracts.configuration import TeamConfiguration
from incidentfox.contracts.events import RunEvent
from incidentfox.contracts.recordings import UploadRecording
from incidentfox.contracts.runs import CreateRun, ExecuteRun, Run, RunInput
from incidentfox.contracts.tree import CreateNode, CreateOrganisation, NodeKind
from incidentfox.kernel.ids import new_id
from incidentfox.kernel.tls import trust

models.ALLOW_MODEL_REQUESTS = False


@dataclass
class Surroundings:
    """What an agent needs round it: a database, keys, and a Config Service that knows one team."""

    database: Database
    trusted: Trusted
    config_url: str
    config: ConfigServiceClient

    async def configure(self, wanted: TeamConfiguration) -> None:
        """Gives the team this configuration."""
        # The default team is the organisation's to name: a team's document may not even say that it has none.
        whole = wanted.model_dump(mode="json", by_alias=True, exclude={"routing": {"default_team"}})
        await self.config.put_configuration(ORG, TEAM, whole)

    async def put_secret(self, name: str, value: str) -> None:
        """Sets a secret of the team."""
        await self.config.put_secret(ORG, TEAM, name, value)

    async def upload(self, files: Mapping[str, str]) -> str:
        """Uploads a recording; its id."""
        upload = UploadRecording.model_validate({"files": dict(files)})
        return (await self.config.upload_recording(ORG, upload)).recording_id

    async def add_run(self, question: RunInput) -> str:
        """A queued run, as the orchestrator makes it."""
        run_id = new_id("run")
        create = CreateRun(
            run_id=run_id, team_node_id=TEAM, input=question, source="test", correlation_id=new_id("cor")
        )
        await self.config.create_run(ORG, create)
        return run_id

    async def events(self, run_id: str) -> tuple[RunEvent, ...]:
        """The run's timeline."""
        return (await self.config.run_events(ORG, run_id)).items

    async def kinds(self, run_id: str) -> list[str]:
        """The types of the run's events, in order."""
        return [event.type.value for event in await self.events(run_id)]

    async def finished(self, run_id: str, within_s: float = 40.0) -> Run:
        """The run once it is over."""
        async with asyncio.timeout(within_s), self.config.stream_run_events(ORG, run_id) as events:
            async for _ in events:
                pass
        return await self.config.run(ORG, run_id)

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
        async with asyncio.timeout(40), httpx2.AsyncClient(verify=trust()) as http:
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


def config_service(database: Database, trusted: Trusted) -> FastAPI:
    """The real Config Service on this database."""
    folder = trusted.folder
    return create_config_service(
        ConfigServiceSettings(
            identity_key_file=folder / "config-service.jwk",
            trusted_keys_file=folder / "trusted.json",
            master_keys_file=folder / "master.json",
            token_pepper_file=folder / "pepper",
            database_url=database.url("incidentfox_config"),
            database_pool_size=4,
        )
    )


@pytest.fixture
async def surroundings(database: Database, trusted: Trusted) -> AsyncIterator[Surroundings]:
    """A database, keys, and a Config Service that knows one team."""
    async with serve(config_service(database, trusted)) as url:
        client = ConfigServiceClient(url, ServiceCredential(trusted.identity("platform")))
        await client.create_organisation(CreateOrganisation(org_id=ORG, name="Acme"))
        await client.create_node(ORG, CreateNode(node_id=TEAM, parent_id=ORG, kind=NodeKind.TEAM, name="Platform"))
        made = Surroundings(database, trusted, url, client)
        await made.configure(document())
        yield made
        await client.close()


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
