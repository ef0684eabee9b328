"""The table of run events. Made by migration 0002; insert-only for the service's role."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, Integer, MetaData, Table, Text, func
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()

CHANNEL = "config_run_events"
"""Postgres's notification channel: the payload is the id of a run whose timeline grew, and nothing else, since a
notification is not subject to row-level security."""

run_events = Table(
    "config_run_events",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("run_id", Text, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("team_node_id", Text, nullable=False),
    Column("event_key", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("data", JSONB, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
