"""Runs the history: roles first, then Alembic, then the durable-execution schema of each service that has one."""

from __future__ import annotations

from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from incidentfox.kernel.db.session import asyncpg_url
from incidentfox.kernel.durable import migrate as migrate_durable
from incidentfox.kernel.errors import Permanent

SERVICE_ROLES = {
    "config-service": "incidentfox_config",
    "orchestrator": "incidentfox_orchestrator",
    "agent": "incidentfox_agent",
    "pipeline": "incidentfox_pipeline",
}
"""The database role of each service that connects to Postgres: not owner, not superuser, NOBYPASSRLS."""

DURABLE_SERVICES = ("orchestrator", "agent")


class MigrationFailed(Permanent):
    """The database could not be brought to a revision. The step that failed was rolled back; those before it stay, and
    so does what is done outside of a transaction (`concurrently.py`), which is done again.
    """

    default_code = "migration_failed"


def migrate(owner_url: str, revision: str = "head") -> None:
    """Brings the database to `revision`. `owner_url` is the migration role's: it owns the tables and may create roles.

    Safe to run twice and from two places at once. Raises MigrationFailed, with what Alembic or Postgres raised as its
    cause.
    """
    try:
        command.upgrade(_config(owner_url), revision)
        for service in DURABLE_SERVICES:
            migrate_durable(owner_url, service, SERVICE_ROLES[service])
    except (CommandError, SQLAlchemyError, asyncpg.PostgresError, OSError) as error:
        # The driver's own words: what SQLAlchemy makes of them begins with a class.
        said = (error.orig and error.orig.__cause__) or error.orig if isinstance(error, DBAPIError) else error
        raise MigrationFailed(
            f"The database was not migrated: {_first_line(said)} The step that failed is done anew: mend what it names,"
            " then migrate again."
        ) from error


def head_revision() -> str:
    """The newest revision that this version of the code knows."""
    head = ScriptDirectory.from_config(_config("postgresql://")).get_current_head()
    if head is None:
        raise LookupError("The package holds no migrations.")
    return head


def _first_line(error: BaseException | None) -> str:
    """What was said, without the statement and the hints that follow."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".") + "."


def _config(owner_url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["url"] = asyncpg_url(owner_url)
    return config
