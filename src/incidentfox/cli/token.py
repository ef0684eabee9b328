"""`incidentfox token …`: team tokens and organisation admin tokens."""

from __future__ import annotations

from typing import Annotated

import typer

from incidentfox.cli.output import Json, age, print_items, print_object
from incidentfox.cli.session import Session, call
from incidentfox.contracts.page import Page
from incidentfox.contracts.tokens import CreatedToken, CreateToken, Token

app = typer.Typer(help="Bearer tokens of teams and organisation admins.")


@app.command("list")
def list_tokens(as_json: Json = False) -> None:
    """List the organisation's tokens, without their secrets."""

    async def fetch(session: Session) -> Page[Token]:
        return await session.config_service.tokens(session.org_id)

    print_items(
        call(fetch).items,
        (
            ("TOKEN", lambda token: token.token_id),
            ("NAME", lambda token: token.name),
            ("KIND", lambda token: token.kind),
            ("TEAM", lambda token: token.team_node_id),
            ("STATE", lambda token: "revoked" if token.revoked_at else "live"),
            ("AGE", lambda token: age(token.created_at)),
        ),
        as_json=as_json,
        empty="No tokens.",
    )


@app.command("create")
def create_token(
    name: Annotated[str, typer.Argument(help="A name to recognise it by.")],
    team: Annotated[
        str | None, typer.Option(help="Bind it to this team; without it, an organisation admin token.")
    ] = None,
    expires_in_days: Annotated[int | None, typer.Option(min=1, max=366)] = None,
    as_json: Json = False,
) -> None:
    """Create a token. Its secret is printed once."""

    async def create(session: Session) -> CreatedToken:
        seconds = expires_in_days * 86400 if expires_in_days else None
        request = CreateToken(name=name, team_node_id=team, expires_in_s=seconds)
        return await session.config_service.create_token(session.org_id, request)

    created = call(create)
    if as_json:
        print(created.model_dump_json(indent=2))
        return
    print_object(created.token, as_json=False)
    typer.echo(f"\nsecret (shown once): {created.secret}")


@app.command("revoke")
def revoke_token(token_id: Annotated[str, typer.Argument(help="The token's id.")], as_json: Json = False) -> None:
    """Revoke a token, at once."""

    async def revoke(session: Session) -> Token:
        return await session.config_service.revoke_token(session.org_id, token_id)

    print_object(call(revoke), as_json=as_json)
