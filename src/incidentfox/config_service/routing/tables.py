"""The table of routing identifiers. Made by migration 0002: its primary key is what makes an owner the only one."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, MetaData, Table, Text, func

metadata = MetaData()

routing_identifiers = Table(
    "config_routing_identifiers",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("team_node_id", Text, nullable=False),
    Column("given", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
