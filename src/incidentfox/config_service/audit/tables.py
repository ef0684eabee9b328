"""The table of audit events. Made by migration 0002; the service's role may insert and read, nothing else."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()

audit_events = Table(
    "config_audit_events",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("event_key", Text, nullable=False),
    Column("team_node_id", Text),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("correlation_id", Text),
    Column("source_address", Text),
    Column("before_hash", Text),
    Column("after_hash", Text),
    Column("detail", JSONB, nullable=False),
)
