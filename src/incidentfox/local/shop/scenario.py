"""Starts the shop and lets one bad deploy happen in it. Called by `incidentfox demo`.

    healthy traffic ─ web 5.3.0 ─ orders 1.9.0 ─ inventory 2.15.0 (guilty) ─ web 5.3.1 (a decoy, at the onset) ─ alert

A deploy starts a process of the new release on the same listening socket, waits until it is ready, and then lets the
old one finish: innocent deploys lose no request. Nothing here tells the product what is wrong.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from incidentfox.kernel.errors import Timeout
from incidentfox.local.processes import ProcessSpec, Supervisor
from incidentfox.local.shop.changes import ChangeLog
from incidentfox.local.shop.database import ShopDatabase
from incidentfox.local.shop.releases import BASELINE, Release, find_release
from incidentfox.local.shop.telemetry import logs_file, spans_file

SERVICES = ("inventory", "orders", "web")
"""Callee before caller: the order of starting."""
GUILTY = "inventory-2.15.0"
_PEERS = {"web": "orders", "orders": "inventory"}
_ALERT_WITHIN_S = 60.0


@dataclass(frozen=True)
class ShopConfig:
    """How to run the shop.

    `ports`: of web, orders, inventory and monitor. `pace` scales the pauses of the scenario: 1.0 is the demo,
    smaller is hastier. `webhook_url` None: alerts are listed by the monitor and sent nowhere.
    """

    run_dir: Path
    database: ShopDatabase
    ports: Mapping[str, int]
    webhook_url: str | None = None
    webhook_secret: str | None = field(default=None, repr=False)
    pagerduty_service_id: str = "PSHOP01"
    load_rate: float = 8.0
    pace: float = 1.0


@dataclass(frozen=True)
class Stage:
    """Something that happened in the shop, for whoever watches. `name`: started, deploy, alert, rollback."""

    name: str
    text: str
    at: float


class Shop:
    """The running shop. `start`, then `break_it`, perhaps `roll_back`, and always `stop`; all in one event loop."""

    def __init__(self, config: ShopConfig, supervisor: Supervisor, on_stage: Callable[[Stage], None]) -> None:
        self._config = config
        self._supervisor = supervisor
        self._on_stage = on_stage
        self._doors: dict[str, socket.socket] = {}
        self._live: dict[str, Release] = {}
        self._processes: list[str] = []
        self._draining: list[asyncio.Task[None]] = []
        self._changes: ChangeLog | None = None

    @property
    def guilty(self) -> Release:
        """The release that breaks the shop: what the right answer names."""
        return find_release(GUILTY)

    def url(self, process: str) -> str:
        """The base URL of web, orders, inventory or monitor."""
        return f"http://127.0.0.1:{self._config.ports[process]}"

    async def start(self) -> None:
        """Starts the services in their healthy releases, the monitor and the load."""
        folder = self._config.run_dir
        await asyncio.to_thread(_clean, folder)
        self._changes = ChangeLog(folder / "changes.json")
        for service in SERVICES:
            self._doors[service] = socket.create_server(("127.0.0.1", self._config.ports[service]), backlog=128)
        await self._supervisor.start(*(self._service(find_release(name)) for name in BASELINE), self._monitor())
        self._live = {release.service: release for release in map(find_release, BASELINE)}
        await self._supervisor.start(self._load())
        self._say("started", "the shop is open: web → orders → inventory → Postgres, under light load")

    async def break_it(self) -> dict[str, Any]:
        """Healthy traffic, innocent deploys, the guilty one, one more innocent one; the alert once it has fired.

        Timeout when the monitor stays silent.
        """
        for release, pause_s in (("web-5.3.0", 20.0), ("orders-1.9.0", 4.0), (GUILTY, 5.0), ("web-5.3.1", 3.0)):
            await asyncio.sleep(pause_s * self._config.pace)
            await self.deploy(find_release(release))
        alert = await self._next_alert()
        self._say("alert", alert["summary"])
        return alert

    async def deploy(self, release: Release) -> None:
        """Rolls out one release without losing a request."""
        began = time.time()
        await self._supervisor.start(self._service(release))
        if self._changes is not None:
            self._changes.deployed(release, began)
        replaced, self._live[release.service] = self._live[release.service], release
        # The old instance takes no more requests and finishes its own, which in an incident takes seconds.
        self._draining.append(asyncio.create_task(self._supervisor.stop(_process_name(replaced))))
        self._say("deploy", f"{release.service} {release.version} ({release.sha[:8]} {release.message})")

    async def roll_back(self) -> None:
        """Puts the guilty service back to the release before; the monitor resolves the incident by itself.

        Returns when the guilty instance is gone, and with it the transactions that it left open.
        """
        await self.deploy(find_release(f"{self.guilty.service}-{self.guilty.parent}"))
        await asyncio.gather(*self._draining)
        self._say("rollback", f"{self.guilty.service} is back at {self.guilty.parent}")

    async def stop(self) -> None:
        """Stops the load, then the monitor, then the services. Safe after a failed start."""
        await asyncio.gather(*self._draining)
        await self._supervisor.stop("shop-load")
        await self._supervisor.stop("shop-monitor")
        if self._processes:
            await self._supervisor.stop(*self._processes)
        for door in self._doors.values():
            door.close()

    async def _next_alert(self) -> dict[str, Any]:
        deadline = time.monotonic() + _ALERT_WITHIN_S
        async with httpx2.AsyncClient(timeout=5.0) as http:
            while time.monotonic() < deadline:
                alerts = (await http.get(f"{self.url('monitor')}/alerts")).json()["alerts"]
                if alerts:
                    newest: dict[str, Any] = alerts[-1]
                    return newest
                await asyncio.sleep(0.2)
        raise Timeout(f"The shop's monitor raised no alert within {_ALERT_WITHIN_S:.0f} s of the bad deploy.")

    def _service(self, release: Release) -> ProcessSpec:
        door = self._doors[release.service].fileno()
        environment = {
            "SHOP_VERSION": release.name,
            "SHOP_LISTEN_FD": str(door),
            "SHOP_DATABASE_URL": self._config.database.service_url(release.service),
            "SHOP_RUN_DIR": str(self._config.run_dir),
        }
        if release.service in _PEERS:
            environment["SHOP_PEER_URL"] = self.url(_PEERS[release.service])
        ready_url = f"{self.url(release.service)}/readyz?version={release.version}"
        return self._spec(_process_name(release), "service", environment, ready_url, door)

    def _monitor(self) -> ProcessSpec:
        config = self._config
        environment = {
            "SHOP_PORT": str(config.ports["monitor"]),
            "SHOP_TARGETS": json.dumps({service: self.url(service) for service in SERVICES}),
            "SHOP_DATABASE_URL": config.database.monitor_url,
            "SHOP_CHANGES_FILE": str(config.run_dir / "changes.json"),
            "SHOP_PAGERDUTY_SERVICE_ID": config.pagerduty_service_id,
        }
        if config.webhook_url is not None and config.webhook_secret is not None:
            environment |= {"SHOP_WEBHOOK_URL": config.webhook_url, "SHOP_WEBHOOK_SECRET": config.webhook_secret}
        return self._spec("shop-monitor", "monitor", environment, f"{self.url('monitor')}/readyz")

    def _load(self) -> ProcessSpec:
        environment = {"SHOP_WEB_URL": self.url("web"), "SHOP_LOAD_RATE": str(self._config.load_rate)}
        return self._spec("shop-load", "load", environment, None)

    def _spec(
        self, name: str, module: str, environment: Mapping[str, str], ready_url: str | None, *inherited: int
    ) -> ProcessSpec:
        self._processes.append(name)
        return ProcessSpec(
            name=name,
            command=(sys.executable, "-m", f"incidentfox.local.shop.{module}"),
            environment=environment,
            log_file=self._config.run_dir / f"{name}.log",
            ready_url=ready_url,
            ready_within_s=30.0,
            inherited=inherited,
        )

    def _say(self, name: str, text: str) -> None:
        self._on_stage(Stage(name, text, time.time()))


def _process_name(release: Release) -> str:
    return f"shop-{release.name}"


def _clean(folder: Path) -> None:
    """An incident of an earlier run must not be found in this one."""
    folder.mkdir(parents=True, exist_ok=True)
    for service in SERVICES:
        logs_file(folder, service).unlink(missing_ok=True)
        spans_file(folder, service).unlink(missing_ok=True)
