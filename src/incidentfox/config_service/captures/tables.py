"""The table of captures. Made by migration 0005; insert and delete only for the service's role."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, Integer, LargeBinary, MetaData, Table, Text, func

metadata = MetaData()

run_captures = Table(
    "config_run_captures",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("run_id", Text, primary_key=True),
    Column("capture_id", Text, primary_key=True),
    Column("team_node_id", Text, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
"""`content` is the gzip of the capture's canonical JSON, `size_bytes` the length of that JSON; `seq` is the order in
which the run read them."""
