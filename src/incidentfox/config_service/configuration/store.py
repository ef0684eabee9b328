"""Every SQL statement on configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, select, true
from sqlalchemy.dialects.postgresql import insert

from incidentfox.config_service.configuration.tables import effective_documents, node_configurations
from incidentfox.config_service.session import Session
from incidentfox.config_service.tree.tables import node_ancestry, org_nodes
from incidentfox.contracts.configuration import ConfigurationVersion, JsonObject
from incidentfox.contracts.tree import NodeKind
from incidentfox.kernel.crypto import content_hash


@dataclass(frozen=True)
class Level:
    """A node with its own current document; version 0 and an empty document where it has none."""

    node_id: str
    parent_id: str | None
    kind: NodeKind
    version: int
    document: JsonObject


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


async def insert_version(
    session: Session, node_id: str, version: int, document: JsonObject, document_hash: str
) -> ConfigurationVersion:
    """Adds a version. Nothing ever changes one."""
    statement = (
        insert(node_configurations)
        .values(
            org_id=session.org_id,
            node_id=node_id,
            version=version,
            document=document,
            hash=document_hash,
            created_by=session.principal.subject,
        )
        .returning(node_configurations)
    )
    return ConfigurationVersion(**(await session.connection.execute(statement)).one()._mapping)


async def path_levels(session: Session, node_id: str) -> list[Level]:
    """The levels from the organisation down to the node; empty when this tenant sees no such node."""
    ancestry = node_ancestry.c
    return await _levels(session, ancestry.ancestor_id, ancestry.node_id == node_id, order=ancestry.distance.desc())


async def subtree_levels(session: Session, node_id: str) -> list[Level]:
    """The node and all nodes below it, each after its parent."""
    ancestry = node_ancestry.c
    return await _levels(session, ancestry.node_id, ancestry.ancestor_id == node_id, order=ancestry.distance)


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


async def kept_effective(session: Session, node_id: str, document_hash: str) -> str | None:
    """The canonical JSON of an effective document that was kept."""
    table = effective_documents.c
    statement = select(table.document).where(
        table.org_id == session.org_id, table.node_id == node_id, table.hash == document_hash
    )
    found: str | None = (await session.connection.execute(statement)).scalar_one_or_none()
    return found


async def _levels(
    session: Session, joined_on: ColumnElement[Any], where: ColumnElement[bool], order: ColumnElement[Any]
) -> list[Level]:
    latest = _latest_of(org_nodes.c.org_id, org_nodes.c.node_id)
    statement: Select[Any] = (
        select(org_nodes.c.node_id, org_nodes.c.parent_id, org_nodes.c.kind, latest.c.version, latest.c.document)
        .select_from(node_ancestry)
        .join(org_nodes, (org_nodes.c.org_id == node_ancestry.c.org_id) & (org_nodes.c.node_id == joined_on))
        .outerjoin(latest, true())
        .where(node_ancestry.c.org_id == session.org_id, where)
        .order_by(order)
    )
    return [_level(row) for row in await session.connection.execute(statement)]


def _latest_of(org_id: ColumnElement[str], node_id: ColumnElement[str]) -> Any:
    table = node_configurations
    return (
        select(table.c.version, table.c.document)
        .where(table.c.org_id == org_id, table.c.node_id == node_id)
        .order_by(table.c.version.desc())
        .limit(1)
        .lateral("latest")
    )


def _level(row: Row[Any]) -> Level:
    return Level(row.node_id, row.parent_id, NodeKind(row.kind), row.version or 0, row.document or {})


def _never_written(org_id: str, node_id: str) -> ConfigurationVersion:
    return ConfigurationVersion(
        org_id=org_id, node_id=node_id, version=0, document={}, hash=content_hash({}), created_at=None, created_by=None
    )
