"""What each model call may cost at most, and what it did cost: the ledger that budgets are held by.

Under forced row-level security by organisation and team.
"""

from __future__ import annotations

from alembic import op

from incidentfox.migrations.policies import grant, isolate_tenants

revision = "0007"
down_revision = "0006"

_ROLE = "incidentfox_config"


def upgrade() -> None:
    """Creates the table, its policy and the service's rights on it."""
    op.execute(
        """
        CREATE TABLE config_budget_reservations (
            org_id text NOT NULL,
            run_id text NOT NULL,
            call text NOT NULL,
            attempt text NOT NULL,
            team_node_id text NOT NULL,
            day date NOT NULL,
            tokens_reserved bigint NOT NULL CHECK (tokens_reserved >= 0),
            usd_reserved numeric CHECK (usd_reserved >= 0),
            tokens_spent bigint CHECK (tokens_spent >= 0),
            usd_spent numeric CHECK (usd_spent >= 0),
            reserved_at timestamptz NOT NULL DEFAULT now(),
            settled_at timestamptz,
            PRIMARY KEY (org_id, run_id, call, attempt),
            FOREIGN KEY (org_id, run_id) REFERENCES agent_runs,
            CHECK ((settled_at IS NULL) = (tokens_spent IS NULL))
        )
        """
    )
    op.execute("CREATE INDEX config_budget_reservations_day ON config_budget_reservations (org_id, team_node_id, day)")
    isolate_tenants("config_budget_reservations", team_column="team_node_id")
    grant("config_budget_reservations", _ROLE, ("SELECT", "INSERT"))
    # What was reserved never changes; only what came of it.
    op.execute(f"GRANT UPDATE (tokens_spent, usd_spent, settled_at) ON config_budget_reservations TO {_ROLE}")
