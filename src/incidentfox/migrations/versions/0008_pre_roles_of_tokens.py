"""Tokens of named users and with roles, at any node of the tree; rotation; a rate limit for each token.

A token of a unit reaches what is below it. The policies that are there stay as they are; beside them, one more shows,
for reading alone, the rows of the nodes below the one that a transaction is bound to. Whoever writes below a unit does
so in a transaction that is narrowed to the node itself.
"""

from __future__ import annotations

from alembic import op

from incidentfox.migrations.policies import grant, show_subtree

revision = "0008"
down_revision = "0007"

_ROLE = "incidentfox_config"
_SHOWN_BELOW = {
    "org_nodes": "node_id",
    "agent_runs": "team_node_id",
    "config_run_events": "team_node_id",
    "config_run_effects": "team_node_id",
    "config_run_captures": "team_node_id",
    "config_audit_events": "team_node_id",
    "config_change_requests": "node_id",
    "config_change_request_comments": "node_id",
    "team_tokens": "team_node_id",
}


def upgrade() -> None:
    """Adds the columns, the policies and the table of limits."""
    for table in ("team_tokens", "org_admin_tokens"):
        op.execute(f"ALTER TABLE {table} ADD COLUMN user_handle text, ADD COLUMN role text, ADD COLUMN rotated_to text")
        # Rotation gives the old token an end; nothing else about a token ever changes.
        op.execute(f"GRANT UPDATE (expires_at, rotated_to) ON {table} TO {_ROLE}")
    # What is below a node, by the rows that name it as an ancestor. Not by a look into this same table, which Postgres
    # would refuse as endless.
    op.execute(
        "CREATE POLICY below ON config_node_ancestry FOR SELECT"
        " USING (org_id = current_setting('incidentfox.org_id', true)"
        " AND ancestor_id = current_setting('incidentfox.team_node_id', true))"
    )
    for table, column in _SHOWN_BELOW.items():
        show_subtree(table, column)
    _limits()


def _limits() -> None:
    # UNLOGGED: a limit that starts afresh after a crash of the database harms nobody, and writing it costs no flush.
    op.execute(
        """
        CREATE UNLOGGED TABLE config_token_limits (
            token_hash text PRIMARY KEY,
            full_at double precision NOT NULL
        )
        """
    )
    op.execute("ALTER TABLE config_token_limits ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE config_token_limits FORCE ROW LEVEL SECURITY")
    rule = "token_hash = current_setting('incidentfox.token_hash', true)"
    op.execute(f"CREATE POLICY proof ON config_token_limits USING ({rule}) WITH CHECK ({rule})")
    grant("config_token_limits", _ROLE, ("SELECT", "INSERT", "UPDATE"))
