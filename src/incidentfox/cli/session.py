"""One command's connection to the services, and the one place where a failure becomes a message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, TypeVar

import typer

from incidentfox.kernel.errors import Failure

if TYPE_CHECKING:
    from incidentfox.cli.settings import Profile
    from incidentfox.clients.agent import AgentClient
    from incidentfox.clients.config_service import ConfigServiceClient
    from incidentfox.clients.orchestrator import OrchestratorClient

Result = TypeVar("Result")


@dataclass(frozen=True)
class Session:
    """The clients of one command, acting with the profile's token in the profile's organisation."""

    profile: Profile
    config_service: ConfigServiceClient
    orchestrator: OrchestratorClient
    agent: AgentClient

    @property
    def org_id(self) -> str:
        """The organisation that the command is about."""
        return self.profile.org_id


def call(command: Callable[[Session], Awaitable[Result]]) -> Result:
    """Runs a command against the services; a Failure is printed with what to do next, and the exit code is 1."""
    try:
        return asyncio.run(_with_session(command))
    except Failure as failure:
        fail(failure)


def fail(failure: Failure) -> NoReturn:
    """Prints the failure and leaves."""
    typer.secho(f"error: {failure.detail} [{failure.code}]", fg=typer.colors.RED, err=True)
    for error in failure.errors:
        typer.secho(f"  {error.pointer}: {error.message}", err=True)
    raise typer.Exit(1)


@asynccontextmanager
async def open_session(profile: Profile) -> AsyncIterator[Session]:
    """The clients for this profile, closed at the end."""
    # Imported here so that `--help` does not pay for an HTTP stack that it never uses.
    from incidentfox.clients.agent import AgentClient
    from incidentfox.clients.config_service import ConfigServiceClient
    from incidentfox.clients.orchestrator import OrchestratorClient
    from incidentfox.clients.transport import TokenCredential

    credential = TokenCredential(profile.token)
    session = Session(
        profile,
        ConfigServiceClient(profile.config_service_url, credential),
        OrchestratorClient(profile.orchestrator_url, credential),
        AgentClient(profile.agent_url, credential),
    )
    try:
        yield session
    finally:
        await session.config_service.close()
        await session.orchestrator.close()
        await session.agent.close()


async def _with_session(command: Callable[[Session], Awaitable[Result]]) -> Result:
    from incidentfox.cli.settings import CliSettings

    async with open_session(CliSettings().profile()) as session:
        return await command(session)
