"""The commands that run things here: `serve`, `migrate`, `up`, `down`, `demo`, `status`, `doctor`.

`serve` and `migrate` are production's entry points too; the others are for one machine.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from incidentfox.cli.completion import among

if TYPE_CHECKING:  # what a command needs, it imports itself: `--help` needs none of it
    from incidentfox.cli.place import Place, Say

SERVICE_MODULES = {
    "config-service": "incidentfox.config_service.main",
    "orchestrator": "incidentfox.orchestrator.main",
    "worker": "incidentfox.orchestrator.worker",
    "agent": "incidentfox.agent.main",
    "console": "incidentfox.console.main",
}
"""What `incidentfox serve` can serve. Named as text: `local` starts services as processes and imports none of them."""


def register(app: typer.Typer) -> None:
    """Adds the commands to the CLI's tree; called by the entry point."""
    app.command("serve")(serve)
    app.command("migrate")(migrate)
    app.command("prune-audit")(prune_audit)
    app.command("up")(up)
    app.command("down")(down)
    app.command("demo")(demo)
    app.command("status")(status)
    app.command("doctor")(doctor)


@asynccontextmanager
async def open_place(say: Say) -> AsyncIterator[Place]:
    """Services for a command of the CLI that needs some (`cli/place.py`)."""
    from incidentfox.local.serving import serving

    async with serving(say) as place:
        yield place


def serve(
    service: Annotated[
        str,
        typer.Argument(help=f"One of: {', '.join(SERVICE_MODULES)}.", autocompletion=among(lambda: SERVICE_MODULES)),
    ],
) -> None:
    """Run one service until SIGTERM. Its settings are read from INCIDENTFOX_… variables."""
    from pydantic import ValidationError

    from incidentfox.cli.session import fail
    from incidentfox.kernel.errors import Failure

    if service not in SERVICE_MODULES:
        raise typer.BadParameter(f"{service!r} is none of {', '.join(SERVICE_MODULES)}.")
    try:
        importlib.import_module(SERVICE_MODULES[service]).main()
    except ValidationError as error:
        for problem in error.errors():
            variable = f"INCIDENTFOX_{'_'.join(str(part) for part in problem['loc']).upper()}"
            typer.secho(f"error: {variable}: {problem['msg']} (docs/reference/settings.md)", fg="red", err=True)
        raise typer.Exit(2) from None
    except Failure as failure:
        fail(failure)


def migrate() -> None:
    """Bring the shared Postgres to the newest schema, as its owner (INCIDENTFOX_OWNER_DATABASE_URL)."""
    from incidentfox import migrations
    from incidentfox.cli.session import fail
    from incidentfox.kernel.errors import Failure

    try:
        migrations.migrate(_owner_database_url())
    except Failure as failure:
        fail(failure)
    typer.echo(f"The database is at revision {migrations.head_revision()}.")


def prune_audit(
    before: Annotated[datetime, typer.Option(help="Drop what is older than this, UTC: 2026-01-01.")],
    org: Annotated[str, typer.Option(help="The organisation.")],
) -> None:
    """Drop the oldest audit events, as the tables' owner (INCIDENTFOX_OWNER_DATABASE_URL). The rest still verifies."""
    import asyncio
    from datetime import UTC

    from incidentfox import migrations
    from incidentfox.cli.session import fail
    from incidentfox.kernel.errors import Failure

    moment = before if before.tzinfo else before.replace(tzinfo=UTC)
    try:
        pruned = asyncio.run(migrations.prune_audit(_owner_database_url(), org, moment))
    except Failure as failure:
        fail(failure)
    typer.echo(f"dropped {pruned.events} events; the chain begins after {pruned.start.seq}:{pruned.start.hash}")


def up() -> None:
    """Start everything on this machine and keep it running until Ctrl-C or `incidentfox down`."""
    from incidentfox.local.up import run_up

    _run(run_up)


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Exit when the answer is posted: 0 when it is the right one, 1 otherwise.")
    ] = False,
) -> None:
    """Let a real incident happen in a small shop on this machine, and watch it being investigated."""
    from incidentfox.local.demo import run_demo

    _run(lambda: run_demo(once=once))


def down() -> None:
    """Stop what `incidentfox up` or `incidentfox demo` started, from another terminal or after a crash."""
    from incidentfox.local.up import run_down

    _run(run_down)


def status() -> None:
    """Say what of the local installation is running."""
    from incidentfox.local.up import run_status

    _run(run_status)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one finding a line.")] = False,
) -> None:
    """Check every dependency and setting, and say what to do about each finding. Exits 1 when something has failed."""
    from incidentfox.local.doctor import run_doctor

    _run(lambda: run_doctor(as_json=as_json))


def _owner_database_url() -> str:
    from pydantic import ValidationError

    from incidentfox.local.settings import MigrationSettings

    try:
        return MigrationSettings().owner_database_url.get_secret_value()
    except ValidationError:
        raise typer.BadParameter("Set INCIDENTFOX_OWNER_DATABASE_URL to the owner's postgresql:// URL.") from None


def _run(command: Callable[[], Coroutine[Any, Any, int]]) -> None:
    """Runs one asynchronous command; a Failure is printed with what to do next."""
    import asyncio

    from incidentfox.cli.session import fail
    from incidentfox.kernel.errors import Failure

    try:
        code = asyncio.run(command())
    except Failure as failure:
        fail(failure)
    raise typer.Exit(code)
