"""Where a command's services are: an installation that runs already, or one that is started for the command.

The CLI only talks to services; who can start them (`incidentfox.local`) hands a `PlaceFactory` to the command tree as
its context object (`incidentfox.__main__`). Without one, a command uses the profile in force.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from incidentfox.cli.session import fail
from incidentfox.kernel.errors import Failure

if TYPE_CHECKING:
    from incidentfox.cli.settings import Profile

Result = TypeVar("Result")


@dataclass(frozen=True)
class Place:
    """A set of running services. `home` is where the CLI keeps what it makes there.

    `processes`: the pid of each service that runs on this machine, by name; empty where they run elsewhere.
    """

    profile: Profile
    home: Path
    processes: Mapping[str, int] = field(default_factory=dict)


Say = Callable[[str], None]
PlaceFactory = Callable[[Say], AbstractAsyncContextManager[Place]]
"""Opens a place for the length of one command; what it does meanwhile is said, a line at a time."""


def in_place(context: typer.Context, command: Callable[[Place], Awaitable[Result]]) -> Result:
    """Runs a command where services are; a Failure is printed with what to do next, and the exit code is 1."""
    import asyncio

    factory: PlaceFactory = context.obj or _as_the_profile_says

    async def run() -> Result:
        async with factory(say) as place:
            return await command(place)

    try:
        return asyncio.run(run())
    except Failure as failure:
        fail(failure)
    raise AssertionError("unreachable: fail() exits")


def say(line: str) -> None:
    """Progress goes to standard error: standard output is the result's."""
    typer.secho(line, dim=True, err=True)


@asynccontextmanager
async def _as_the_profile_says(_: Say) -> AsyncIterator[Place]:
    from incidentfox.cli.settings import CliSettings

    settings = CliSettings()
    yield Place(settings.profile(), settings.home_dir)
