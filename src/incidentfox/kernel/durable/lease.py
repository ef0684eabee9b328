"""A worker's sign of life: a name of its own, and an advisory lock on it, held by a connection that does nothing else.

Postgres frees the lock the moment the process or its connection is gone, which is how peers learn of it. The name is
new for every lease, so whatever was claimed under an old one is known to be orphaned. The connection must reach
Postgres itself or a pooler in session mode: in transaction mode a pooler would share the lock's session out.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import uuid

import asyncpg  # type: ignore[import-untyped]

from incidentfox.kernel.durable.away import DATABASE_AWAY
from incidentfox.kernel.durable.options import EngineSettings
from incidentfox.kernel.durable.store import lock_key_sql

_SILENCE_S = 6.0

# The server gives a vanished host's lock up after about 11 s (idle + 3 probes), well after the worker has fenced
# itself (heartbeat + silence, 7 s): the two never overlap. Ignored on a Unix socket, where a peer cannot vanish.
_KEEPALIVE = {"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "2", "tcp_keepalives_count": "3"}


class Lease:
    """One lease. Made by `acquire`, over when `lost()` returns or `release()` is called."""

    def __init__(self, executor_id: str, connection: asyncpg.Connection, heartbeat_s: float) -> None:
        self.executor_id = executor_id
        self._connection = connection
        self._heartbeat_s = heartbeat_s
        self._closed = asyncio.Event()
        connection.add_termination_listener(lambda _: self._closed.set())

    @classmethod
    async def acquire(cls, settings: EngineSettings) -> Lease:
        """Connects and locks a fresh name. Raises whatever asyncpg raises while the database is away."""
        executor_id = f"{settings.version_name}-{socket.gethostname()[:40]}-{os.getpid()}-{uuid.uuid4().hex[:12]}"
        connection = await asyncpg.connect(
            settings.plain_url,
            timeout=5,
            server_settings={"application_name": executor_id[:63], "idle_session_timeout": "0", **_KEEPALIVE},
        )
        if not await connection.fetchval(f"SELECT pg_try_advisory_lock({lock_key_sql('$1')})", executor_id):
            connection.terminate()
            raise asyncpg.InterfaceError("The advisory lock of a fresh name is taken: a hash collision; try again.")
        return cls(executor_id, connection, settings.heartbeat_s)

    async def lost(self) -> None:
        """Returns once the connection is gone or silent: from then on a peer may take the work over."""
        while not self._closed.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._heartbeat_s):
                    await self._closed.wait()
                return
            if not await self._answers():
                break
        self._connection.terminate()

    async def _answers(self) -> bool:
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        try:
            await self._connection.fetchval("SELECT 1", timeout=_SILENCE_S)
        except DATABASE_AWAY as error:
            # A loop that was busy for so long sees its own silence, not the server's: ask again.
            was_busy = loop.time() - asked_at > _SILENCE_S + 1.0
            return isinstance(error, TimeoutError) and was_busy
        return True

    def release(self) -> None:
        """Ends the lease at once; the server frees the lock when it sees the connection close."""
        self._connection.terminate()
