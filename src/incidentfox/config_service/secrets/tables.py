"""The table of secrets. Made by migration 0002. `ciphertext` is bound to organisation, node and name."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, LargeBinary, MetaData, Table, Text, func

metadata = MetaData()

secrets = Table(
    "config_secrets",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("node_id", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("updated_by", Text, nullable=False),
)
