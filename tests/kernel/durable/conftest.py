"""A real Postgres with two services' schemas, an engine to launch in this process, and worker processes to kill."""

import asyncio
import os
import secrets
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import make_url
from tests.environment import cluster_folder

from incidentfox.kernel.durable import Engine, EngineSettings, migrate
from incidentfox.local.postgres import EmbeddedPostgres

WORKER = Path(__file__).parent / "worker_program.py"
DEADLINE_S = 20.0


@dataclass
class Services:
    """The owner's address of a fresh database, and each service role's."""

    owner_url: str
    agent_url: str
    orchestrator_url: str
    agent_role: str
    orchestrator_role: str


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """A superuser's address: TEST_DATABASE_URL if set, else of a Postgres that no service's migration has touched."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield url
        return
    folder = cluster_folder("incidentfox-durable-")
    try:
        with EmbeddedPostgres(folder / "postgres", durable=False) as postgres:
            yield postgres.superuser_url()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def services(server_url: str) -> Iterator[Services]:
    """A database of our own with the schemas `agent_dbos` and `orchestrator_dbos`, each for its own role."""
    suffix, password = secrets.token_hex(4), secrets.token_hex(8)
    database, owner = f"durable_{suffix}", f"owner_{suffix}"
    agent, orchestrator = f"agent_{suffix}", f"orchestrator_{suffix}"
    server = make_url(server_url)

    def url(role: str) -> str:
        chosen = server.set(database=database, username=role, password=password)
        return chosen.render_as_string(hide_password=False)

    async def create() -> None:
        connection = await asyncpg.connect(server_url)
        for role in (owner, agent, orchestrator):
            await connection.execute(f"CREATE ROLE {role} LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD '{password}'")
        await connection.execute(f"GRANT pg_signal_backend TO {owner}")
        await connection.execute(f"CREATE DATABASE {database} OWNER {owner}")
        await connection.close()
        connection = await asyncpg.connect(url(owner))
        await connection.execute(
            "CREATE SCHEMA test; ALTER ROLE CURRENT_USER SET search_path = test;"
            "CREATE TABLE test.ledger (id bigserial, workflow_id text, what text, pid int);"
            "CREATE TABLE test.gates (name text); CREATE TABLE test.inside (partition text)"
        )
        await connection.close()

    async def drop() -> None:
        connection = await asyncpg.connect(server_url)
        await connection.execute(f"DROP DATABASE {database} WITH (FORCE)")
        await connection.execute(f"DROP ROLE {owner}; DROP ROLE {agent}; DROP ROLE {orchestrator}")
        await connection.close()

    asyncio.run(create())
    migrate(url(owner), "agent", agent)
    migrate(url(owner), "orchestrator", orchestrator)
    yield Services(url(owner), url(agent), url(orchestrator), agent, orchestrator)
    asyncio.run(drop())


@pytest.fixture
async def owner(services: Services) -> AsyncIterator[asyncpg.Connection]:
    """The owner's connection; everything that earlier tests left is gone."""
    connection = await asyncpg.connect(services.owner_url)
    for schema in ("agent_dbos", "orchestrator_dbos"):
        await connection.execute(
            f"TRUNCATE {schema}.workflow_status, {schema}.workflow_input, {schema}.workflow_output,"
            f" {schema}.operation_outputs, {schema}.queues CASCADE"
        )
    await connection.execute("TRUNCATE ledger, gates, inside")
    yield connection
    await connection.close()


@pytest.fixture
def settings(services: Services, owner: asyncpg.Connection) -> EngineSettings:
    """Of an engine in this process, quick enough for a test."""
    return EngineSettings(
        service="agent", database_url=services.agent_url, poll_interval_s=0.02, sweep_interval_s=0.1, pool_size=4
    )


@asynccontextmanager
async def _launched(engine: Engine) -> AsyncIterator[Engine]:
    await engine.launch()
    try:
        yield engine
    finally:
        await engine.stop(grace_s=1.0)


@pytest.fixture
def launched() -> Callable[[Engine], Any]:
    """`async with launched(engine):` launches it and stops it again."""
    return _launched


@pytest.fixture
def until() -> Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]:
    """`await until(condition)`: asks an async condition until it answers with something true, which it returns."""

    async def wait(condition: Callable[[], Awaitable[Any]]) -> Any:
        async with asyncio.timeout(DEADLINE_S):
            while not (answer := await condition()):
                await asyncio.sleep(0.01)
        return answer

    return wait


@dataclass
class Workers:
    """Starts worker processes; every one of them is gone when the test is over."""

    services: Services
    processes: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def start(self, version: int = 1) -> asyncio.subprocess.Process:
        """A worker that has taken up work."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(WORKER),
            self.services.agent_url,
            self.services.owner_url,
            str(version),
            stdout=asyncio.subprocess.PIPE,
        )
        self.processes.append(process)
        assert process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            assert (await process.stdout.readline()).strip() == b"ready"
        return process

    async def end(self, process: asyncio.subprocess.Process, how: signal.Signals) -> None:
        """Sends a signal and waits for the process to be gone."""
        process.send_signal(how)
        async with asyncio.timeout(DEADLINE_S):
            await process.wait()


@pytest.fixture
async def workers(services: Services, owner: asyncpg.Connection) -> AsyncIterator[Workers]:
    made = Workers(services)
    yield made
    for process in made.processes:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
