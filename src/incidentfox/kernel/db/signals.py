"""Hears what other processes commit: one connection of the process listens, however many wait.

What is signalled is that something happened to a key, never what: a notification is not subject to row-level security.
One may be lost (the connection breaks, the database fails over). Whoever waits for one therefore also looks by itself
now and then, and is told when the listening began anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import asyncpg  # type: ignore[import-untyped]

from incidentfox.kernel.logging import get_logger

log = get_logger(__name__)

_RECONNECT_S = 1.0
_STOP_S = 2.0

Told = Callable[[str | None], None]
"""Is called with the key; with None when anything may have happened while nobody listened."""


class Signals:
    """Started and stopped by the composition root, after everybody has subscribed."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._told: dict[str, Told] = {}
        self._task: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._stopping = asyncio.Event()

    def subscribe(self, channel: str, told: Told) -> None:
        """Calls `told` with the key of every notification on the channel."""
        self._told[channel] = told

    def start(self) -> None:
        """Begins to listen. Returns at once: everything works without, only slower."""
        self._task = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        """Ends the connection."""
        if self._task is None:
            return
        self._stopping.set()
        self._lost.set()
        # A connection that is being made is given a moment: asyncpg leaves an error behind where that is cut short.
        await asyncio.wait({self._task}, timeout=_STOP_S)
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _listen(self) -> None:
        while not self._stopping.is_set():
            self._lost.clear()
            try:
                await self._listen_once()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("signals lost", error=type(error).__name__)
            with suppress(TimeoutError):
                async with asyncio.timeout(_RECONNECT_S):
                    await self._stopping.wait()

    async def _listen_once(self) -> None:
        connection = await asyncpg.connect(self._url, timeout=10)
        try:
            connection.add_termination_listener(lambda *_: self._lost.set())
            for channel, told in self._told.items():
                await connection.add_listener(channel, self._notified)
                told(None)
            if not self._stopping.is_set():
                await self._lost.wait()
        finally:
            await connection.close(timeout=2)

    def _notified(self, _connection: object, _pid: int, channel: str, key: object) -> None:
        self._told[channel](str(key))


class Watchers:
    """Wakes those that wait for one key of a channel."""

    def __init__(self, signals: Signals, channel: str) -> None:
        self._watchers: dict[str, set[asyncio.Event]] = {}
        signals.subscribe(channel, self._wake)

    @contextmanager
    def watch(self, key: str) -> Iterator[asyncio.Event]:
        """An event that is set when something may have happened to the key; the watcher clears it."""
        changed = asyncio.Event()
        watchers = self._watchers.setdefault(key, set())
        watchers.add(changed)
        try:
            yield changed
        finally:
            watchers.discard(changed)
            if not watchers:
                self._watchers.pop(key, None)

    def _wake(self, key: str | None) -> None:
        woken = self._watchers.values() if key is None else [self._watchers.get(key, set())]
        for watchers in woken:
            for changed in watchers:
                changed.set()
