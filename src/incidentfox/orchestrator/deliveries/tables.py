"""The table of accepted deliveries. Made by migration 0003; written by webhooks/store.py, settled by dispatch."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, LargeBinary, MetaData, Table, Text, func
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()

deliveries = Table(
    "orchestrator_deliveries",
    metadata,
    Column("delivery_id", Text, primary_key=True),
    Column("org_id", Text, nullable=False),
    Column("endpoint_id", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("delivery_key", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("event", JSONB, nullable=False),
    Column("body_sha256", LargeBinary, nullable=False),
    Column("status", Text, nullable=False, server_default="received"),
    Column("team_node_id", Text),
    Column("incident_id", Text),
    Column("run_id", Text),
    Column("reason", Text),
    Column("correlation_id", Text, nullable=False),
    Column("traceparent", Text),
    Column("received_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("processed_at", DateTime(timezone=True)),
)
