"""`incidentfox audit …`: what happened, who did it, and whether the record is whole."""

from __future__ import annotations

import sys
import tempfile
from contextlib import nullcontext
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Annotated

import typer

from incidentfox.cli.audit_chain import Verdict, parse_point, verify_lines
from incidentfox.cli.output import Json, print_items, print_object
from incidentfox.cli.session import Session, call, fail
from incidentfox.contracts.audit import AuditChain, AuditEvent, AuditFilters, ExportFormat
from incidentfox.contracts.page import Page
from incidentfox.kernel.errors import Failure

app = typer.Typer(help="The append-only audit events of the organisation, and the chain that proves them.")

Since = Annotated[datetime | None, typer.Option("--from", help="At or after this time, UTC: 2026-11-01 or …T10:00:00.")]
Until = Annotated[datetime | None, typer.Option("--to", help="Before this time, UTC.")]
Known = Annotated[
    list[str] | None,
    typer.Option(
        "--known", metavar="SEQ:HASH", help="A point of the chain that you kept; it must still run through it."
    ),
]


@app.command("list")
def list_events(
    action: Annotated[str | None, typer.Option(help="Only this action, e.g. configuration.updated.")] = None,
    actor: Annotated[str | None, typer.Option(help="Only by this subject, e.g. user:ana@example.com.")] = None,
    target: Annotated[str | None, typer.Option(help="Only about this.")] = None,
    team: Annotated[str | None, typer.Option(help="Only of this team.")] = None,
    correlation_id: Annotated[str | None, typer.Option("--correlation", help="Only with this correlation id.")] = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    cursor: Annotated[str | None, typer.Option(help="`next_cursor` of the page before.")] = None,
    as_json: Json = False,
) -> None:
    """List audit events, newest first."""
    wanted = AuditFilters(
        action=action,
        actor=actor,
        target=target,
        team_node_id=team,
        correlation_id=correlation_id,
        since=_utc(since),
        until=_utc(until),
    )

    async def fetch(session: Session) -> Page[AuditEvent]:
        return await session.config_service.audit_events(session.org_id, wanted=wanted, cursor=cursor, limit=limit)

    found = call(fetch)
    print_items(
        found.items,
        (
            ("AT", lambda event: f"{event.at:%Y-%m-%d %H:%M:%S}"),
            ("ACTION", lambda event: event.action),
            ("TARGET", lambda event: event.target),
            ("ACTOR", lambda event: event.actor),
            ("CORRELATION", lambda event: event.correlation_id),
        ),
        as_json=as_json,
        empty="No audit events.",
    )
    if found.next_cursor is not None:
        typer.echo(f"more: --cursor {found.next_cursor}", err=True)


@app.command("head")
def head(as_json: Json = False) -> None:
    """Where the chain ends now. Keep it: `verify --known` later shows that nothing up to here was rewritten."""

    async def fetch(session: Session) -> AuditChain:
        return await session.config_service.audit_chain(session.org_id)

    chain = call(fetch)
    if as_json:
        print_object(chain, as_json=True)
    else:
        typer.echo(f"{chain.end.seq}:{chain.end.hash}")


@app.command("export")
def export(
    form: Annotated[ExportFormat, typer.Option("--format", help="ndjson or csv.")] = ExportFormat.NDJSON,
    since: Since = None,
    until: Until = None,
    output: Annotated[Path | None, typer.Option(help="Write here instead of to standard output.")] = None,
) -> None:
    """Export the chain with its events; a span of time is widened to an unbroken part of the chain."""

    with output.open("wb") if output else nullcontext(sys.stdout.buffer) as file:
        call(lambda session: _fetch(session, file, form, since, until))


@app.command("verify")
def verify(
    file: Annotated[Path | None, typer.Argument(help="An export, checked offline; without it, the live chain.")] = None,
    known: Known = None,
) -> None:
    """Check the chain and name its first broken link: exit code 0 when it is whole, 1 when it is not."""
    try:
        points = tuple(parse_point(text) for text in known or ())
        with file.open("rb") if file else tempfile.TemporaryFile() as content:
            if file is None:
                call(lambda session: _fetch(session, content, ExportFormat.NDJSON, None, None))
                content.seek(0)
            verdict = verify_lines(TextIOWrapper(content, encoding="utf-8", newline=""), points)
    except Failure as failure:
        fail(failure)
    _tell(verdict)


def _tell(verdict: Verdict) -> None:
    for note in verdict.notes:
        typer.echo(f"note: {note}")
    if verdict.broken is None:
        typer.echo(f"whole: {verdict.links} links, up to {verdict.end.seq}:{verdict.end.hash}")
        return
    typer.secho(f"BROKEN at link {verdict.broken.seq}: {verdict.broken.reason}", fg=typer.colors.RED)
    if verdict.event:
        typer.echo(f"  found there: {verdict.event}")
    typer.echo(f"  whole before that: {verdict.links} links")
    raise typer.Exit(1)


async def _fetch(
    session: Session, file: IO[bytes], form: ExportFormat, since: datetime | None, until: datetime | None
) -> None:
    service = session.config_service
    async with service.export_audit_chain(session.org_id, form, since=_utc(since), until=_utc(until)) as content:
        async for piece in content:
            file.write(piece)


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment
