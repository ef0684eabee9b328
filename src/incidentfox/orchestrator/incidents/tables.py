"""The tables of incidents. Made by migration 0003."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, MetaData, Table, Text, func

metadata = MetaData()

incidents = Table(
    "orchestrator_incidents",
    metadata,
    Column("incident_id", Text, primary_key=True),
    Column("org_id", Text, nullable=False),
    Column("team_node_id", Text),
    Column("endpoint_id", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("url", Text),
    Column("status", Text, nullable=False),
    Column("status_at", DateTime(timezone=True)),
    Column("resolved_at", DateTime(timezone=True)),
    Column("reopened_at", DateTime(timezone=True)),
    Column("run_id", Text),
    Column("run_triggered_at", DateTime(timezone=True)),
    Column("opened_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
)

incident_events = Table(
    "orchestrator_incident_events",
    metadata,
    Column("delivery_id", Text, primary_key=True),
    Column("org_id", Text, nullable=False),
    Column("team_node_id", Text),
    Column("incident_id", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("occurred_at", DateTime(timezone=True), nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
