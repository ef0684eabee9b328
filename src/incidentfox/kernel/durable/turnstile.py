"""Holds whoever floods to a share of the processor: executions of one group begin one after the other, with rests.

Used by the workflows that engine.py declares. A processor is shared among all that runs: beside eight executions of one
group a newcomer's would get a ninth part. Most of an execution's short life is computing, here and in the services that
it calls; one that lives longer waits for something outside (a model, a person, a peer that hangs), and what waits takes
nothing from anybody, so the next of its group need not wait for its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class Turnstile:
    """The groups of one workflow in one process.

    An execution begins when the one before it in its group has ended and the group has rested, so long that it computes
    for no more than `share` of the time; in any case `patience_s` after the one before it began.
    """

    def __init__(self, share: float, patience_s: float) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"A share is more than 0 and at most 1: {share}.")
        self._rests = 1 / share - 1
        self._patience_s = patience_s
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, group: str) -> AsyncIterator[None]:
        """Waits for its turn, in the order of arrival; the block is the execution."""
        lock = self._locks.setdefault(group, asyncio.Lock())
        await lock.acquire()
        passed = False

        def let_pass() -> None:
            nonlocal passed
            if not passed:
                passed = True
                lock.release()

        loop = asyncio.get_running_loop()
        began = loop.time()
        in_any_case = loop.call_at(began + self._patience_s, let_pass)
        try:
            yield
        finally:
            ended = loop.time()
            in_any_case.cancel()
            loop.call_at(min(began + self._patience_s, ended + self._rests * (ended - began)), let_pass)

    def guarded(
        self, workflow: Callable[..., Awaitable[None]], group_of: Callable[..., str]
    ) -> Callable[..., Awaitable[None]]:
        """The workflow, each execution of which waits for its turn; `group_of` takes the same arguments."""

        async def in_turn(*args: str) -> None:
            async with self.turn(group_of(*args)):
                await workflow(*args)

        return in_turn
