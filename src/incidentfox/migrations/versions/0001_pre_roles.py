"""The roles of the services.

Created without a password: whoever runs the platform sets one (`local/` does so on a laptop). The migration role
needs CREATEROLE, or the roles must exist.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None

_ROLES = ("incidentfox_config", "incidentfox_orchestrator", "incidentfox_agent", "incidentfox_pipeline")


def upgrade() -> None:
    """Creates what is missing; closes the public schema to everyone else."""
    for role in _ROLES:
        op.execute(
            f"""
            DO $$ BEGIN
                IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
                    CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
                END IF;
            END $$
            """
        )
        op.execute(f"GRANT USAGE ON SCHEMA public TO {role}")
    op.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
