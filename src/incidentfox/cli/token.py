"""`incidentfox token …`: team tokens and organisation admin tokens."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from incidentfox.cli.output import Json, age, print_items, print_object
from incidentfox.cli.session import Session, call
from incidentfox.contracts.page import Page
from incidentfox.contracts.permissions import Permission, Role
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
            ("USER", lambda token: token.user),
            ("NODE", lambda token: token.team_node_id or token.org_id),
            ("ROLE", lambda token: token.role or f"{len(token.scopes)} scopes"),
            ("STATE", _state),
            ("USED", lambda token: age(token.last_used_at)),
            ("AGE", lambda token: age(token.created_at)),
        ),
        as_json=as_json,
        empty="No tokens.",
    )


@app.command("create")
def create_token(
    name: Annotated[str, typer.Argument(help="A name to recognise it by.")],
    node: Annotated[str | None, typer.Option(help="Bind it to this unit or team; without, the organisation.")] = None,
    role: Annotated[Role | None, typer.Option(help="What it may do there and below.")] = None,
    scope: Annotated[
        list[Permission] | None, typer.Option(help="A single permission instead of a role; may be repeated.")
    ] = None,
    user: Annotated[
        str | None, typer.Option(help="Whose personal token it is, e.g. ana@example.com: they act under that name.")
    ] = None,
    expires_in_days: Annotated[int | None, typer.Option(min=1, max=366)] = None,
    as_json: Json = False,
) -> None:
    """Create a token. Its secret is printed once. Without role and scopes, it may do all that its kind may."""

    async def create(session: Session) -> CreatedToken:
        seconds = expires_in_days * 86400 if expires_in_days else None
        request = CreateToken(
            name=name, node_id=node, role=role, scopes=tuple(scope or ()), user=user, expires_in_s=seconds
        )
        return await session.config_service.create_token(session.org_id, request)

    _print_created(call(create), as_json=as_json)


@app.command("rotate")
def rotate_token(
    token_id: Annotated[str, typer.Argument(help="The token's id.")],
    overlap_hours: Annotated[int, typer.Option(min=0, max=720, help="Hours for which both work; 0: none.")] = 24,
    as_json: Json = False,
) -> None:
    """Replace a token by one with the same rights. The new secret is printed once."""

    async def rotate(session: Session) -> CreatedToken:
        return await session.config_service.rotate_token(session.org_id, token_id, overlap_hours * 3600)

    _print_created(call(rotate), as_json=as_json)


@app.command("revoke")
def revoke_token(token_id: Annotated[str, typer.Argument(help="The token's id.")], as_json: Json = False) -> None:
    """Revoke a token, at once."""

    async def revoke(session: Session) -> Token:
        return await session.config_service.revoke_token(session.org_id, token_id)

    print_object(call(revoke), as_json=as_json)


def _print_created(created: CreatedToken, *, as_json: bool) -> None:
    if as_json:
        print(created.model_dump_json(indent=2))
        return
    print_object(created.token, as_json=False)
    typer.echo(f"\nsecret (shown once): {created.secret}")


def _state(token: Token) -> str:
    """In a word, whether it still works."""
    if token.revoked_at is not None:
        return "revoked"
    if token.expires_at is not None and token.expires_at <= datetime.now(UTC):
        return "expired"
    return "rotated" if token.rotated_to is not None else "live"
