"""`incidentfox node …`: the organisation tree."""

from __future__ import annotations

from typing import Annotated

import typer

from incidentfox.cli.output import Json, age, print_items, print_object
from incidentfox.cli.session import Session, call
from incidentfox.contracts.page import Page
from incidentfox.contracts.tree import CreateNode, Node, NodeKind

app = typer.Typer(help="Units and teams of the organisation.")


@app.command("list")
def list_nodes(as_json: Json = False) -> None:
    """List the nodes that you may see."""

    async def fetch(session: Session) -> Page[Node]:
        return await session.config_service.nodes(session.org_id)

    print_items(
        call(fetch).items,
        (
            ("NODE", lambda node: node.node_id),
            ("KIND", lambda node: node.kind),
            ("PARENT", lambda node: node.parent_id),
            ("NAME", lambda node: node.name),
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
    as_json: Json = False,
) -> None:
    """Create a unit or a team."""

    async def create(session: Session) -> Node:
        request = CreateNode(node_id=node_id, parent_id=parent, kind=kind, name=name or node_id)
        return await session.config_service.create_node(session.org_id, request)

    print_object(call(create), as_json=as_json)
