"""Lists of deliveries and incidents as a team sees them: its own, newest first, however many the others have."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Creates the indexes."""
    for table, key in (("orchestrator_deliveries", "delivery_id"), ("orchestrator_incidents", "incident_id")):
        op.execute(f"CREATE INDEX {table}_team ON {table} (org_id, team_node_id, {key})")
