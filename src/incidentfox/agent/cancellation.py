"""How an investigation learns that somebody has ended its run: it asks now and then, and is stopped.

Whatever a stopped run would still do is refused by the Config Service in any case; this saves what it would cost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from incidentfox.kernel.errors import Failure
from incidentfox.kernel.logging import get_logger

log = get_logger(__name__)

ASK_EVERY_S = 2.0


async def unless_over(
    work: Coroutine[Any, Any, None], is_over: Callable[[], Awaitable[bool]], every_s: float | None = None
) -> bool:
    """Does `work`, as long as `is_over` does not say yes. True when the work was done, False when it was stopped."""
    working = asyncio.create_task(work)
    watching = asyncio.create_task(_until_over(is_over, every_s or ASK_EVERY_S))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            await working
            return True
        await watching  # raises what broke it: nobody has ended this run
        return False
    finally:
        working.cancel()
        watching.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _until_over(is_over: Callable[[], Awaitable[bool]], every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        try:
            if await is_over():
                return
        except Failure as failure:
            # Not knowing is no reason to stop: the next step meets the same failure, and deals with it.
            log.info("cannot tell whether the run goes on", code=failure.code)
