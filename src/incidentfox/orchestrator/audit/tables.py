"""The table of audit events on their way. Made by migration 0013."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, MetaData, Table, Text, func
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()

audit_outbox = Table(
    "orchestrator_audit_outbox",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("org_id", Text, nullable=False),
    Column("event", JSONB, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
