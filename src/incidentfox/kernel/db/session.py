"""Transactions over SQLAlchemy Core. One request = one transaction, committed at the edge; services never commit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from incidentfox.kernel.db.tenancy import Scope, scope_settings
from incidentfox.kernel.errors import Unavailable

_SET = "SELECT " + ", ".join(f"set_config(:k{i}, :v{i}, true)" for i in range(2))
_SET_ONE = "SELECT set_config(:k0, :v0, true)"


class Database:
    """This service's connection pool, as its own role."""

    def __init__(self, url: str, pool_size: int = 10) -> None:
        self.engine: AsyncEngine = create_async_engine(
            asyncpg_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_pre_ping=False,
            pool_recycle=1800,
            connect_args={"timeout": 10, "server_settings": {"application_name": "incidentfox"}},
        )

    @asynccontextmanager
    async def transaction(self, scope: Scope) -> AsyncIterator[AsyncConnection]:
        """One transaction for one tenant: commits when the block ends, rolls back when it raises."""
        try:
            async with self.engine.begin() as connection:
                await _enter(connection, scope)
                yield connection
        except (OperationalError, InterfaceError, ConnectionError, TimeoutError) as error:
            raise Unavailable("The database is not reachable.", code="database_unavailable") from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise Unavailable("The database connection was lost.", code="database_unavailable") from error
            raise

    async def ping(self) -> None:
        """Raises Unavailable unless the database answers: the readiness of every service with tables."""
        try:
            async with self.engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
        except (DBAPIError, ConnectionError, TimeoutError, OSError) as error:
            raise Unavailable("The database is not reachable.", code="database_unavailable") from error

    async def close(self) -> None:
        """Closes the pool; called when the process stops."""
        await self.engine.dispose()


def asyncpg_url(url: str) -> str:
    """`postgresql://…` with the driver that SQLAlchemy shall use."""
    scheme, separator, rest = url.partition("://")
    return f"postgresql+asyncpg{separator}{rest}" if scheme in {"postgresql", "postgres"} else url


async def _enter(connection: AsyncConnection, scope: Scope) -> None:
    settings = list(scope_settings(scope).items())
    parameters = {f"k{i}": key for i, (key, _) in enumerate(settings)}
    parameters |= {f"v{i}": value for i, (_, value) in enumerate(settings)}
    await connection.execute(text(_SET if len(settings) == 2 else _SET_ONE), parameters)
