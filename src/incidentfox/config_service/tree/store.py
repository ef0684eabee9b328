"""Every SQL statement on the tree."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Delete,
    Row,
    Select,
    Update,
    and_,
    delete,
    func,
    insert,
    literal,
    select,
    text,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert as pg_insert

from incidentfox.config_service.approvals.tables import change_requests
from incidentfox.config_service.routing.tables import routing_identifiers
from incidentfox.config_service.secrets.tables import secrets
from incidentfox.config_service.session import Session
from incidentfox.config_service.tokens.tables import team_tokens
from incidentfox.config_service.tree.tables import node_ancestry, node_versions, org_nodes
from incidentfox.contracts.tree import Node, NodeKind

_WIRE = [org_nodes.c[name] for name in Node.model_fields]
_KEPT = ("org_id", "node_id", "version", "parent_id", "kind", "name", "archived_at", "deleted_at")
_PRESENT = org_nodes.c.deleted_at.is_(None)
_CHUNK = 5000  # parameters of one statement; the protocol allows 65,535
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
    await keep_versions(session, org_nodes.c.node_id == node_id)
    return _node(row)


async def keep_versions(session: Session, which: ColumnElement[bool]) -> None:
    """Adds the present state of these nodes of the organisation to their history.

    The time is the clock's, not the transaction's: writers wait for their turn.
    """
    moment = func.clock_timestamp()
    states = select(*(org_nodes.c[name] for name in _KEPT), moment, literal(session.principal.subject)).where(
        org_nodes.c.org_id == session.org_id, which
    )
    await session.connection.execute(insert(node_versions).from_select([*_KEPT, "created_at", "created_by"], states))


async def node(session: Session, node_id: str) -> Node | None:
    """One node, if this tenant may see it."""
    statement = select(*_WIRE).where(org_nodes.c.org_id == session.org_id, org_nodes.c.node_id == node_id, _PRESENT)
    row = (await session.connection.execute(statement)).first()
    return _node(row) if row else None


async def is_taken(session: Session, node_id: str) -> bool:
    """Whether the id was ever given to a node of the organisation."""
    statement = select(org_nodes.c.node_id).where(org_nodes.c.org_id == session.org_id, org_nodes.c.node_id == node_id)
    return (await session.connection.execute(statement)).first() is not None


async def subtree(session: Session, node_id: str) -> dict[str, int]:
    """The node and every node below it with the levels between them, topmost first."""
    ancestry = node_ancestry.c
    statement = (
        select(ancestry.node_id, ancestry.distance)
        .where(ancestry.org_id == session.org_id, ancestry.ancestor_id == node_id)
        .order_by(ancestry.distance, ancestry.node_id)
    )
    return {row.node_id: row.distance for row in await session.connection.execute(statement)}


async def rename_or_move(session: Session, node_id: str, name: str, parent_id: str | None) -> Node:
    """Writes the node's name and parent; `relink` then moves what inheritance reads."""
    statement = (
        update(org_nodes)
        .where(org_nodes.c.org_id == session.org_id, org_nodes.c.node_id == node_id)
        .values(name=name, parent_id=parent_id, version=org_nodes.c.version + 1)
        .returning(*_WIRE)
    )
    row = (await session.connection.execute(statement)).one()
    await keep_versions(session, org_nodes.c.node_id == node_id)
    return _node(row)


async def relink(session: Session, node_id: str, parent_id: str) -> None:
    """Puts the node with everything below it below another parent, in the closure of the tree."""
    table, inside = node_ancestry, _below(session, node_id)
    await session.connection.execute(
        delete(table).where(
            table.c.org_id == session.org_id, table.c.node_id.in_(inside), table.c.ancestor_id.not_in(inside)
        )
    )
    above, below = table.alias("above"), table.alias("below")
    paths = (
        select(above.c.org_id, below.c.node_id, above.c.ancestor_id, above.c.distance + below.c.distance + 1)
        .select_from(above.join(below, above.c.org_id == below.c.org_id))
        .where(above.c.org_id == session.org_id, above.c.node_id == parent_id, below.c.ancestor_id == node_id)
    )
    columns = ["org_id", "node_id", "ancestor_id", "distance"]
    await session.connection.execute(insert(table).from_select(columns, paths))


async def archive(session: Session, node_id: str) -> None:
    """Archives the node and what is live below it, at one moment."""
    live = (org_nodes.c.archived_at.is_(None), org_nodes.c.node_id.in_(_below(session, node_id)))
    await _set_archived(session, and_(*live), func.now())


async def restore(session: Session, node_id: str, archived_at: datetime) -> None:
    """Restores what was archived together with the node."""
    together = (org_nodes.c.archived_at == archived_at, org_nodes.c.node_id.in_(_below(session, node_id)))
    await _set_archived(session, and_(*together), None)


async def free_identifiers(session: Session, node_id: str) -> int:
    """Gives up the routing identifiers of every team of the subtree; how many there were."""
    table = routing_identifiers
    return await _count(session, delete(table).where(_of_subtree(session, node_id, table.c.team_node_id)))


async def remove(session: Session, node_id: str) -> dict[str, int]:
    """Removes the subtree and what it holds; how many of what. The rows of the nodes stay, marked as deleted."""
    requests = change_requests
    of_subtree = {
        "identifiers": await free_identifiers(session, node_id),
        "secrets": await _count(session, delete(secrets).where(_of_subtree(session, node_id, secrets.c.node_id))),
        "tokens": await _count(
            session,
            update(team_tokens)
            .where(_of_subtree(session, node_id, team_tokens.c.team_node_id), team_tokens.c.revoked_at.is_(None))
            .values(revoked_at=func.now()),
        ),
        "change_requests": await _count(
            session,
            update(requests)
            .where(_of_subtree(session, node_id, requests.c.node_id), requests.c.status == "open")
            .values(status="withdrawn", decided_at=func.now(), decided_by=session.principal.subject),
        ),
    }
    gone = and_(org_nodes.c.org_id == session.org_id, org_nodes.c.node_id.in_(_below(session, node_id)))
    await session.connection.execute(
        update(org_nodes).where(gone).values(deleted_at=func.now(), version=org_nodes.c.version + 1)
    )
    await keep_versions(session, gone)
    table, inside = node_ancestry, list(await subtree(session, node_id))
    for start in range(0, len(inside), _CHUNK):
        chunk = inside[start : start + _CHUNK]
        await session.connection.execute(
            delete(table).where(table.c.org_id == session.org_id, table.c.node_id.in_(chunk))
        )
    return of_subtree


async def _set_archived(session: Session, which: ColumnElement[bool], moment: Any) -> None:
    chosen = and_(org_nodes.c.org_id == session.org_id, which)
    changed = (
        update(org_nodes)
        .where(chosen)
        .values(archived_at=moment, version=org_nodes.c.version + 1)
        .returning(org_nodes.c.node_id)
    )
    node_ids = [row.node_id for row in await session.connection.execute(changed)]
    for start in range(0, len(node_ids), _CHUNK):
        await keep_versions(session, org_nodes.c.node_id.in_(node_ids[start : start + _CHUNK]))


def _below(session: Session, node_id: str) -> Select[tuple[str]]:
    """The ids of the node and of every node below it, for a condition."""
    ancestry = node_ancestry.c
    return select(ancestry.node_id).where(ancestry.org_id == session.org_id, ancestry.ancestor_id == node_id)


def _of_subtree(session: Session, node_id: str, column: ColumnElement[str]) -> ColumnElement[bool]:
    table = column.table
    return and_(table.c.org_id == session.org_id, column.in_(_below(session, node_id)))


async def _count(session: Session, statement: Delete | Update) -> int:
    found: CursorResult[Any] = await session.connection.execute(statement)
    return found.rowcount


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
