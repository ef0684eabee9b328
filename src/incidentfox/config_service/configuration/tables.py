"""The tables of configuration. Made by migrations 0002 and 0006; both are insert-only for the service's role."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, Integer, MetaData, Table, Text, func
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()

node_configurations = Table(
    "node_configurations",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("node_id", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("document", JSONB, nullable=False),
    Column("hash", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("created_by", Text, nullable=False),
    Column("change_request_id", Text),
)

effective_documents = Table(
    "config_effective_documents",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("node_id", Text, primary_key=True),
    Column("hash", Text, primary_key=True),
    Column("document", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
"""What a run was built from, by content: `document` is the canonical JSON whose SHA-256 is `hash`."""
