"""`incidentfox up`, `down` and `status`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2

from incidentfox.cli.output import console
from incidentfox.cli.place import Say
from incidentfox.cli.settings import Profile
from incidentfox.kernel.errors import Conflict
from incidentfox.local.installation import open_installation
from incidentfox.local.postgres import EmbeddedPostgres
from incidentfox.local.processes import end_orphans, running_supervisor
from incidentfox.local.seed import Seeder
from incidentfox.local.settings import LocalSettings
from incidentfox.local.stack import SERVICES, Stack

_STOP_S = 60.0


@dataclass(frozen=True)
class Running:
    """A started stack, seeded."""

    stack: Stack
    seeder: Seeder
    profile: Profile


def _say(line: str) -> None:
    console.print(line, style="dim")


@asynccontextmanager
async def running_stack(
    *more_roles: str, settings: LocalSettings | None = None, say: Say = _say
) -> AsyncIterator[Running]:
    """Starts everything, seeds it, and stops everything in order when the block ends, however it ends."""
    stack = Stack(settings or LocalSettings(), *more_roles)
    state_file = stack.installation.home / "processes.json"
    if (supervisor := running_supervisor(state_file)) is not None:
        raise Conflict(
            f"It is running already (pid {supervisor}). Stop it with `incidentfox down`, or set INCIDENTFOX_HOME.",
            code="already_running",
        )
    await end_orphans(state_file)
    try:
        say("starting Postgres and migrating …")
        await _to_its_end(stack.start_database)
        say("starting " + ", ".join(service.name for service in SERVICES) + " …")
        await stack.start_services()
        seeder = Seeder(stack)
        try:
            yield Running(stack, seeder, await seeder.seed())
        finally:
            await seeder.close()
    finally:
        say("stopping …")
        await stack.stop()


async def _to_its_end(work: Callable[[], None]) -> None:
    """Runs blocking work in a thread. A thread cannot be cancelled, so whoever is waits for what is to be stopped."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(running)
    finally:
        await asyncio.wait([running])


async def run_up() -> int:
    """Keeps the stack running until SIGINT or SIGTERM. Returns the exit code."""
    with stop_signal() as stopped:
        async with running_stack() as running:
            link = await running.seeder.sign_in_link(running.profile)
            console.print(f"\nIncidentFox is up. Organisation [bold]{running.profile.org_id}[/bold].")
            console.print(f"  console      {running.profile.console_url}")
            console.print(f"  sign in      {link}  (once, within 10 minutes)", soft_wrap=True)
            console.print(f"  logs         {running.stack.installation.logs}")
            console.print("  next         incidentfox endpoint create --source pagerduty NAME")
            console.print("\nCtrl-C stops it.")
            await stopped.wait()
    return 0


async def run_down() -> int:
    """Stops a running installation, or what a killed one left behind."""
    settings = LocalSettings()
    installation = open_installation(settings.home_dir)
    state_file = installation.home / "processes.json"
    supervisor = running_supervisor(state_file)
    if supervisor is not None:
        os.kill(supervisor, signal.SIGTERM)
        deadline = asyncio.get_running_loop().time() + _STOP_S
        while running_supervisor(state_file) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.1)
    await end_orphans(state_file)
    if settings.database_url is None:
        await asyncio.to_thread(EmbeddedPostgres(installation.postgres).stop)
    console.print("Stopped." if supervisor else "Nothing was running.")
    return 0


async def run_status() -> int:
    """Prints each process and whether it is ready. Returns 1 when one is not."""
    installation = open_installation(LocalSettings().home_dir)
    ready = 0
    async with httpx2.AsyncClient(timeout=3.0) as http:
        for service in SERVICES:
            url = installation.url(service.name)
            answer = None
            with contextlib.suppress(httpx2.TransportError):
                answer = await http.get(f"{url}/readyz")
            is_ready = answer is not None and answer.status_code == 200
            ready += is_ready
            state = "ready" if is_ready else "not ready" if answer is not None else "not running"
            console.print(f"{service.name:<16} {state:<12} {url}")
    return 0 if ready == len(SERVICES) else 1


@contextlib.contextmanager
def stop_signal() -> Iterator[asyncio.Event]:
    """An event that SIGINT or SIGTERM sets; a second signal interrupts at once."""
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    task = asyncio.current_task()

    def on_signal() -> None:
        if event.is_set() and task is not None:
            task.cancel()
        event.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    try:
        yield event
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
