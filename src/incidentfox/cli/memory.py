"""Peak memory of the services' processes while something happens, beyond what they hold at idle.

Resident set sizes are read from /proc every few milliseconds and summed; where the processes are elsewhere, or the
system has no /proc, nothing is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

_EVERY_S = 0.01
_MB = 1e6
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Watch:
    """One stretch of time. `peak_mb` is its highest sum so far, beyond idle; None when nothing was measured."""

    def __init__(self) -> None:
        self.peak_mb: float | None = None


class MemoryMeter:
    """Watches a set of processes. What they hold when it is made counts as idle."""

    def __init__(self, pids: Collection[int]) -> None:
        self._pids = tuple(pids)
        self._idle = self._resident()
        self._watches: set[Watch] = set()

    @contextmanager
    def watch(self) -> Iterator[Watch]:
        """Measures until the block ends. Watches may overlap: each sees what all of them use."""
        one = Watch()
        self._watches.add(one)
        self._sample()
        try:
            yield one
        finally:
            self._sample()
            self._watches.discard(one)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Samples in the background until the block ends."""
        task = asyncio.create_task(self._keep_sampling())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _keep_sampling(self) -> None:
        while self._idle is not None:
            self._sample()
            await asyncio.sleep(_EVERY_S)

    def _sample(self) -> None:
        now = self._resident()
        if now is None or self._idle is None:
            return
        beyond = max(0.0, (now - self._idle) / _MB)
        for watch in self._watches:
            watch.peak_mb = max(watch.peak_mb or 0.0, beyond)

    def _resident(self) -> int | None:
        """The sum in bytes; None when a process is gone, or cannot be seen."""
        if not self._pids:
            return None
        try:
            # proc_pid_statm(5): size, resident, …, in pages
            return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE for pid in self._pids)
        except (OSError, IndexError):
            return None
