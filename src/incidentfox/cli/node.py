"""`incidentfox node …`: the organisation tree."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from incidentfox.cli.config import DryRun, NodeId, read_document
from incidentfox.cli.configuration_text import print_preview
from incidentfox.cli.output import Json, age, print_items, print_object
from incidentfox.cli.progress import progress_line
from incidentfox.cli.session import Session, call
from incidentfox.contracts.explanation import WritePreview
from incidentfox.contracts.tree import CreateNode, Node, NodeKind, Removal, UpdateNode

app = typer.Typer(help="Units and teams of the organisation.")


@app.command("list")
def list_nodes(as_json: Json = False) -> None:
    """List the nodes that you may see."""

    async def fetch(session: Session) -> list[Node]:
        found: list[Node] = []
        cursor: str | None = None
        while True:
            page = await session.config_service.nodes(session.org_id, cursor=cursor, limit=200)
            found += page.items
            cursor = page.next_cursor
            if cursor is None:
                return found

    print_items(
        call(fetch),
        (
            ("NODE", lambda node: node.node_id),
            ("KIND", lambda node: node.kind),
            ("PARENT", lambda node: node.parent_id),
            ("NAME", lambda node: node.name),
            ("STATE", lambda node: "archived" if node.archived_at else "live"),
            ("AGE", lambda node: age(node.created_at)),
        ),
        as_json=as_json,
        empty="No nodes.",
    )


@app.command("create")
def create_node(
    node_id: Annotated[str, typer.Argument(help="The new node's id: lower-case letters, digits, hyphens.")],
    parent: Annotated[str, typer.Option(help="The node it goes below.")],
    kind: Annotated[NodeKind, typer.Option(help="unit or team.")] = NodeKind.TEAM,
    name: Annotated[str | None, typer.Option(help="A name for people; the id unless given.")] = None,
    configuration: Annotated[
        Path | None, typer.Option(help="A JSON file with its first document, or - for standard input.")
    ] = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Create a unit or a team."""
    document = read_document(configuration) if configuration is not None else None
    request = CreateNode(node_id=node_id, parent_id=parent, kind=kind, name=name or node_id, configuration=document)

    async def create(session: Session) -> Node:
        return await session.config_service.create_node(session.org_id, request)

    async def preview(session: Session) -> WritePreview:
        return await session.config_service.preview_creation(session.org_id, request)

    if dry_run:
        print_preview(call(preview))
    else:
        print_object(call(create), as_json=as_json)


@app.command("rename")
def rename_node(node_id: NodeId, name: Annotated[str, typer.Argument(help="The new name for people.")]) -> None:
    """Give a node another name. Its id stays."""

    async def rename(session: Session) -> Node:
        return await session.config_service.update_node(session.org_id, node_id, UpdateNode(name=name))

    print_object(call(rename), as_json=False)


@app.command("move")
def move_node(
    node_id: NodeId, parent: Annotated[str, typer.Argument(help="The node to move it below.")], dry_run: DryRun = False
) -> None:
    """Move a node with everything below it. What it comes to in its new place is judged like a write."""

    async def move(session: Session) -> Node:
        with progress_line() as tell:
            update = UpdateNode(parent_id=parent)
            return await session.config_service.update_node(session.org_id, node_id, update, tell=tell)

    async def preview(session: Session) -> WritePreview:
        return await session.config_service.preview_update(session.org_id, node_id, UpdateNode(parent_id=parent))

    if dry_run:
        print_preview(call(preview))
    else:
        print_object(call(move), as_json=False)


@app.command("archive")
def archive_node(node_id: NodeId) -> None:
    """Freeze a unit or team with everything below it: no run, no write, no routing, until it is restored."""

    async def archive(session: Session) -> Node:
        return await session.config_service.archive_node(session.org_id, node_id)

    print_object(call(archive), as_json=False)


@app.command("restore")
def restore_node(node_id: NodeId) -> None:
    """Restore what was archived together with the node."""

    async def restore(session: Session) -> Node:
        with progress_line() as tell:
            return await session.config_service.restore_node(session.org_id, node_id, tell=tell)

    print_object(call(restore), as_json=False)


@app.command("delete")
def delete_node(
    node_id: NodeId,
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a unit or team with everything below it. Says first what falls with it."""

    async def look(session: Session) -> Removal:
        return await session.config_service.delete_node(session.org_id, node_id, dry_run=True)

    async def delete(session: Session) -> Removal:
        return await session.config_service.delete_node(session.org_id, node_id)

    print_object(call(look), as_json=False)
    if dry_run:
        return
    if not yes:
        typer.confirm("Delete all of this?", abort=True)
    call(delete)
    typer.echo(f"{node_id} is deleted. Runs, audit events and the history of documents stay.")
