"""The tables of webhook endpoints. Made by migration 0003."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, Integer, LargeBinary, MetaData, Table, Text, func
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()

webhook_endpoints = Table(
    "orchestrator_webhook_endpoints",
    metadata,
    Column("endpoint_id", Text, primary_key=True),
    Column("org_id", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("rate_per_minute", Integer, nullable=False),
    Column("burst", Integer, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("created_by", Text, nullable=False),
    Column("disabled_at", DateTime(timezone=True)),
)

webhook_secrets = Table(
    "orchestrator_webhook_secrets",
    metadata,
    Column("secret_id", Text, primary_key=True),
    Column("org_id", Text, nullable=False),
    Column("endpoint_id", Text, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("created_by", Text, nullable=False),
    Column("expires_at", DateTime(timezone=True)),
)

idempotency_keys = Table(
    "orchestrator_idempotency_keys",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("idempotency_key", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("response", JSONB),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("completed_at", DateTime(timezone=True)),
)
