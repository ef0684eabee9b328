"""`incidentfox route …`: who owns what, and whose event would this be?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from incidentfox.cli.completion import among, sources
from incidentfox.cli.output import Column, Json, age, print_items
from incidentfox.cli.session import Session, call
from incidentfox.contracts.routing import (
    Attempt,
    Identifier,
    IdentifierKind,
    OwnedIdentifier,
    OwnedKind,
    Route,
    RoutingLookup,
)
from incidentfox.contracts.webhooks import DryRunDelivery, DryRunResult

app = typer.Typer(help="Routing of events to teams.")

_PER_PAGE = 200


@app.command("list")
def list_identifiers(
    team: Annotated[str | None, typer.Option(help="Only what this team owns.")] = None,
    kind: Annotated[OwnedKind | None, typer.Option(help="Only identifiers of this kind.")] = None,
    as_json: Json = False,
) -> None:
    """List every identifier with the team that owns it."""

    async def fetch(session: Session) -> list[OwnedIdentifier]:
        found: list[OwnedIdentifier] = []
        cursor: str | None = None
        while True:
            page = await session.config_service.owned_identifiers(
                session.org_id, kind=kind, team=team, cursor=cursor, limit=_PER_PAGE
            )
            found.extend(page.items)
            cursor = page.next_cursor
            if cursor is None:
                return found

    print_items(
        call(fetch),
        (
            (
                "IDENTIFIER",
                lambda owned: owned.given if owned.kind is not OwnedKind.DEFAULT_TEAM else "whatever is left",
            ),
            ("KIND", lambda owned: f"{owned.kind.value}{f':{owned.name}' if owned.name else ''}"),
            ("TEAM", lambda owned: owned.team_node_id),
            ("COMPARED AS", lambda owned: owned.value if owned.value != owned.given else None),
            ("AGE", lambda owned: age(owned.created_at)),
        ),
        as_json=as_json,
        empty="No team owns an identifier here. A team lists its own in its configuration, under `routing`.",
    )


@app.command("lookup")
def lookup(
    identifiers: Annotated[
        list[str], typer.Argument(help="kind=value, e.g. pagerduty_service=PF9KMXH or custom:region=eu-1.")
    ],
    as_json: Json = False,
) -> None:
    """Say which team would get an event with these identifiers, and why. Nothing is sent."""
    request = RoutingLookup(identifiers=tuple(_parse(text) for text in identifiers))

    async def ask(session: Session) -> Route:
        return await session.config_service.who_would_get(session.org_id, request)

    route = call(ask)
    if as_json:
        print(route.model_dump_json(indent=2))
    else:
        _print_route(route)


@app.command("explain")
def explain(
    payload: Annotated[str, typer.Argument(help="A file with the body of the webhook; - reads standard input.")],
    source: Annotated[str, typer.Option(help="Who sent it, e.g. pagerduty or custom.", autocompletion=among(sources))],
    header: Annotated[
        list[str] | None, typer.Option(help="A header that it came with, as `Name: value`; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say which team would get this webhook, and why. It needs no signature: nothing is recorded, nothing runs."""
    delivery = DryRunDelivery(headers=dict(_header(text) for text in header or ()), body=_read(payload))

    async def ask(session: Session) -> DryRunResult:
        return await session.orchestrator.dry_run_delivery(session.org_id, source, delivery)

    result = call(ask)
    if as_json:
        print(result.model_dump_json(indent=2))
        return
    typer.echo(f"{result.source} {result.event_type} → {result.action}: {result.title or '(untitled)'}")
    if result.route is None:
        typer.echo(f"ignored: {result.ignored_because}")
        return
    _print_route(result.route)
    typer.echo("\nIt would start a run, unless its incident has one." if result.starts_run else "\nIt starts no run.")


def _print_route(route: Route) -> None:
    typer.echo(f"{route.team_node_id or 'no team'}: {route.reason}\n")
    columns: tuple[Column[Attempt], ...] = (
        ("TRIED", lambda attempt: attempt.rule.value.replace("_", " ")),
        ("WITH", lambda attempt: _named(attempt.identifier)),
        ("COMPARED AS", lambda attempt: attempt.compared_as),
        ("MATCHED", lambda attempt: attempt.pattern),
        ("TEAM", lambda attempt: attempt.team_node_id),
    )
    print_items(route.tried, columns, as_json=False, empty="Nothing was tried.")


def _named(identifier: Identifier | None) -> str | None:
    if identifier is None:
        return None
    return f"{identifier.kind.value}{f':{identifier.name}' if identifier.name else ''}={identifier.value}"


def _read(path: str) -> str:
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{path} cannot be read as text: {error}.") from error


def _header(text: str) -> tuple[str, str]:
    name, separator, value = text.partition(":")
    if not separator or not name.strip():
        raise typer.BadParameter(f"{text!r} is not `Name: value`.")
    return name.strip(), value.strip()


def _parse(text: str) -> Identifier:
    kind, separator, value = text.partition("=")
    kind, _, name = kind.partition(":")
    if not separator or kind not in set(IdentifierKind):
        kinds = ", ".join(IdentifierKind)
        raise typer.BadParameter(f"{text!r} is not kind=value with a kind of: {kinds}.")
    return Identifier(kind=IdentifierKind(kind), value=value, name=name or None)
