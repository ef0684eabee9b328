"""`incidentfox config …`: documents of nodes and their versions, what they come to for a team, and why."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from incidentfox.cli.configuration_text import print_changes, print_explanation, print_preview, print_provenance
from incidentfox.cli.output import Json, age, print_items
from incidentfox.cli.progress import progress_line
from incidentfox.cli.session import Session, call

if TYPE_CHECKING:  # building these models takes longer than completing a command; the clients bring them
    from incidentfox.contracts.configuration import ConfigurationVersion, EffectiveConfiguration
    from incidentfox.contracts.explanation import ExplainedConfiguration, VersionDiff, VersionSummary, WritePreview
    from incidentfox.contracts.page import Page

app = typer.Typer(help="Configuration: agents, prompts, tools, integrations, routing, destinations.")

NodeId = Annotated[str, typer.Argument(help="The node.")]
File = Annotated[Path, typer.Argument(help="A JSON file, or - for standard input.")]
IfMatch = Annotated[int | None, typer.Option("--if-match", help="Only if this is still the current version.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what the write would do, and write nothing.")]


def _moment(text: str) -> datetime:
    from pydantic import AwareDatetime, TypeAdapter, ValidationError

    try:
        return TypeAdapter(AwareDatetime).validate_python(text)
    except ValidationError as error:
        raise typer.BadParameter("a moment is RFC 3339 with its offset, e.g. 2026-11-24T03:00:00Z") from error


At = Annotated[datetime | None, typer.Option(parser=_moment, metavar="RFC3339", help="As of this moment.")]


@app.command("show")
def show_configuration(
    node_id: NodeId,
    version: Annotated[int | None, typer.Option(min=0, help="This version instead of the current one.")] = None,
    at: At = None,
) -> None:
    """Print a node's own document with its version: the current one, or an earlier one."""

    async def fetch(session: Session) -> ConfigurationVersion:
        return await session.config_service.configuration(session.org_id, node_id, version=version, at=at)

    print(call(fetch).model_dump_json(indent=2, by_alias=True))


@app.command("effective")
def show_effective(node_id: NodeId, at: At = None) -> None:
    """Print what a node's configuration comes to, its hash and the levels it came from."""

    async def fetch(session: Session) -> EffectiveConfiguration:
        return await session.config_service.effective(session.org_id, node_id, at=at)

    print(call(fetch).model_dump_json(indent=2, by_alias=True))


@app.command("explain")
def explain_configuration(
    node_id: NodeId,
    pointer: Annotated[str, typer.Argument(help="A JSON Pointer, e.g. /budgets; everything unless given.")] = "",
    at: At = None,
    as_json: Json = False,
) -> None:
    """Say for each effective value who set it, in which version, when, and what it overrode."""

    async def fetch(session: Session) -> ExplainedConfiguration:
        return await session.config_service.explained(session.org_id, node_id, at=at)

    explained = call(fetch)
    wanted = pointer.rstrip("/")
    values = [v for v in explained.values if not wanted or v.pointer == wanted or v.pointer.startswith(f"{wanted}/")]
    if not values:
        raise typer.BadParameter(f"the effective configuration of {node_id} has nothing at {pointer!r}")
    if as_json:
        for value in values:
            print(value.model_dump_json())
    elif len(values) == 1:
        print_explanation(values[0])
    else:
        print_provenance(values)


@app.command("history")
def list_versions(
    node_id: NodeId,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Newest versions to list.")] = 20,
    as_json: Json = False,
) -> None:
    """List the versions of a node's own document, newest first."""

    async def fetch(session: Session) -> Page[VersionSummary]:
        return await session.config_service.configuration_versions(session.org_id, node_id, limit=limit)

    print_items(
        call(fetch).items,
        (
            ("VERSION", lambda version: version.version),
            ("AGE", lambda version: age(version.created_at)),
            ("BY", lambda version: version.created_by),
            ("CHANGE REQUEST", lambda version: version.change_request_id),
            ("HASH", lambda version: version.hash[:19]),
        ),
        as_json=as_json,
        empty=f"{node_id} was never configured; it inherits everything.",
    )


@app.command("diff")
def diff_versions(
    node_id: NodeId,
    from_version: Annotated[int, typer.Argument(min=0, help="The older version; 0 is the empty document.")],
    to_version: Annotated[int | None, typer.Argument(min=0, help="The newer one; the current unless given.")] = None,
    as_json: Json = False,
) -> None:
    """Print what changed between two versions of a node's own document."""

    async def fetch(session: Session) -> VersionDiff:
        service, org_id = session.config_service, session.org_id
        newer = to_version if to_version is not None else (await service.configuration(org_id, node_id)).version
        return await service.configuration_diff(org_id, node_id, from_version, newer)

    diff = call(fetch)
    if as_json:
        print(diff.model_dump_json(indent=2))
    elif not diff.changes:
        typer.echo(f"Versions {diff.from_version} and {diff.to_version} of {node_id} are the same.")
    else:
        print_changes(diff.changes)


@app.command("rollback")
def roll_back(
    node_id: NodeId,
    version: Annotated[int, typer.Argument(min=0, help="The version to restore.")],
    if_match: IfMatch = None,
    dry_run: DryRun = False,
) -> None:
    """Write the document of an earlier version again, as a new version."""

    async def write(session: Session) -> ConfigurationVersion:
        service, org_id = session.config_service, session.org_id
        with progress_line() as tell:
            return await service.roll_back_configuration(org_id, node_id, version, if_match=if_match, tell=tell)

    async def preview(session: Session) -> WritePreview:
        service, org_id = session.config_service, session.org_id
        with progress_line() as tell:
            return await service.preview_rollback(org_id, node_id, version, if_match=if_match, tell=tell)

    if dry_run:
        print_preview(call(preview))
    else:
        _say_written(call(write))


@app.command("schema")
def show_schema() -> None:
    """Print the JSON Schema of a node's own document, for an editor."""

    async def fetch(session: Session) -> dict[str, Any]:
        return await session.config_service.configuration_schema()

    print(json.dumps(call(fetch), indent=2))


@app.command("put")
def put_configuration(node_id: NodeId, file: File, if_match: IfMatch = None, dry_run: DryRun = False) -> None:
    """Replace a node's own document."""
    document = read_document(file)

    async def write(session: Session) -> ConfigurationVersion:
        service, org_id = session.config_service, session.org_id
        with progress_line() as tell:
            return await service.put_configuration(org_id, node_id, document, if_match=if_match, tell=tell)

    async def preview(session: Session) -> WritePreview:
        service, org_id = session.config_service, session.org_id
        with progress_line() as tell:
            return await service.preview_put(org_id, node_id, document, if_match=if_match, tell=tell)

    if dry_run:
        print_preview(call(preview))
    else:
        _say_written(call(write))


@app.command("patch")
def patch_configuration(node_id: NodeId, file: File, if_match: IfMatch = None, dry_run: DryRun = False) -> None:
    """Merge a patch (RFC 7396: null removes) into a node's own document."""
    patch = read_document(file)

    async def write(session: Session) -> ConfigurationVersion:
        service, org_id = session.config_service, session.org_id
        with progress_line() as tell:
            return await service.patch_configuration(org_id, node_id, patch, if_match=if_match, tell=tell)

    async def preview(session: Session) -> WritePreview:
        service, org_id = session.config_service, session.org_id
        with progress_line() as tell:
            return await service.preview_patch(org_id, node_id, patch, if_match=if_match, tell=tell)

    if dry_run:
        print_preview(call(preview))
    else:
        _say_written(call(write))


def read_document(file: Path) -> dict[str, Any]:
    """The JSON object in the file, or on standard input for `-`."""
    try:
        document = json.loads(sys.stdin.read() if str(file) == "-" else file.read_text())
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{file} is not a readable JSON file: {error}") from error
    if not isinstance(document, dict):
        raise typer.BadParameter("A configuration document is a JSON object.")
    return document


def _say_written(version: ConfigurationVersion) -> None:
    typer.echo(f"{version.node_id} is at version {version.version} ({version.hash})")
