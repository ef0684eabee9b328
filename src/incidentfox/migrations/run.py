"""Runs the history: roles first, then Alembic, then the durable-execution schema of each service that has one."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from incidentfox.kernel.db.session import asyncpg_url
from incidentfox.kernel.durable import migrate as migrate_durable

SERVICE_ROLES = {
    "config-service": "incidentfox_config",
    "orchestrator": "incidentfox_orchestrator",
    "agent": "incidentfox_agent",
    "pipeline": "incidentfox_pipeline",
}
"""The database role of each service that connects to Postgres: not owner, not superuser, NOBYPASSRLS."""

DURABLE_SERVICES = ("orchestrator", "agent")


def migrate(owner_url: str, revision: str = "head") -> None:
    """Brings the database to `revision`. `owner_url` is the migration role's: it owns the tables and may create roles.

    Safe to run twice and from two places at once. Raises what Alembic or Postgres raise: a half-done migration is
    rolled back and must be seen.
    """
    command.upgrade(_config(owner_url), revision)
    for service in DURABLE_SERVICES:
        migrate_durable(owner_url, service, SERVICE_ROLES[service])


def head_revision() -> str:
    """The newest revision that this version of the code knows."""
    head = ScriptDirectory.from_config(_config("postgresql://")).get_current_head()
    if head is None:
        raise LookupError("The package holds no migrations.")
    return head


def _config(owner_url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["url"] = asyncpg_url(owner_url)
    return config
