"""The tables of change requests. Made by migration 0006."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, Integer, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()

change_requests = Table(
    "config_change_requests",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("node_id", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("change", JSONB, nullable=False),
    Column("base_version", Integer, nullable=False),
    Column("status", Text, nullable=False, server_default="open"),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("decided_at", DateTime(timezone=True)),
    Column("decided_by", Text),
    Column("decision_comment", Text),
    Column("applied_version", Integer),
)
"""What was asked for is written once; the service's role may update only what it is based on and how it ends."""

change_request_comments = Table(
    "config_change_request_comments",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("comment_id", Text, primary_key=True),
    Column("request_id", Text, nullable=False),
    Column("node_id", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("created_by", Text, nullable=False),
)
