"""The tables of the tree. Made by migrations 0002 and 0006."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, Integer, MetaData, Table, Text, func

metadata = MetaData()

org_nodes = Table(
    "org_nodes",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("node_id", Text, primary_key=True),
    Column("parent_id", Text),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("created_by", Text, nullable=False),
    Column("archived_at", DateTime(timezone=True)),
    Column("deleted_at", DateTime(timezone=True)),
)
"""The nodes as they stand. A deleted node keeps its row, since runs and audit events refer to it, and no other."""

node_versions = Table(
    "config_node_versions",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("node_id", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("parent_id", Text),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("archived_at", DateTime(timezone=True)),
    Column("deleted_at", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("created_by", Text, nullable=False),
)
"""Every state that a node was ever in, insert-only: where it stood at a moment decides what it inherited then."""

node_ancestry = Table(
    "config_node_ancestry",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("node_id", Text, primary_key=True),
    Column("ancestor_id", Text, primary_key=True),
    Column("distance", Integer, nullable=False),
)
"""The closure of the tree: a row for each node and each node above it, and one for itself at distance 0."""

org_stamps = Table(
    "config_org_stamps",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("stamp", BigInteger, nullable=False),
)
"""Raised by triggers with each change of an organisation's tree, configuration or routing. Made by migration 0009."""

STAMPS_CHANNEL = "config_org_stamps"
"""Postgres's notification channel: the payload is the id of the organisation, and nothing else."""
