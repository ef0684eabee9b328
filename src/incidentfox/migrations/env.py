"""Alembic's environment. Read by Alembic only."""

from __future__ import annotations

import asyncio
import time

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

_ADVISORY_LOCK = 7_226_300_551  # arbitrary, ours: one migration at a time
_PATIENCE_S = 600.0


def _migrate(connection: Connection) -> None:
    connection.execute(text("SET lock_timeout = '5s'"))
    connection.execute(text("SET statement_timeout = '120s'"))
    _take_turns(connection)
    context.configure(
        connection=connection,
        transaction_per_migration=True,
        version_table="config_schema_version",
    )
    with context.begin_transaction():
        context.run_migrations()


def _take_turns(connection: Connection) -> None:
    """Waits for another migration by asking again. Who waited inside of a statement would be a transaction that an
    index built concurrently waits for: each for the other.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _ADVISORY_LOCK}):
        connection.commit()
        if time.monotonic() > deadline:
            raise CommandError("Another migration of this database is under way.")
        time.sleep(0.2)
    connection.commit()


async def _run() -> None:
    engine = create_async_engine(context.config.attributes["url"], poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(_migrate)
        await connection.commit()
    await engine.dispose()


asyncio.run(_run())
