"""The tables of audit events and of their chain. Made by migrations 0002, 0004 and 0014.

The service's role may insert and read events and seals, nothing else.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, Identity, MetaData, Table, Text, func
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

audit_unsealed = Table(
    "config_audit_unsealed",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("position", BigInteger, Identity(always=True), primary_key=True),
    Column("event_id", Text, nullable=False),
)
"""Events that wait for the sealer, ordered by when they were written, not by when they say. A trigger puts each event
here; another keeps it here until a link holds it.
"""

audit_seals = Table(
    "config_audit_seals",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("event_id", Text, nullable=False),
    Column("previous_hash", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("sealed_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

audit_checkpoints = Table(
    "config_audit_checkpoints",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("hash", Text, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("pruned_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
"""Where the chain begins after each pruning: the last link that is gone. Written by the owner of the tables."""
