"""`incidentfox run …`: investigations, their answers and their timelines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from incidentfox.cli.answer import print_run
from incidentfox.cli.completion import among, run_states
from incidentfox.cli.exported import write_recording
from incidentfox.cli.output import Json, age, print_items
from incidentfox.cli.replayed import print_replay
from incidentfox.cli.session import Session, call, fail
from incidentfox.cli.timeline import describe
from incidentfox.contracts.page import Page
from incidentfox.contracts.recordings import RecordingContent
from incidentfox.contracts.replay import Replay
from incidentfox.contracts.runs import CancelRun, Run
from incidentfox.kernel.errors import Permanent

app = typer.Typer(help="Investigations: what was found, on what evidence, and where it was posted.")

RunId = Annotated[str, typer.Argument(help="The run, e.g. run_01jd….")]


@app.command("list")
def list_runs(
    team: Annotated[str | None, typer.Option(help="Only this team's runs.")] = None,
    status: Annotated[
        str | None, typer.Option(help="Only runs in this state.", autocompletion=among(run_states))
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    as_json: Json = False,
) -> None:
    """List runs, newest first."""

    async def fetch(session: Session) -> Page[Run]:
        return await session.config_service.runs(session.org_id, team=team, status=status, limit=limit)

    print_items(
        call(fetch).items,
        (
            ("RUN", lambda run: run.run_id),
            ("STATUS", lambda run: run.status),
            ("TEAM", lambda run: run.team_node_id),
            ("AGE", lambda run: age(run.created_at)),
            ("ROOT CAUSE", _verdict),
        ),
        as_json=as_json,
        empty="No runs yet. An incident that reaches a webhook endpoint starts one.",
    )


@app.command("show")
def show_run(run_id: RunId, as_json: Json = False) -> None:
    """Show a run with its answer."""

    async def fetch(session: Session) -> Run:
        return await session.config_service.run(session.org_id, run_id)

    run = call(fetch)
    if as_json:
        print(run.model_dump_json(indent=2))
    else:
        print_run(run)


@app.command("watch")
def watch_run(run_id: RunId, as_json: Json = False) -> None:
    """Follow a run's timeline from its beginning until it ends."""

    async def follow(session: Session) -> None:
        async with session.config_service.stream_run_events(session.org_id, run_id) as events:
            async for event in events:
                typer.echo(event.model_dump_json() if as_json else describe(event))

    call(follow)


@app.command("cancel")
def cancel_run(
    run_id: RunId,
    reason: Annotated[str, typer.Option(help="Why, for those who read the run later.", metavar="TEXT")] = "",
    as_json: Json = False,
) -> None:
    """Cancel a run that is queued or running. It stops within seconds and posts nothing."""

    async def cancel(session: Session) -> Run:
        return await session.config_service.cancel_run(session.org_id, run_id, CancelRun(reason=reason))

    run = call(cancel)
    if as_json:
        print(run.model_dump_json(indent=2))
    else:
        typer.echo(f"{run.run_id} is cancelled; nothing was posted.")


@app.command("replay")
def replay_run(run_id: RunId, as_json: Json = False) -> None:
    """Replay a finished run from what is on record; exit code 1 when a tool call or the answer is not what it was.

    No telemetry is read, no model is asked, nothing is posted.
    """

    async def fetch(session: Session) -> Replay:
        if not session.profile.agent_url:
            raise Permanent("The agent's address is not known. Set INCIDENTFOX_AGENT_URL.", code="no_profile")
        return await session.agent.replay(session.org_id, run_id)

    replay = call(fetch)
    if as_json:
        print(replay.model_dump_json(indent=2))
    else:
        print_replay(replay)
    if not replay.equal:
        raise typer.Exit(1)


@app.command("export")
def export_run(
    run_id: RunId,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
) -> None:
    """Write a run as a recorded incident: its alert and what it read. `investigate` and `evaluate` take the folder."""

    async def fetch(session: Session) -> RecordingContent:
        return await session.config_service.run_recording(session.org_id, run_id)

    try:
        written = write_recording(folder, call(fetch))
    except Permanent as failure:
        fail(failure)
    else:
        typer.echo(f"{folder}: {', '.join(written)}")
        typer.echo(f"Investigate it again with `incidentfox investigate {folder}`.")


def _verdict(run: Run) -> str:
    if run.answer is None:
        return run.error or "-"
    if run.answer.root_cause is None:
        return "not enough evidence"
    cause = run.answer.root_cause
    change = f" @ {cause.change[:10]}" if cause.change else ""
    return f"{cause.service}{change} ({run.answer.confidence:.0%})"
