"""`incidentfox config …`: a node's own document and a team's effective configuration."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from incidentfox.cli.session import Session, call
from incidentfox.contracts.configuration import ConfigurationVersion, EffectiveConfiguration

app = typer.Typer(help="Configuration: agents, prompts, tools, integrations, routing, destinations.")

NodeId = Annotated[str, typer.Argument(help="The node.")]
File = Annotated[Path, typer.Argument(help="A JSON file, or - for standard input.")]
IfMatch = Annotated[int | None, typer.Option("--if-match", help="Only if this is still the current version.")]


@app.command("get")
def get_configuration(node_id: NodeId) -> None:
    """Print a node's own document with its version."""

    async def fetch(session: Session) -> ConfigurationVersion:
        return await session.config_service.configuration(session.org_id, node_id)

    print(call(fetch).model_dump_json(indent=2, by_alias=True))


@app.command("effective")
def get_effective(team: Annotated[str, typer.Argument(help="The team.")]) -> None:
    """Print a team's effective configuration, its hash and the levels it came from."""

    async def fetch(session: Session) -> EffectiveConfiguration:
        return await session.config_service.effective(session.org_id, team)

    print(call(fetch).model_dump_json(indent=2, by_alias=True))


@app.command("put")
def put_configuration(node_id: NodeId, file: File, if_match: IfMatch = None) -> None:
    """Replace a node's own document."""
    document = _read(file)

    async def write(session: Session) -> ConfigurationVersion:
        return await session.config_service.put_configuration(session.org_id, node_id, document, if_match=if_match)

    _say_written(call(write))


@app.command("patch")
def patch_configuration(node_id: NodeId, file: File, if_match: IfMatch = None) -> None:
    """Merge a patch (RFC 7396: null removes) into a node's own document."""
    patch = _read(file)

    async def write(session: Session) -> ConfigurationVersion:
        return await session.config_service.patch_configuration(session.org_id, node_id, patch, if_match=if_match)

    _say_written(call(write))


def _read(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(sys.stdin.read() if str(file) == "-" else file.read_text())
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{file} is not a readable JSON file: {error}") from error
    if not isinstance(document, dict):
        raise typer.BadParameter("A configuration document is a JSON object.")
    return document


def _say_written(version: ConfigurationVersion) -> None:
    typer.echo(f"{version.node_id} is at version {version.version} ({version.hash})")
