"""The table of reservations. Made by migration 0007. One row is one attempt of a model call; open until settled."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Date, DateTime, MetaData, Numeric, Table, Text, func

metadata = MetaData()

budget_reservations = Table(
    "config_budget_reservations",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("run_id", Text, primary_key=True),
    Column("call", Text, primary_key=True),
    Column("attempt", Text, primary_key=True),
    Column("team_node_id", Text, nullable=False),
    Column("day", Date, nullable=False),
    Column("tokens_reserved", BigInteger, nullable=False),
    Column("usd_reserved", Numeric),
    Column("tokens_spent", BigInteger),
    Column("usd_spent", Numeric),
    Column("reserved_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("settled_at", DateTime(timezone=True)),
)
