"""The table of effects. Made by migration 0002."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, MetaData, Table, Text, func

metadata = MetaData()

run_effects = Table(
    "config_run_effects",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("run_id", Text, primary_key=True),
    Column("effect_key", Text, primary_key=True),
    Column("team_node_id", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("status", Text, nullable=False, server_default="intended"),
    Column("external_id", Text),
    Column("url", Text),
    Column("error", Text),
    Column("intended_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("settled_at", DateTime(timezone=True)),
)
