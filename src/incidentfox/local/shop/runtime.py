"""What a release may use of the service that runs it: the database pool, its peer, its log."""

from __future__ import annotations

from typing import Any

import asyncpg  # type: ignore[import-untyped]

from incidentfox.local.shop.calls import Peer
from incidentfox.local.shop.telemetry import Telemetry, current_span

_LOCK_TIMEOUT = "2s"
_POOL = 10
_STATEMENTS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})


class Runtime:
    """The surroundings of a release in a running service."""

    def __init__(self, pool: asyncpg.Pool, peer: Peer | None, telemetry: Telemetry) -> None:
        self.pool = pool
        self._peer = peer
        self._telemetry = telemetry

    def log(self, severity: str, message: str, **fields: Any) -> None:
        """Writes one log record."""
        self._telemetry.log(severity, message, **fields)

    async def call(self, service: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Calls the next service; PeerFailed when that fails."""
        if self._peer is None:
            raise LookupError(f"This service calls nobody, and was asked to call {service}.")
        return await self._peer.post(service, path, body)


async def open_pool(url: str, telemetry: Telemetry) -> asyncpg.Pool:
    """The service's connections: named after it, impatient with locks, every statement timed."""

    def on_statement(record: asyncpg.connection.LoggedQuery) -> None:
        verb = record.query.split(None, 1)[0].upper()
        if verb not in _STATEMENTS or current_span() is None or "pg_advisory_unlock_all" in record.query:
            return
        error = None if record.exception is None else str(record.exception)
        telemetry.statements.observe(record.elapsed)
        if record.exception is not None:
            telemetry.statement_errors.labels(type(record.exception).__name__).inc()
        attributes = {"db.system": "postgresql", "db.statement": record.query}
        telemetry.finished(f"{verb} shop", "CLIENT", record.elapsed, error, **attributes)

    async def prepare(connection: asyncpg.Connection) -> None:
        connection.add_query_logger(on_statement)

    return await asyncpg.create_pool(
        url,
        min_size=2,
        max_size=_POOL,
        init=prepare,
        server_settings={"application_name": f"shop-{telemetry.service}", "lock_timeout": _LOCK_TIMEOUT},
    )
