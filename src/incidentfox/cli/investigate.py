"""`incidentfox investigate PATH`: one recorded incident through the whole path, followed in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from incidentfox.cli.output import Json
from incidentfox.cli.place import Place, in_place, say
from incidentfox.cli.session import fail
from incidentfox.kernel.errors import Failure

if TYPE_CHECKING:
    from incidentfox.cli.investigation import Investigated
    from incidentfox.contracts.events import RunEvent
    from incidentfox.contracts.runs import Run

Team = Annotated[
    str | None, typer.Option(help="The team whose agent investigates. Default: the service's owner, else `evaluation`.")
]
TimeoutS = Annotated[float, typer.Option("--timeout", min=1, help="Seconds that one investigation may take.")]
EndpointId = Annotated[
    str | None,
    typer.Option(
        "--endpoint",
        help="Send to this `custom` endpoint, signed with INCIDENTFOX_WEBHOOK_SECRET; default: an own one.",
    ),
]


def investigate(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(help="The folder of one recorded incident (it holds an alert.json).")],
    team: Team = None,
    timeout_s: TimeoutS = 300.0,
    endpoint: EndpointId = None,
    as_json: Json = False,
) -> None:
    """Investigate a recorded incident through the whole path, and print the answer.

    Uses the installation that runs, or starts one for itself. Exits 0 when an answer was given.
    """
    from incidentfox.cli.recorded import read_recorded

    try:
        incident = read_recorded(path)
    except Failure as failure:
        fail(failure)
    for warning in incident.warnings:
        say(f"{incident.name}: {warning}")

    async def run(place: Place) -> Investigated:
        from incidentfox.cli.investigation import open_investigator, recipient

        opened = open_investigator(place, recipient(team), timeout_s=timeout_s, endpoint_id=endpoint)
        async with opened as investigator:
            return await investigator.investigate(incident, _ignore if as_json else _show)

    found = in_place(context, run)
    _print(found.run, as_json=as_json)
    raise typer.Exit(0 if found.run.answer is not None else 1)


def _show(event: RunEvent) -> None:
    from incidentfox.cli.timeline import describe

    typer.echo(describe(event))


def _ignore(_: RunEvent) -> None:
    """JSON is the result alone."""


def _print(run: Run, *, as_json: bool) -> None:
    from incidentfox.cli.answer import print_run

    if as_json:
        print(run.model_dump_json(indent=2))
    else:
        typer.echo()
        print_run(run)
