"""What runs read from live telemetry, kept so that they can be replayed.

Under forced row-level security by organisation and team: unlike an uploaded recording, a capture is one team's own.
"""

from __future__ import annotations

from alembic import op

from incidentfox.migrations.policies import grant, isolate_tenants

revision = "0005"
down_revision = "0004"

_ROLE = "incidentfox_config"


def upgrade() -> None:
    """Creates the table, its policy and the service's rights on it."""
    op.execute(
        """
        CREATE TABLE config_run_captures (
            org_id text NOT NULL,
            run_id text NOT NULL,
            capture_id text NOT NULL,
            team_node_id text NOT NULL,
            seq integer NOT NULL CHECK (seq > 0),
            content bytea NOT NULL,
            size_bytes integer NOT NULL CHECK (size_bytes > 0),
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (org_id, run_id, capture_id),
            UNIQUE (org_id, run_id, seq),
            FOREIGN KEY (org_id, run_id) REFERENCES agent_runs
        )
        """
    )
    op.execute("CREATE INDEX config_run_captures_age ON config_run_captures (org_id, created_at)")
    # The content is compressed already; a second attempt by Postgres would only cost time.
    op.execute("ALTER TABLE config_run_captures ALTER COLUMN content SET STORAGE EXTERNAL")
    isolate_tenants("config_run_captures", team_column="team_node_id")
    # Captures are never changed; DELETE is how they age out.
    grant("config_run_captures", _ROLE, ("SELECT", "INSERT", "DELETE"))
