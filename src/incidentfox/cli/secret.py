"""`incidentfox secret …`: values that configuration refers to by name and nobody can read back."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from incidentfox.cli.config import DryRun
from incidentfox.cli.output import Json, age, print_items, print_object
from incidentfox.cli.session import Session, call
from incidentfox.contracts.configuration import SecretRemoval, SecretSummary

app = typer.Typer(help='Secrets of a node; configuration refers to them as {"$secret": "name"}.')

NodeId = Annotated[str, typer.Argument(help="The node.")]


@app.command("list")
def list_secrets(node_id: NodeId, as_json: Json = False) -> None:
    """List the secrets of a node, without their values."""

    async def fetch(session: Session) -> list[SecretSummary]:
        found: list[SecretSummary] = []
        cursor: str | None = None
        while True:
            page = await session.config_service.secrets(session.org_id, node_id, cursor=cursor, limit=200)
            found += page.items
            cursor = page.next_cursor
            if cursor is None:
                return found

    print_items(
        call(fetch),
        (
            ("SECRET", lambda secret: secret.name),
            ("KEY", lambda secret: secret.key_id),
            ("UPDATED", lambda secret: age(secret.updated_at)),
        ),
        as_json=as_json,
        empty="No secrets.",
    )


@app.command("set")
def set_secret(
    node_id: NodeId, name: Annotated[str, typer.Argument(help="The secret's name.")], as_json: Json = False
) -> None:
    """Write a secret. The value is read from the terminal or from standard input, never from the command line."""
    value = typer.prompt("Value", hide_input=True) if sys.stdin.isatty() else sys.stdin.read().rstrip("\n")

    async def write(session: Session) -> SecretSummary:
        return await session.config_service.put_secret(session.org_id, node_id, name, value)

    print_object(call(write), as_json=as_json)


@app.command("delete")
def delete_secret(
    node_id: NodeId,
    name: Annotated[str, typer.Argument(help="The secret's name.")],
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a secret of a node. Says first which teams refer to it, and what they get from then on."""

    async def look(session: Session) -> SecretRemoval:
        return await session.config_service.delete_secret(session.org_id, node_id, name, dry_run=True)

    async def delete(session: Session) -> SecretRemoval:
        return await session.config_service.delete_secret(session.org_id, node_id, name)

    found = call(look)
    for use in found.uses:
        typer.echo(f"{use.team_node_id} refers to it at {', '.join(use.pointers)}")
    if found.used_by > len(found.uses):
        typer.echo(f"and {found.used_by - len(found.uses)} more teams")
    instead = f"that of {found.falls_back_to}" if found.falls_back_to else "none: no node above has one of this name"
    typer.echo(f"They would get {instead}." if found.used_by else "No team refers to it.")
    if dry_run:
        return
    if not yes:
        typer.confirm("Delete it?", abort=True)
    call(delete)
    typer.echo(f"{name} of {node_id} is deleted.")


@app.command("rotate")
def rotate_master_key() -> None:
    """Move every secret of the organisation, and of its webhooks, to the current master key; runs go on meanwhile."""

    async def move(session: Session) -> None:
        services = (("config-service", session.config_service), ("orchestrator", session.orchestrator))
        for name, service in services:
            moved = 0
            while True:
                step = await service.reencrypt_secrets(session.org_id)
                moved += step.reencrypted
                if step.remaining == 0:
                    break
            typer.echo(f"{name}: {moved} secrets moved to the master key {step.key_id}, none left under another")

    call(move)
