"""A console in front of a real Config Service on a real Postgres, with an organisation, two teams and their runs."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, sync_playwright
from pydantic import SecretStr
from tests.console import investigation
from tests.console.browsing import ARGUMENTS, CHROMIUM, Visits
from tests.console.estate import Estate, found_estate
from tests.environment import Database, Trusted, create_database

from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.clients.transport import ServiceCredential, TokenCredential
from incidentfox.config_service.main import create_app as create_config_service
from incidentfox.config_service.settings import ConfigServiceSettings
from incidentfox.console.main import create_app
from incidentfox.console.settings import ConsoleSettings
from incidentfox.contracts.answer import Answer
from incidentfox.contracts.events import AppendRunEvent, AppendRunEvents
from incidentfox.contracts.runs import (
    CreateRun,
    EffectStatus,
    FinishRun,
    IntendEffect,
    RunInput,
    RunStatus,
    SettleEffect,
    StartedRun,
)
from incidentfox.contracts.tokens import CreateToken
from incidentfox.contracts.tree import CreateNode, CreateOrganisation, NodeKind
from incidentfox.kernel.ids import new_id
from incidentfox.kernel.tenant import Tenant
from incidentfox.kernel.tls import trust
from incidentfox.local.postgres import EmbeddedPostgres

Result = TypeVar("Result")

ORG = "acme"
TEAMS = {"shop-sre": "Shop SRE", "payments-sre": "Payments SRE"}
OWN = {"Sec-Fetch-Site": "same-origin"}
HTML = {"Accept": "text/html"}
_PATIENCE_S = 20


class Background:
    """An event loop in a thread of its own: servers and seeding run there, whatever runs in the test's thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Runs the coroutine there and waits for its result."""
        return self.start(work).result(_PATIENCE_S)

    def start(self, work: Coroutine[Any, Any, Result]) -> Future[Result]:
        """Starts the coroutine there."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def close(self) -> None:
        """Stops the loop."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_PATIENCE_S)


class Served:
    """An application on a port of its own, until it is stopped."""

    def __init__(self, background: Background, app: FastAPI, listener: socket.socket) -> None:
        self._background = background
        self._server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
        self._serving = background.start(self._server.serve(sockets=[listener]))
        background.run(self._wait())

    def stop(self) -> None:
        """Stops it."""
        self._server.should_exit = True
        self._serving.result(_PATIENCE_S)

    async def _wait(self) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            while not self._server.started:
                await asyncio.sleep(0.01)


def listener(port: int = 0) -> tuple[socket.socket, str]:
    """A listening socket and its URL. Its protocol is named: only then asyncio sends small packets at once, and no
    answer waits for the acknowledgement of its first half (40 ms)."""
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.bind(("127.0.0.1", port))
    opened.listen(64)
    return opened, f"http://127.0.0.1:{opened.getsockname()[1]}"


class Desk:
    """What the tests work with: addresses, tokens, and the services' own hands to make runs with."""

    def __init__(
        self, background: Background, database: Database, trusted: Trusted, config_service_url: str, console_url: str
    ) -> None:
        self.background = background
        self.database = database
        self.url = console_url
        self.config_service_url = config_service_url
        self._clients = {
            name: ConfigServiceClient(config_service_url, ServiceCredential(trusted.identity(name)))
            for name in ("platform", "orchestrator", "agent")
        }
        self.admin_token, self.team_token = background.run(self._found_organisation())

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Runs a coroutine beside the servers."""
        return self.background.run(work)

    @property
    def platform(self) -> ConfigServiceClient:
        """The operator's own hands."""
        return self._clients["platform"]

    def close(self) -> None:
        """Closes the clients."""
        for client in self._clients.values():
            self.run(client.close())

    def sign_in_code(self, token: str | None = None) -> str:
        """A code as in a sign-in link."""

        async def ask() -> str:
            client = ConfigServiceClient(self.config_service_url, TokenCredential(token or self.admin_token))
            try:
                return (await client.create_sign_in_code()).code
            finally:
                await client.close()

        return self.run(ask())

    def new_run(self, *, team: str = "shop-sre", content: RunInput | None = None, started: bool = True) -> str:
        """A run that goes on, without events."""

        async def make() -> str:
            run_id = new_id("run")
            request = CreateRun(
                run_id=run_id,
                team_node_id=team,
                input=content or investigation.alert(),
                source="pagerduty",
                correlation_id=new_id("cor"),
            )
            await self._clients["orchestrator"].create_run(ORG, request)
            if started:
                begun = StartedRun(config_hash=investigation.CONFIG_HASH)
                await self._clients["agent"].start_run(Tenant(ORG, team), run_id, begun)
            return run_id

        return self.run(make())

    def append(self, run_id: str, events: list[AppendRunEvent], team: str = "shop-sre") -> None:
        """Puts events on the timeline."""
        batch = AppendRunEvents(events=tuple(events))
        self.run(self._clients["agent"].append_run_events(Tenant(ORG, team), run_id, batch))

    def post(self, run_id: str, team: str = "shop-sre", url: str | None = investigation.POST_URL) -> None:
        """The answer was posted to Slack."""

        async def settle() -> None:
            tenant, agent = Tenant(ORG, team), self._clients["agent"]
            intent = IntendEffect(effect_key="slack:answer", destination="slack", target="#inc-4711")
            await agent.intend_effect(tenant, run_id, intent)
            done = SettleEffect(status=EffectStatus.DONE, external_id="1764000000.000100", url=url)
            await agent.settle_effect(tenant, run_id, intent.effect_key, done)

        self.run(settle())

    def finish(self, run_id: str, answer: Answer | None, error: str | None = None, team: str = "shop-sre") -> None:
        """The run ends."""
        status = RunStatus.SUCCEEDED if answer else RunStatus.FAILED
        usage = answer.usage if answer else investigation.NO_USAGE
        ending = FinishRun(status=status, answer=answer, error=error, usage=usage)
        self.run(self._clients["agent"].finish_run(Tenant(ORG, team), run_id, ending))

    def solved_run(self) -> str:
        """The whole investigation, from the alert to the posted answer."""
        run_id = self.new_run()
        self.append(run_id, investigation.events(run_id))
        self.post(run_id)
        self.finish(run_id, investigation.answer(run_id))
        return run_id

    @contextmanager
    def visitor(self, token: str | None = None, url: str | None = None) -> Iterator[httpx2.Client]:
        """A signed-in client that follows no redirect."""
        with self.stranger(url) as visitor:
            response = visitor.post("/sign-in", data={"token": token or self.admin_token}, headers=OWN)
            assert response.status_code == 303, response.text
            yield visitor

    def stranger(self, url: str | None = None) -> httpx2.Client:
        """A client that is not signed in."""
        return httpx2.Client(base_url=url or self.url, headers=HTML, timeout=_PATIENCE_S, verify=trust())

    async def _found_organisation(self) -> tuple[str, str]:
        platform = self._clients["platform"]
        await platform.create_organisation(CreateOrganisation(org_id=ORG, name="Acme"))
        for node_id, name in TEAMS.items():
            await platform.create_node(ORG, CreateNode(node_id=node_id, parent_id=ORG, kind=NodeKind.TEAM, name=name))
        admin = await platform.create_token(ORG, CreateToken(name="admin"))
        team = await platform.create_token(ORG, CreateToken(name="team", team_node_id="payments-sre"))
        return admin.secret, team.secret


@pytest.fixture(scope="session")
def background() -> Iterator[Background]:
    """The loop that the servers run in."""
    made = Background()
    yield made
    made.close()


@pytest.fixture(scope="session")
def desk(background: Background, cluster: EmbeddedPostgres, trusted: Trusted) -> Iterator[Desk]:
    """The whole arrangement, made once: tests make runs of their own in it."""
    database = create_database(cluster, f"console_{secrets.token_hex(4)}")
    keys = {
        "identity_key_file": trusted.folder / "console.jwk",
        "trusted_keys_file": trusted.folder / "trusted.json",
    }
    config_service = ConfigServiceSettings(
        **keys,
        database_url=SecretStr(database.url("incidentfox_config")),
        master_keys_file=trusted.folder / "master.json",
        token_pepper_file=trusted.folder / "pepper",
    )
    config_listener, config_url = listener()
    console_listener, console_url = listener()
    console = console_settings(trusted, config_url, console_url)
    services = [
        Served(background, create_config_service(config_service), config_listener),
        Served(background, create_app(console), console_listener),
    ]
    made = Desk(background, database, trusted, config_url, console_url)
    yield made
    made.close()
    for service in reversed(services):
        service.stop()
    database.drop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def visits(browser: Browser) -> Iterator[Visits]:
    made = Visits(browser)
    yield made
    made.close()


@pytest.fixture
def screenshots(tmp_path: Path) -> Path:
    folder = Path(os.environ.get("INCIDENTFOX_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def estate(desk: Desk) -> Estate:
    """Another organisation on the same desk, with units, policies and people of every role."""
    return desk.run(found_estate(desk.platform))


def console_settings(
    trusted: Trusted, config_service_url: str, public_url: str, orchestrator_url: str = "http://127.0.0.1:1"
) -> ConsoleSettings:
    """Settings of a console; its Orchestrator is away unless it is named."""
    return ConsoleSettings(
        identity_key_file=trusted.folder / "console.jwk",
        trusted_keys_file=trusted.folder / "trusted.json",
        session_key_file=trusted.folder / "session",
        config_service_url=config_service_url,
        orchestrator_url=orchestrator_url,
        public_url=public_url,
    )
