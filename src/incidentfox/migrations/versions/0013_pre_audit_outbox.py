"""Audit events of the Orchestrator's own changes, committed with the change and on their way to the Config Service."""

from __future__ import annotations

from alembic import op

from incidentfox.migrations.policies import grant, isolate_tenants

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Creates the table, its policy and the service's rights on it."""
    op.execute(
        """
        CREATE TABLE orchestrator_audit_outbox (
            event_id text PRIMARY KEY,
            org_id text NOT NULL,
            event jsonb NOT NULL,
            recorded_at timestamptz NOT NULL DEFAULT now()
        )
        """
    )
    isolate_tenants("orchestrator_audit_outbox")
    grant("orchestrator_audit_outbox", "incidentfox_orchestrator", ("SELECT", "INSERT", "DELETE"))
