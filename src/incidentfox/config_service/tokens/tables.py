"""The tables of tokens, their limits and sign-in codes. Made by migrations 0002 and 0008.

No secret is in them, only peppered hashes.
"""

from __future__ import annotations

from sqlalchemy import ARRAY, Column, DateTime, Double, MetaData, Table, Text, func

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
    Column("user_handle", Text),
    Column("role", Text),
    Column("rotated_to", Text),
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
    Column("user_handle", Text),
    Column("role", Text),
    Column("rotated_to", Text),
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

token_limits = Table(
    "config_token_limits",
    metadata,
    Column("token_hash", Text, primary_key=True),
    Column("full_at", Double, nullable=False),
)
"""How far each token has used its rate: the Unix time at which its allowance is whole again."""
