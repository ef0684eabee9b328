"""The tables of the door itself: limits and refusals. Made by migration 0003."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Date, DateTime, Double, Integer, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()

rate_limits = Table(
    "orchestrator_rate_limits",
    metadata,
    Column("endpoint_id", Text, primary_key=True),
    Column("org_id", Text, nullable=False),
    Column("full_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
    Column("granted", Integer, nullable=False),
    prefixes=["UNLOGGED"],
)

refusals = Table(
    "orchestrator_refusals",
    metadata,
    Column("endpoint_id", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("reason", Text, primary_key=True),
    Column("org_id", Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("last_at", DateTime(timezone=True), nullable=False),
    Column("samples", JSONB, nullable=False, server_default="[]"),
)
