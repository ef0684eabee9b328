"""Creates organisations, reads units and teams. What changes the tree's shape is in `reshaping.py`."""

from __future__ import annotations

import re

from incidentfox.config_service.audit.service import Fact, record
from incidentfox.config_service.session import Session
from incidentfox.config_service.tree import store
from incidentfox.contracts.page import Page
from incidentfox.contracts.tree import CreateOrganisation, Node, NodeKind
from incidentfox.kernel.crypto import content_hash
from incidentfox.kernel.errors import Conflict, Invalid, NotFound, Unprocessable
from incidentfox.kernel.web.pagination import decode_cursor, page

_NODE_ID = re.compile(r"[a-z0-9-]{1,63}")


async def create_organisation(session: Session, request: CreateOrganisation) -> Node:
    """Creates an organisation and its root node; Conflict when the id is taken."""
    session.require_whole_org()
    await store.lock_tree(session)
    root = await store.insert_node(session, request.org_id, None, NodeKind.ORG, request.name)
    if root is None:
        raise Conflict(f"There is an organisation {request.org_id!r} already.", code="org_exists")
    await record(session, Fact("organisation.created", request.org_id, after_hash=node_hash(root)))
    return root


async def require_node(session: Session, node_id: str) -> Node:
    """The node; NotFound when there is none for this caller."""
    node = await store.node(session, node_id)
    if node is None:
        raise NotFound(f"There is no node {node_id!r} here for you.", code="node_not_found")
    return node


def require_live(node: Node) -> Node:
    """The node, if it is not archived; Conflict otherwise: what is archived does not run and does not change."""
    if node.archived_at is not None:
        raise Conflict(f"{node.node_id!r} is archived. Restore it first.", code="node_archived")
    return node


async def require_team(session: Session, node_id: str) -> Node:
    """The node, if it is a team; NotFound or Unprocessable otherwise."""
    node = await require_node(session, node_id)
    if node.kind is not NodeKind.TEAM:
        raise Unprocessable(f"{node_id!r} is not a team, and only teams run agents.", code="not_a_team")
    return node


async def list_nodes(session: Session, cursor: str | None, limit: int) -> Page[Node]:
    """A page of the nodes that the caller may see: all, or its own team and what is above it."""
    after = decode_cursor(cursor)
    if after is not None and not _NODE_ID.fullmatch(after):
        raise Invalid("`cursor` must be the `next_cursor` of an earlier page.", code="invalid_cursor")
    return page(await store.nodes_after(session, after, limit + 1), limit, lambda node: node.node_id)


def node_hash(node: Node) -> str:
    """The content of a node, for the audit."""
    return content_hash(node.model_dump(mode="json", exclude={"created_at"}))
