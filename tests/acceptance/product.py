"""The whole product as it runs on a machine: every service a process of its own by its production entry point, on the
embedded Postgres, with the local workspace of Slack's API shape as the place where answers go.

With more than one replica, each service's address is that of a balancer in front of its processes, as a Service of
Kubernetes is. Tests make tenants of their own, so that one running product serves them all.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import secrets
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import httpx2
from tests.acceptance.balancer import Balancer
from tests.acceptance.sender import Message, Sender
from tests.agent.scenes import small_incident
from tests.environment import cluster_folder

from incidentfox.clients.agent import AgentClient
from incidentfox.clients.config_service import ConfigServiceClient, ServiceCredential, TokenCredential
from incidentfox.clients.orchestrator import OrchestratorClient
from incidentfox.contracts.recordings import UploadRecording
from incidentfox.contracts.runs import FINISHED, Run
from incidentfox.contracts.tokens import CreateToken
from incidentfox.contracts.tree import CreateNode, CreateOrganisation, NodeKind
from incidentfox.contracts.webhooks import CreateEndpoint, Delivery, DeliveryStatus
from incidentfox.kernel.identity import ServiceIdentity
from incidentfox.kernel.tls import trust
from incidentfox.local.database import DATABASE
from incidentfox.local.installation import PREFERRED_PORTS
from incidentfox.local.processes import ProcessSpec
from incidentfox.local.settings import LocalSettings
from incidentfox.local.stack import SERVICES, Stack

Result = TypeVar("Result")

TEAM = "shop-sre"
CHANNEL = "incidents"
PAGERDUTY_SERVICE = "PSHOP01"
GUILTY = "a" * 40
"""The commit that broke the recorded incident of every tenant."""

WITHIN_S = 60.0
_POLL_S = 0.05
# Below what Linux gives to outgoing connections (32768 and up): the port of a killed process must be free again.
_PORTS = range(15_000, 32_000)


@dataclass(frozen=True)
class Tenancy:
    """An organisation of its own with one team, its recorded incident, and a sender for each source."""

    org_id: str
    token: str
    admin: ConfigServiceClient
    orchestrator: OrchestratorClient
    recording_id: str
    pagerduty: Sender
    custom: Sender

    async def delivery(self, delivery_id: str) -> Delivery:
        """The delivery, once it is dispatched."""

        async def dispatched() -> Delivery | None:
            found = await self.orchestrator.delivery(self.org_id, delivery_id)
            return found if found.status is not DeliveryStatus.RECEIVED else None

        return await until(dispatched)

    async def dispatched(self, sender: Sender, message: Message) -> Delivery:
        """Sends the message; its delivery, once it is dispatched."""
        return await self.delivery((await sender.deliver(message)).delivery_id)

    async def finished(self, run_id: str) -> Run:
        """The run, once it has ended."""

        async def ended() -> Run | None:
            found = await self.admin.run(self.org_id, run_id)
            return found if found.status in FINISHED else None

        return await until(ended)

    async def runs(self) -> list[Run]:
        """Every run of the organisation."""
        return await _all(lambda cursor: self.admin.runs(self.org_id, cursor=cursor, limit=200))

    async def deliveries(self) -> list[Delivery]:
        """Every delivery of the organisation."""
        return await _all(lambda cursor: self.orchestrator.deliveries(self.org_id, cursor=cursor, limit=200))

    async def close(self) -> None:
        """Closes the connections."""
        await self.admin.close()
        await self.orchestrator.close()


class Product:
    """A running product. `start` and `stop` in one event loop."""

    def __init__(self, home: Path, replicas: int = 1) -> None:
        ports = zip(PREFERRED_PORTS, free_ports(len(PREFERRED_PORTS)), strict=True)
        (home / "ports.json").write_text(json.dumps(dict(ports)))
        self.stack = Stack(LocalSettings(home=home, DATABASE_URL=None))
        self.slack_token = f"xoxb-{secrets.token_hex(12)}"
        platform = ServiceIdentity("platform", dict(self.stack.keys.services["platform"].private_jwk))
        credential = ServiceCredential(platform)
        self.config_service = ConfigServiceClient(self.url("config-service"), credential)
        self.orchestrator = OrchestratorClient(self.url("orchestrator"), credential)
        self.agent = AgentClient(self.url("agent"), credential)
        self.http = httpx2.AsyncClient(timeout=20.0, verify=trust())
        self._replicas = replicas
        self._specs: dict[str, ProcessSpec] = {}
        self._balancers: list[Balancer] = []
        self._tenants: list[Tenancy] = []

    def url(self, process: str) -> str:
        """The address of a service, or of Slack."""
        return self.stack.installation.url(process)

    async def start(self) -> None:
        """Starts everything and returns when all of it is ready."""
        await asyncio.to_thread(self.stack.start_database)
        for service in SERVICES:
            await self._add(self.stack.spec(service), self._replicas if service.has_database else 1)
        await self.stack.supervisor.start(self._slack(), *self._specs.values())

    async def stop(self) -> None:
        """Stops everything and deletes the database."""
        for tenant in self._tenants:
            await tenant.close()
        for client in (self.config_service, self.orchestrator, self.agent):
            await client.close()
        await self.http.aclose()
        await self.stack.supervisor.stop()
        for balancer in self._balancers:
            await balancer.close()
        if self.stack.postgres is not None:
            await asyncio.to_thread(self.stack.postgres.destroy)

    async def tenant(self, **document: Any) -> Tenancy:
        """A new organisation. `document` is added to its team's configuration."""
        org_id = f"org-{secrets.token_hex(4)}"
        await self.config_service.create_organisation(CreateOrganisation(org_id=org_id, name=org_id))
        await self.config_service.create_node(
            org_id, CreateNode(node_id=TEAM, parent_id=org_id, kind=NodeKind.TEAM, name="Shop SRE")
        )
        await self.config_service.put_secret(org_id, TEAM, "slack-bot-token", self.slack_token)
        await self.config_service.put_configuration(org_id, TEAM, self._document() | document)
        token = (await self.config_service.create_token(org_id, CreateToken(name="acceptance"))).secret
        admin = ConfigServiceClient(self.url("config-service"), TokenCredential(token))
        recording = await admin.upload_recording(org_id, UploadRecording.model_validate({"files": small_incident()}))
        made = Tenancy(
            org_id=org_id,
            token=token,
            admin=admin,
            orchestrator=OrchestratorClient(self.url("orchestrator"), TokenCredential(token)),
            recording_id=recording.recording_id,
            pagerduty=await self.sender(org_id, "pagerduty"),
            custom=await self.sender(org_id, "custom"),
        )
        self._tenants.append(made)
        return made

    async def sender(self, org_id: str, source: str) -> Sender:
        """A sender at a new endpoint, whose limit is far above what this machine can take."""
        wanted = CreateEndpoint(source=source, name="acceptance", rate_per_minute=600_000, burst=60_000)
        created = await self.orchestrator.create_endpoint(org_id, wanted)
        return Sender(self.http, self.url("orchestrator") + created.endpoint.path, created.secret)

    async def posts(self, *run_ids: str) -> list[dict[str, Any]]:
        """The messages in Slack that carry one of these runs in their metadata, oldest first."""
        answer = await self.http.get(f"{self.url('slack')}/messages?format=json")
        messages: list[dict[str, Any]] = answer.json()["messages"]
        return [message for message in messages if message["metadata"]["event_payload"]["run_id"] in run_ids]

    def pid(self, process: str) -> int:
        """The pid of a process as it is now."""
        return self.stack.supervisor.pid(process)

    async def kill(self, process: str) -> None:
        """`kill -9`; returns once the supervisor's next process of that name is ready."""
        killed = self.pid(process)
        with contextlib.suppress(ProcessLookupError):
            os.kill(killed, signal.SIGKILL)

        async def another_is_ready() -> bool:
            return self.pid(process) != killed and await self._is_ready(process)

        await until(another_is_ready)

    def replica_url(self, process: str) -> str:
        """The address of one replica, past the balancer."""
        return str(self._specs[process].ready_url).removesuffix("/readyz")

    async def take_away(self, process: str) -> None:
        """Stops a process in order, as a rollout does; it stays away."""
        await self.stack.supervisor.stop(process)

    async def bring_back(self, process: str) -> None:
        """Starts a process that was taken away."""
        await self.stack.supervisor.start(self._specs[process])

    def log(self, process: str) -> list[dict[str, Any]]:
        """The lines that a process has logged."""
        text = (self.stack.installation.logs / f"{process}.log").read_text()
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    @asynccontextmanager
    async def superuser(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection beyond all row-level security: to count."""
        assert self.stack.postgres is not None
        connection = await asyncpg.connect(self.stack.postgres.superuser_url(DATABASE))
        try:
            yield connection
        finally:
            await connection.close()

    async def _add(self, spec: ProcessSpec, replicas: int) -> None:
        if replicas == 1:
            self._specs[spec.name] = spec
            return
        ports = free_ports(replicas)
        for number, port in enumerate(ports, start=1):
            name = f"{spec.name}-{number}"
            self._specs[name] = replace(
                spec,
                name=name,
                environment={**spec.environment, "INCIDENTFOX_PORT": str(port)},
                log_file=spec.log_file.with_name(f"{name}.log"),
                ready_url=f"http://127.0.0.1:{port}/readyz",
            )
        balancer = Balancer(ports)
        await balancer.listen(self.stack.installation.ports[spec.name])
        self._balancers.append(balancer)

    async def _is_ready(self, process: str) -> bool:
        with contextlib.suppress(httpx2.TransportError):
            return (await self.http.get(str(self._specs[process].ready_url))).status_code == 200
        return False

    def _document(self) -> dict[str, Any]:
        slack = {
            "enabled": True,
            "bot_token": {"$secret": "slack-bot-token"},
            "base_url": f"{self.url('slack')}/api/",
        }
        return {
            "routing": {"pagerduty_services": [PAGERDUTY_SERVICE], "services": ["orders", "frontend"]},
            "integrations": {"slack": slack},
            "destinations": {"slack": {"channel": f"#{CHANNEL}"}},
        }

    def _slack(self) -> ProcessSpec:
        installation = self.stack.installation
        return ProcessSpec(
            name="slack",
            command=(sys.executable, "-m", "incidentfox.local.slack"),
            environment={
                "LOCAL_SLACK_PORT": str(installation.ports["slack"]),
                "LOCAL_SLACK_TOKEN": self.slack_token,
                "LOCAL_SLACK_DATA_FILE": str(installation.home / "slack.jsonl"),
                "LOCAL_SLACK_CHANNELS": json.dumps([CHANNEL]),
            },
            log_file=installation.logs / "slack.log",
            ready_url=f"{installation.url('slack')}/readyz",
        )


@asynccontextmanager
async def running_product(replicas: int = 1, *, on_disk: bool = False) -> AsyncIterator[Product]:
    """A product in a folder of its own, which is deleted afterwards. What is measured is measured `on_disk`."""
    home = cluster_folder("incidentfox-acceptance-", on_disk=on_disk)
    try:
        product = Product(home, replicas)
        try:
            await product.start()
            yield product
        finally:
            await product.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


async def until(condition: Callable[[], Awaitable[Result | None]], within_s: float | None = WITHIN_S) -> Result:
    """Asks until the answer is something true, which it returns; TimeoutError after `within_s`, unless that is None."""
    async with asyncio.timeout(within_s):
        while not (answer := await condition()):
            await asyncio.sleep(_POLL_S)
    return answer


def free_ports(count: int) -> list[int]:
    """Distinct ports that nobody listens on."""
    found: list[int] = []
    for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            break
    return found


async def _all(fetch: Callable[[str | None], Awaitable[Any]]) -> list[Any]:
    found: list[Any] = []
    cursor: str | None = None
    while True:
        page = await fetch(cursor)
        found.extend(page.items)
        if (cursor := page.next_cursor) is None:
            return found
