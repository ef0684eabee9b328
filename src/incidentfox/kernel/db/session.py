"""Transactions over SQLAlchemy Core. One request = one transaction, committed at the edge; services never commit.

What Postgres raises leaves here as one of three: trouble that passes (Unavailable), text that cannot be stored
(Invalid), and errors of ours as they are. A delivery that is retried rests on the first being complete.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from incidentfox.kernel.db.tenancy import Scope, scope_settings
from incidentfox.kernel.errors import Failure, Invalid, Unavailable

_SET = "SELECT " + ", ".join(f"set_config(:k{i}, :v{i}, true)" for i in range(2))
_SET_ONE = "SELECT set_config(:k0, :v0, true)"

_RAISED = (DBAPIError, PoolTimeout, OSError, TimeoutError)
"""OSError in its whole breadth: what a name server's hiccup, a name with several dead addresses and an unreachable
network raise has no closer class. Nothing else in a transaction opens sockets or files."""

# postgresql.org/docs/current/errcodes-appendix.html; classes, or codes where only part of a class passes.
_AWAY = ("08", "25006", "28", "3D000", "53", "57P")  # connection, read-only standby, log-in, no database, full, restart
_IN_THE_WAY = ("40001", "40P01", "55P03", "57014")  # serialisation, deadlock, lock and statement timeout
_UNSTORABLE_TEXT = ("22021", "22P05")


class Database:
    """This service's connection pool, as its own role."""

    def __init__(self, url: str, pool_size: int = 10) -> None:
        self.engine: AsyncEngine = create_async_engine(
            asyncpg_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_pre_ping=False,
            pool_recycle=1800,
            hide_parameters=True,  # else every value of a statement that fails is in the error, and so in the log
            connect_args={"timeout": 10, "server_settings": {"application_name": "incidentfox"}},
        )

    @asynccontextmanager
    async def transaction(self, scope: Scope) -> AsyncIterator[AsyncConnection]:
        """One transaction for one tenant: commits when the block ends, rolls back when it raises."""
        try:
            async with self.engine.begin() as connection:
                await enter(connection, scope)
                yield connection
        except _RAISED as error:
            failure = _failure(error)
            if failure is None:
                raise
            raise failure from error

    async def fetch(self, statement: str, *arguments: object) -> list[Any]:
        """The rows of one statement, in a transaction of its own, which the statement itself binds to its tenant.

        For the hot path: one round trip straight on the driver, where `transaction` takes four and more.
        """
        try:
            async with self.engine.connect() as connection:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                try:
                    rows: list[Any] = await driver.fetch(statement, *arguments)
                except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                    if driver.is_closed():
                        await connection.invalidate()
                    raise
                return rows
        except asyncpg.PostgresError as error:
            failure = _failure_of_state(error.sqlstate or "")
            if failure is None:
                raise
            raise failure from error
        except (asyncpg.InterfaceError, *_RAISED) as error:
            raise _failure(error) or _away() from error

    async def ping(self) -> None:
        """Raises Unavailable unless the database answers: the readiness of every service with tables."""
        try:
            async with self.engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
        except _RAISED as error:
            raise _failure(error) or Unavailable(
                "The database does not answer as it should.", code="database_unavailable"
            ) from error

    async def close(self) -> None:
        """Closes the pool; called when the process stops."""
        await self.engine.dispose()


def asyncpg_url(url: str) -> str:
    """`postgresql://…` with the driver that SQLAlchemy shall use."""
    scheme, separator, rest = url.partition("://")
    return f"postgresql+asyncpg{separator}{rest}" if scheme in {"postgresql", "postgres"} else url


async def enter(connection: AsyncConnection, scope: Scope) -> None:
    """Binds the rest of the transaction to a scope. Called when one begins, and where one is narrowed."""
    settings = list(scope_settings(scope).items())
    parameters = {f"k{i}": key for i, (key, _) in enumerate(settings)}
    parameters |= {f"v{i}": value for i, (_, value) in enumerate(settings)}
    await connection.execute(text(_SET if len(settings) == 2 else _SET_ONE), parameters)


def _failure(error: Exception) -> Failure | None:
    """What an error of the database means to the caller; None for an error of ours."""
    if isinstance(error, PoolTimeout):
        return Unavailable("All of this process's database connections are busy.", code="database_unavailable")
    if not isinstance(error, DBAPIError) or isinstance(error, OperationalError | InterfaceError):
        return _away()
    if error.connection_invalidated:
        return _away()
    return _failure_of_state(getattr(error.orig, "sqlstate", None) or "")


def _away() -> Unavailable:
    return Unavailable("The database is not reachable.", code="database_unavailable")


def _failure_of_state(state: str) -> Failure | None:
    if state.startswith(_AWAY):
        return _away()
    if state in _IN_THE_WAY:
        return Unavailable("Another writer was in the way. Try again.", code="write_contention")
    if state in _UNSTORABLE_TEXT:
        return Invalid("The request holds text that cannot be stored (NUL or broken Unicode).", code="invalid_text")
    return None
