"""The table of runs. Made by migration 0002, whose trigger enforces the order of states."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, Integer, MetaData, Table, Text, func
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()

agent_runs = Table(
    "agent_runs",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("run_id", Text, primary_key=True),
    Column("team_node_id", Text, nullable=False),
    Column("status", Text, nullable=False, server_default="queued"),
    Column("input", JSONB, nullable=False),
    Column("source", Text, nullable=False),
    Column("delivery_id", Text),
    Column("incident_id", Text),
    Column("correlation_id", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("config_hash", Text),
    Column("answer", JSONB(none_as_null=True)),
    Column("error", Text),
    Column("usage", JSONB, nullable=False),
    Column("ending", Text),
    Column("last_seq", Integer, nullable=False, server_default="0"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("created_by", Text, nullable=False),
    Column("started_at", DateTime(timezone=True)),
    Column("finished_at", DateTime(timezone=True)),
)
