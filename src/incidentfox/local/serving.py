"""Services for the length of one command: those that run already, or a throw-away installation of its own.

Handed to the CLI by the entry point (`cli/place.py`). The throw-away one has a home in the temporary folder and an
embedded Postgres whatever DATABASE_URL says: nobody's data is touched, and nothing is left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from incidentfox.cli.place import Place, Say
from incidentfox.cli.settings import CliSettings
from incidentfox.clients.config_service import ConfigServiceClient, TokenCredential
from incidentfox.clients.orchestrator import OrchestratorClient
from incidentfox.kernel.errors import Failure, Temporary
from incidentfox.local.installation import choose_own_ports
from incidentfox.local.postgres import EmbeddedPostgres
from incidentfox.local.processes import orphans
from incidentfox.local.settings import LocalSettings
from incidentfox.local.stack import SERVICES
from incidentfox.local.up import running_stack


@asynccontextmanager
async def serving(say: Say) -> AsyncIterator[Place]:
    """The running installation when it answers; else one that is started here and stopped at the end.

    Addresses that the environment names are used as they are: whoever set them does not want another installation.
    """
    settings = CliSettings()
    if settings.config_service_url is not None or await _answers(settings):
        processes = orphans(settings.home_dir / "processes.json")
        names = {service.name for service in SERVICES}
        yield Place(
            settings.profile(), settings.home_dir, {name: pid for name, pid in processes.items() if name in names}
        )
        return
    say("no installation is running: starting one for this command …")
    async with _throw_away(say) as place:
        yield place


async def _answers(settings: CliSettings) -> bool:
    try:
        profile = settings.profile()
    except Failure:
        return False
    config_service = ConfigServiceClient(profile.config_service_url, TokenCredential(profile.token), attempts=1)
    orchestrator = OrchestratorClient(profile.orchestrator_url, TokenCredential(profile.token))
    try:
        await config_service.ready()
        await orchestrator.ready()
    except Temporary:
        return False
    finally:
        await config_service.close()
        await orchestrator.close()
    return True


@asynccontextmanager
async def _throw_away(say: Say) -> AsyncIterator[Place]:
    home = Path(tempfile.mkdtemp(prefix="incidentfox-"))
    choose_own_ports(home)
    settings = LocalSettings(home=home, DATABASE_URL=None)
    try:
        with _terminated_as_interrupted():
            async with running_stack(settings=settings, say=say) as running:
                processes = {service.name: running.stack.supervisor.pid(service.name) for service in SERVICES}
                yield Place(running.profile, home, processes)
    finally:
        # As root, the cluster is not in the home (`local/postgres_host.py`).
        await asyncio.to_thread(EmbeddedPostgres(home / "postgres").destroy)
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM does what Ctrl-C does: the block is left in order, then KeyboardInterrupt goes on.

    Not by raising SIGINT: who was started in the background of a script ignores that.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    terminated = False

    def on_signal() -> None:
        nonlocal terminated
        terminated = True
        if task is not None:
            task.cancel()

    loop.add_signal_handler(signal.SIGTERM, on_signal)
    try:
        yield
    except asyncio.CancelledError:
        if terminated:
            raise KeyboardInterrupt from None
        raise
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
