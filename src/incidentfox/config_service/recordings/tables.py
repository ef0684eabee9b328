"""The table of recordings. Made by migration 0002; insert-only for the service's role."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, Integer, LargeBinary, MetaData, Table, Text, func

metadata = MetaData()

recordings = Table(
    "config_recordings",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("recording_id", Text, primary_key=True),
    Column("content", LargeBinary, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("created_by", Text, nullable=False),
)
"""`content` is the gzip of the recording's canonical JSON, `size_bytes` the length of that JSON."""
