"""Every SQL statement on the tree."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Row, func, insert, literal, select, text, union_all
from sqlalchemy.dialects.postgresql import insert as pg_insert

from incidentfox.config_service.session import Session
from incidentfox.config_service.tree.tables import node_ancestry, node_versions, org_nodes
from incidentfox.contracts.tree import Node, NodeKind

_WIRE = [org_nodes.c[name] for name in Node.model_fields]
_KEPT = ("org_id", "node_id", "version", "parent_id", "kind", "name", "archived_at", "deleted_at")
_PRESENT = org_nodes.c.deleted_at.is_(None)
_LOCK_SPACE = 7_226_300_552  # arbitrary, ours: keeps these locks apart from any other advisory lock


async def lock_tree(session: Session) -> None:
    """Serialises the writers of one organisation until the end of the transaction.

    An advisory lock rather than the root's row: a team-bound writer may see the root, and may not touch it.
    """
    await session.connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:org_id, :space))"),
        {"org_id": session.org_id, "space": _LOCK_SPACE},
    )


async def insert_node(session: Session, node_id: str, parent_id: str | None, kind: NodeKind, name: str) -> Node | None:
    """Inserts a node below its parent; None when its id is taken in the organisation."""
    statement = (
        pg_insert(org_nodes)
        .values(
            org_id=session.org_id,
            node_id=node_id,
            parent_id=parent_id,
            kind=kind,
            name=name,
            created_by=session.principal.subject,
        )
        .on_conflict_do_nothing()
        .returning(*_WIRE)
    )
    row = (await session.connection.execute(statement)).first()
    if row is None:
        return None
    itself = select(literal(session.org_id), literal(node_id), literal(node_id), literal(0))
    above = select(
        node_ancestry.c.org_id, literal(node_id), node_ancestry.c.ancestor_id, node_ancestry.c.distance + 1
    ).where(node_ancestry.c.org_id == session.org_id, node_ancestry.c.node_id == parent_id)
    columns = ["org_id", "node_id", "ancestor_id", "distance"]
    await session.connection.execute(insert(node_ancestry).from_select(columns, union_all(itself, above)))
    await keep_versions(session, [node_id])
    return _node(row)


async def keep_versions(session: Session, node_ids: Collection[str]) -> None:
    """Adds the present state of these nodes to their history. The time is the clock's: writers wait for their turn."""
    moment = func.clock_timestamp()
    states = select(*(org_nodes.c[name] for name in _KEPT), moment, literal(session.principal.subject)).where(
        org_nodes.c.org_id == session.org_id, org_nodes.c.node_id.in_(node_ids)
    )
    await session.connection.execute(insert(node_versions).from_select([*_KEPT, "created_at", "created_by"], states))


async def node(session: Session, node_id: str) -> Node | None:
    """One node, if this tenant may see it."""
    statement = select(*_WIRE).where(org_nodes.c.org_id == session.org_id, org_nodes.c.node_id == node_id, _PRESENT)
    row = (await session.connection.execute(statement)).first()
    return _node(row) if row else None


async def depth(session: Session, node_id: str) -> int:
    """Levels between the node and the organisation's root."""
    statement = select(func.coalesce(func.max(node_ancestry.c.distance), 0)).where(
        node_ancestry.c.org_id == session.org_id, node_ancestry.c.node_id == node_id
    )
    found: int = (await session.connection.execute(statement)).scalar_one()
    return found


async def is_below(session: Session, node_id: str, ancestor_id: str) -> bool:
    """Whether a node lies below another one."""
    statement = select(node_ancestry.c.distance).where(
        node_ancestry.c.org_id == session.org_id,
        node_ancestry.c.node_id == node_id,
        node_ancestry.c.ancestor_id == ancestor_id,
        node_ancestry.c.distance > 0,
    )
    return (await session.connection.execute(statement)).first() is not None


async def nodes_after(session: Session, after: str | None, limit: int) -> list[Node]:
    """Nodes in the order of their ids."""
    statement = select(*_WIRE).where(org_nodes.c.org_id == session.org_id, _PRESENT)
    if after is not None:
        statement = statement.where(org_nodes.c.node_id > after)
    rows = await session.connection.execute(statement.order_by(org_nodes.c.node_id).limit(limit))
    return [_node(row) for row in rows]


def _node(row: Row[Any]) -> Node:
    return Node(**row._mapping)
