"""The shop's customers: a light, steady, repeatable load. `python -m incidentfox.local.shop.load`.

Open loop: requests leave at a fixed pace whatever becomes of the earlier ones, as customers do. Of eight requests two
read the front page and six buy; one of the six is a large order. The articles take turns.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal

import httpx2

from incidentfox.local.shop.calls import once_more
from incidentfox.local.shop.database import ARTICLES
from incidentfox.local.shop.settings import LoadSettings

_TIMEOUT_S = 10.0
_MOST_IN_FLIGHT = 100
_PATTERN = (1, 2, 0, 3, 40, 1, 0, 2)
"""Pieces bought by the successive requests; 0 reads the front page."""


def purchase(number: int) -> tuple[str, int]:
    """(article, pieces) of the request with this number.

    A turn has eight requests and there are four articles: each turn starts one article later, so that every article
    is bought in bulk within four turns.
    """
    turn = number // len(_PATTERN)
    return ARTICLES[(number + turn) % len(ARTICLES)], _PATTERN[number % len(_PATTERN)]


async def send(web: httpx2.AsyncClient, number: int) -> None:
    """One request; how it ends is the customer's sorrow and the monitor's business."""
    article, pieces = purchase(number)
    with contextlib.suppress(httpx2.HTTPError):
        if pieces:
            await once_more(lambda: web.post("/checkout", json={"sku": article, "quantity": pieces}))
        else:
            await once_more(lambda: web.get("/recent"))


async def run(settings: LoadSettings) -> None:
    """Sends requests until SIGTERM."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    in_flight: set[asyncio.Task[None]] = set()
    limits = httpx2.Limits(max_keepalive_connections=0)
    async with httpx2.AsyncClient(base_url=settings.web_url, timeout=_TIMEOUT_S, limits=limits) as web:
        began = loop.time()
        for number in itertools.count():
            if len(in_flight) < _MOST_IN_FLIGHT:
                task = asyncio.create_task(send(web, number))
                in_flight.add(task)
                task.add_done_callback(in_flight.discard)
            pause = began + (number + 1) / settings.load_rate - loop.time()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(pause, 0.001)):
                    await stopped.wait()
            if stopped.is_set():
                break
        for task in in_flight:
            task.cancel()


def main() -> None:
    """The process."""
    asyncio.run(run(LoadSettings()))


if __name__ == "__main__":
    main()
