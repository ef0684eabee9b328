"""Every SQL statement on configuration."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, select, true
from sqlalchemy.dialects.postgresql import insert

from incidentfox.config_service.configuration.levels import Level
from incidentfox.config_service.configuration.tables import effective_documents, node_configurations
from incidentfox.config_service.session import Session
from incidentfox.config_service.tree.tables import node_ancestry, node_versions, org_nodes
from incidentfox.contracts.configuration import ConfigurationVersion
from incidentfox.contracts.explanation import EffectiveDocument, VersionSummary
from incidentfox.contracts.tree import NodeKind
from incidentfox.kernel.crypto import content_hash

_PIECE = 100
"""Documents that are decoded between two looks at the event loop."""


async def current_version(session: Session, node_id: str) -> ConfigurationVersion:
    """The node's own document; version 0 where it was never written."""
    table = node_configurations
    statement = (
        select(table)
        .where(table.c.org_id == session.org_id, table.c.node_id == node_id)
        .order_by(table.c.version.desc())
        .limit(1)
    )
    row = (await session.connection.execute(statement)).first()
    return ConfigurationVersion(**row._mapping) if row else _never_written(session.org_id, node_id)


async def version(session: Session, node_id: str, number: int) -> ConfigurationVersion | None:
    """One version of the node's own document; version 0 is the empty one."""
    if number == 0:
        return _never_written(session.org_id, node_id)
    table = node_configurations
    statement = select(table).where(
        table.c.org_id == session.org_id, table.c.node_id == node_id, table.c.version == number
    )
    row = (await session.connection.execute(statement)).first()
    return ConfigurationVersion(**row._mapping) if row else None


async def version_at(session: Session, node_id: str, at: datetime) -> ConfigurationVersion:
    """The version that was the current one at that moment."""
    table = node_configurations
    statement = (
        select(table)
        .where(table.c.org_id == session.org_id, table.c.node_id == node_id, table.c.created_at <= at)
        .order_by(table.c.version.desc())
        .limit(1)
    )
    row = (await session.connection.execute(statement)).first()
    return ConfigurationVersion(**row._mapping) if row else _never_written(session.org_id, node_id)


async def versions_before(session: Session, node_id: str, before: int | None, limit: int) -> list[VersionSummary]:
    """Versions without their documents, newest first."""
    table = node_configurations
    statement = select(*(table.c[name] for name in VersionSummary.model_fields)).where(
        table.c.org_id == session.org_id, table.c.node_id == node_id
    )
    if before is not None:
        statement = statement.where(table.c.version < before)
    rows = await session.connection.execute(statement.order_by(table.c.version.desc()).limit(limit))
    return [VersionSummary(**row._mapping) for row in rows]


async def insert_version(session: Session, written: ConfigurationVersion) -> ConfigurationVersion:
    """Adds a version. Nothing ever changes one.

    Its time is that of the clock, not of the transaction's beginning: a writer that waited for its turn must not seem
    to have written before the one it waited for.
    """
    values = {**dict(written), "created_at": func.clock_timestamp()}
    statement = insert(node_configurations).values(values).returning(node_configurations)
    return ConfigurationVersion(**(await session.connection.execute(statement)).one()._mapping)


async def path_levels(session: Session, node_id: str) -> list[Level]:
    """The levels from the organisation down to the node; empty when this tenant sees no such node."""
    ancestry = node_ancestry.c
    path = _levels(session, ancestry.ancestor_id, ancestry.node_id == node_id, order=ancestry.distance.desc())
    return [_level(row) for row in await session.connection.execute(path)]


async def subtree_levels(session: Session, node_id: str) -> list[Level]:
    """The node and all nodes below it, each after its parent."""
    return [level async for level in read_subtree(session, node_id)]


async def read_subtree(session: Session, node_id: str) -> AsyncGenerator[Level]:
    """The same, one after the other. Who does not read to the end closes it, before anything else is asked.

    Fetched in pieces: to decode ten thousand documents at once would keep every other request waiting for a second.
    """
    ancestry = node_ancestry.c
    statement = _levels(session, ancestry.node_id, ancestry.ancestor_id == node_id, order=ancestry.distance)
    async with session.connection.stream(statement) as rows:
        async for piece in rows.partitions(_PIECE):
            for row in piece:
                yield _level(row)


async def count_teams(session: Session, node_id: str) -> int:
    """How many teams there are at the node and below it."""
    ancestry, nodes = node_ancestry.c, org_nodes.c
    statement = (
        select(func.count())
        .select_from(node_ancestry)
        .join(org_nodes, (nodes.org_id == ancestry.org_id) & (nodes.node_id == ancestry.node_id))
        .where(ancestry.org_id == session.org_id, ancestry.ancestor_id == node_id, nodes.kind == NodeKind.TEAM)
    )
    return (await session.connection.execute(statement)).scalar_one()


async def keep_effective(session: Session, node_id: str, document_hash: str, document: str) -> None:
    """Keeps an effective document under its hash, once."""
    table = effective_documents
    known = select(true()).where(
        table.c.org_id == session.org_id, table.c.node_id == node_id, table.c.hash == document_hash
    )
    if (await session.connection.execute(known)).first() is not None:
        return
    values = {"org_id": session.org_id, "node_id": node_id, "hash": document_hash, "document": document}
    await session.connection.execute(insert(table).values(values).on_conflict_do_nothing())


async def effective_document(session: Session, node_id: str, document_hash: str) -> EffectiveDocument | None:
    """An effective document of the node that was kept, by its hash."""
    table = effective_documents.c
    statement = select(table.document, table.created_at).where(
        table.org_id == session.org_id, table.node_id == node_id, table.hash == document_hash
    )
    row = (await session.connection.execute(statement)).first()
    if row is None:
        return None
    return EffectiveDocument(
        org_id=session.org_id,
        team_node_id=node_id,
        hash=document_hash,
        created_at=row.created_at,
        document=json.loads(row.document),
    )


async def path_levels_at(session: Session, node_id: str, at: datetime) -> list[Level]:
    """The levels as they stood at a moment, topmost first.

    Empty when the node was not there then, or when the path leads through a node that this tenant does not see.
    """
    levels: list[Level] = []
    wanted: str | None = node_id
    while wanted is not None:
        placed = await _placement_at(session, wanted, at)
        if placed is None or placed.deleted_at is not None:
            return []
        written = await version_at(session, wanted, at)
        levels.insert(
            0,
            Level(
                node_id=wanted,
                parent_id=placed.parent_id,
                kind=NodeKind(placed.kind),
                version=written.version,
                document=written.document,
                archived=placed.archived_at is not None,
                written_at=written.created_at,
                written_by=written.created_by,
                change_request_id=written.change_request_id,
            ),
        )
        wanted = placed.parent_id
    return levels


async def _placement_at(session: Session, node_id: str, at: datetime) -> Row[Any] | None:
    table = node_versions
    statement = (
        select(table)
        .where(table.c.org_id == session.org_id, table.c.node_id == node_id, table.c.created_at <= at)
        .order_by(table.c.version.desc())
        .limit(1)
    )
    return (await session.connection.execute(statement)).first()


def _levels(
    session: Session, joined_on: ColumnElement[Any], where: ColumnElement[bool], order: ColumnElement[Any]
) -> Select[Any]:
    latest = _latest_of(org_nodes.c.org_id, org_nodes.c.node_id)
    return (
        select(org_nodes.c.node_id, org_nodes.c.parent_id, org_nodes.c.kind, org_nodes.c.archived_at, latest)
        .select_from(node_ancestry)
        .join(org_nodes, (org_nodes.c.org_id == node_ancestry.c.org_id) & (org_nodes.c.node_id == joined_on))
        .outerjoin(latest, true())
        .where(node_ancestry.c.org_id == session.org_id, where)
        .order_by(order, org_nodes.c.node_id)
    )


def _latest_of(org_id: ColumnElement[str], node_id: ColumnElement[str]) -> Any:
    table = node_configurations
    return (
        select(table.c.version, table.c.document, table.c.created_at, table.c.created_by, table.c.change_request_id)
        .where(table.c.org_id == org_id, table.c.node_id == node_id)
        .order_by(table.c.version.desc())
        .limit(1)
        .lateral("latest")
    )


def _level(row: Row[Any]) -> Level:
    return Level(
        node_id=row.node_id,
        parent_id=row.parent_id,
        kind=NodeKind(row.kind),
        version=row.version or 0,
        document=row.document or {},
        archived=row.archived_at is not None,
        written_at=row.created_at,
        written_by=row.created_by,
        change_request_id=row.change_request_id,
    )


def _never_written(org_id: str, node_id: str) -> ConfigurationVersion:
    return ConfigurationVersion(
        org_id=org_id, node_id=node_id, version=0, document={}, hash=content_hash({}), created_at=None, created_by=None
    )
