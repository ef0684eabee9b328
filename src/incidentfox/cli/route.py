"""`incidentfox route …`: whose event would this be?"""

from __future__ import annotations

from typing import Annotated

import typer

from incidentfox.cli.output import Json
from incidentfox.cli.session import Session, call
from incidentfox.contracts.routing import Identifier, IdentifierKind, Route, RoutingLookup

app = typer.Typer(help="Routing of events to teams.")


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
        typer.echo(f"{route.team_node_id or 'no team'}: {route.reason}")


def _parse(text: str) -> Identifier:
    kind, separator, value = text.partition("=")
    kind, _, name = kind.partition(":")
    if not separator or kind not in set(IdentifierKind):
        kinds = ", ".join(IdentifierKind)
        raise typer.BadParameter(f"{text!r} is not kind=value with a kind of: {kinds}.")
    return Identifier(kind=IdentifierKind(kind), value=value, name=name or None)
