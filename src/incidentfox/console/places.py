"""A node of the tree with what stands above it, and what the person signed in may do there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.console.session import Session
from incidentfox.contracts.configuration import ConfigurationVersion
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.tree import Node

MOST_NODES = 2000
_BATCH = 200
_DEEPEST = 32
_AT_ONCE = 8


@dataclass(frozen=True)
class Place:
    """A node; `above` are the organisation and the units that it stands in, topmost first, as far as one sees them."""

    node: Node
    above: tuple[Node, ...]

    def may(self, session: Session, permission: Permission) -> bool:
        """Whether the person may do this to the node: a credential reaches what it is bound to and all below it."""
        reach = {self.node.node_id, *(node.node_id for node in self.above)}
        return (
            session.may(permission)
            and self.node.archived_at is None
            and (session.team_node_id is None or session.team_node_id in reach)
        )

    def may_shape(self, session: Session) -> bool:
        """Whether the person may create below the node, rename, move, archive, restore and delete it: the tree is the
        business of those who administer the whole organisation."""
        return session.may(Permission.NODES_WRITE) and session.team_node_id is None


async def find_place(client: ConfigServiceClient, session: Session, node_id: str) -> Place:
    """The node in its place; NotFound when there is none for this person."""
    node = await client.node(session.org_id, node_id)
    above: list[Node] = []
    parent_id = node.parent_id
    while parent_id is not None and len(above) < _DEEPEST:
        above.insert(0, await client.node(session.org_id, parent_id))
        parent_id = above[0].parent_id
    return Place(node, tuple(above))


async def read_nodes(client: ConfigServiceClient, session: Session) -> tuple[list[Node], bool]:
    """The first MOST_NODES nodes that the person may see, and whether there are more."""
    found: list[Node] = []
    cursor: str | None = None
    while len(found) < MOST_NODES:
        page = await client.nodes(session.org_id, cursor=cursor, limit=_BATCH)
        found.extend(page.items)
        cursor = page.next_cursor
        if cursor is None:
            break
    return found, cursor is not None


async def read_documents(
    client: ConfigServiceClient, session: Session, nodes: Sequence[Node]
) -> list[ConfigurationVersion]:
    """Each node's own document, in the order of the nodes; a few calls at a time."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def read(node: Node) -> ConfigurationVersion:
        async with gate:
            return await client.configuration(session.org_id, node.node_id)

    return await asyncio.gather(*(read(node) for node in nodes))
