"""How a run remembers what it has done: the one word `step`, with and without a database behind it.

The loop does not know which of the two it has. Under `workflow.py` each step is a durable one of `kernel/durable`, so
that after a crash neither a model request nor a finished tool is repeated; in a plain process nothing is kept.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from incidentfox.kernel.durable import NO_RETRY, Engine, Retry
from incidentfox.kernel.errors import Temporary

Body = Callable[[], Awaitable[Any]]


class Journal(Protocol):
    """Runs the steps of one run."""

    async def step(self, name: str, body: Body, *, retry: Retry = NO_RETRY) -> Any:
        """Runs `body` once and returns its result as JSON gives it back. `retry` covers Temporary failures."""
        ...


class PassingJournal:
    """Keeps nothing: for runs of one process, and for tests."""

    async def step(self, name: str, body: Body, *, retry: Retry = NO_RETRY) -> Any:
        """See Journal."""
        failures = 0
        while True:
            try:
                return json.loads(json.dumps(await body(), allow_nan=False))
            except Temporary as failure:
                failures += 1
                if retry.attempts is not None and failures >= retry.attempts:
                    raise
                await asyncio.sleep(retry.delay_s(failures, failure.retry_after_s))


class DurableJournal:
    """Keeps everything: valid inside a workflow of the engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def step(self, name: str, body: Body, *, retry: Retry = NO_RETRY) -> Any:
        """See Journal."""
        return await self._engine.step(name, body, retry=retry)
