"""The tables of tokens and sign-in codes. Made by migration 0002. No secret is in them, only peppered hashes."""

from __future__ import annotations

from sqlalchemy import ARRAY, Column, DateTime, MetaData, Table, Text, func

metadata = MetaData()

team_tokens = Table(
    "team_tokens",
    metadata,
    Column("token_id", Text, primary_key=True),
    Column("org_id", Text, nullable=False),
    Column("team_node_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("token_hash", Text, nullable=False),
    Column("hint", Text, nullable=False),
    Column("issued_by_token_id", Text),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("created_by", Text, nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    Column("last_used_at", DateTime(timezone=True)),
)

org_admin_tokens = Table(
    "org_admin_tokens",
    metadata,
    Column("token_id", Text, primary_key=True),
    Column("org_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("token_hash", Text, nullable=False),
    Column("hint", Text, nullable=False),
    Column("issued_by_token_id", Text),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("created_by", Text, nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    Column("last_used_at", DateTime(timezone=True)),
)

sign_in_codes = Table(
    "config_sign_in_codes",
    metadata,
    Column("code_hash", Text, primary_key=True),
    Column("org_id", Text, nullable=False),
    Column("team_node_id", Text),
    Column("token_id", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("used_at", DateTime(timezone=True)),
)
