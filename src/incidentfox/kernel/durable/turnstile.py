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

_LATELY_S = 10.0


class _Group:
    """Lives for as long as somebody waits or executes."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.waiting = 0

    async def wait(self) -> None:
        """Waits for the group's turn, in the order of arrival."""
        self.waiting += 1
        try:
            await self.turn.acquire()
        finally:
            self.waiting -= 1


class Turnstile:
    """The groups of one workflow in one process.

    An execution begins when the one before it in its group has ended, in any case `patience_s` after that one began.
    Where others of its group wait and other groups have come lately, its group rests first, so long that it computes
    for no more than `share` of the time.
    """

    def __init__(self, share: float, patience_s: float) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"A share is more than 0 and at most 1: {share}.")
        self._rests = 1 / share - 1
        self._patience_s = patience_s
        self._groups: WeakValueDictionary[str, _Group] = WeakValueDictionary()
        self._came: dict[str, float] = {}

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        """Waits for the turn of the group of this name; the block is the execution."""
        loop = asyncio.get_running_loop()
        self._came[name] = loop.time()
        group = self._groups.setdefault(name, _Group())
        await group.wait()
        passed = False

        def let_pass() -> None:
            nonlocal passed
            if not passed:
                passed = True
                group.turn.release()

        began = loop.time()
        in_any_case = loop.call_at(began + self._patience_s, let_pass)
        try:
            yield
        finally:
            ended = loop.time()
            in_any_case.cancel()
            free = self._alone(name, ended) or not group.waiting
            rest = 0.0 if free else self._rests * (ended - began)
            loop.call_at(min(began + self._patience_s, ended + rest), let_pass)

    def _alone(self, name: str, now: float) -> bool:
        """Whether no other group has come lately, for whom a rest would be."""
        self._came = {one: at for one, at in self._came.items() if one == name or now - at < _LATELY_S}
        return self._came.keys() <= {name}

    def guarded(
        self, workflow: Callable[..., Awaitable[None]], group_of: Callable[..., str]
    ) -> Callable[..., Awaitable[None]]:
        """The workflow, each execution of which waits for its turn; `group_of` takes the same arguments."""

        async def in_turn(*args: str) -> None:
            async with self.turn(group_of(*args)):
                await workflow(*args)

        return in_turn
