"""Wakes the readers of a timeline: one connection of the process listens, however many streams are open.

A notification may be lost (the connection breaks, the database fails over); readers therefore also look by
themselves, once a second at the latest. What is signalled is that something happened, never what.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import asyncpg  # type: ignore[import-untyped]

from incidentfox.config_service.timeline.tables import CHANNEL
from incidentfox.kernel.logging import get_logger

log = get_logger(__name__)

_RECONNECT_S = 1.0


class RunSignals:
    """Started and stopped by the composition root; `watch` is for the streams."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to listen. Returns at once: streams work without, only slower."""
        self._task = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        """Ends the connection."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    @contextmanager
    def watch(self, run_id: str) -> Iterator[asyncio.Event]:
        """An event that is set when the run's timeline may have grown; the watcher clears it."""
        changed = asyncio.Event()
        watchers = self._watchers.setdefault(run_id, set())
        watchers.add(changed)
        try:
            yield changed
        finally:
            watchers.discard(changed)
            if not watchers:
                self._watchers.pop(run_id, None)

    async def _listen(self) -> None:
        while True:
            try:
                await self._listen_once()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("run signals lost", error=type(error).__name__)
            await asyncio.sleep(_RECONNECT_S)

    async def _listen_once(self) -> None:
        lost = asyncio.Event()
        connection = await asyncpg.connect(self._url, timeout=10)
        try:
            connection.add_termination_listener(lambda *_: lost.set())
            await connection.add_listener(CHANNEL, self._notified)
            self._wake_all()
            await lost.wait()
        finally:
            await connection.close(timeout=2)

    def _notified(self, _connection: object, _pid: int, _channel: str, run_id: object) -> None:
        for changed in self._watchers.get(str(run_id), ()):
            changed.set()

    def _wake_all(self) -> None:
        """Something may have happened while nobody listened."""
        for watchers in self._watchers.values():
            for changed in watchers:
                changed.set()
