"""What asyncpg raises when it is the database that fails, not the statement."""

from __future__ import annotations

import asyncpg  # type: ignore[import-untyped]

DATABASE_AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,  # after a fail-over, until the name leads to the new primary
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what asyncpg trips over when a connection is cut in mid-message
    OSError,
    TimeoutError,
)
"""What a statement raises while the database is away, restarting, failing over or out of connections."""
