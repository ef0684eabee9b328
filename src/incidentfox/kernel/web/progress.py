"""An answer that takes long, with events that say how far it is: for whoever asks with `Accept: text/event-stream`.

The work is the same either way: a coroutine that makes the plain answer, and has committed when it returns. So a
`result` is sent after the commit and a `problem` after the rollback. What fails before the first progress is told is
answered plainly, with its own status; from then on the status is 200, and the last event says how it ended.

A reader who goes away ends the work: what was not committed by then is rolled back.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

from fastapi import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from incidentfox.contracts.progress import Progress, ProgressEvent
from incidentfox.kernel.web.problem import handled
from incidentfox.kernel.web.sse import EventStream, ServerSentEvent, wants_events

PROGRESS_S = 0.2
"""The least time between two progress events."""

Tell = Callable[[Progress], None]
"""Takes word of how far the work is. Cheap: it may be called as often as the work likes."""

Work = Callable[[Tell], Awaitable[Response]]


def nobody(_: Progress) -> None:
    """Whom work tells that nobody watches."""


async def answer(request: Request, work: Work) -> Response:
    """The plain answer, or the same as the last of some events. Called by routes in place of doing the work."""
    if not wants_events(request):
        return await work(nobody)
    watch = _Watch()
    task = asyncio.ensure_future(work(watch.tell))
    began = asyncio.ensure_future(watch.began.wait())
    try:
        await asyncio.wait({task, began}, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        await _ended(task)
        raise
    finally:
        began.cancel()
    if not watch.began.is_set():
        task.result()  # raises what is answered plainly
    return _Watched(request, task, watch)


class _Watch:
    """The latest word from the work."""

    def __init__(self) -> None:
        self.latest: Progress | None = None
        self.began = asyncio.Event()

    def tell(self, progress: Progress) -> None:
        self.latest = progress
        self.began.set()


class _Watched(EventStream):
    """The events of work that goes on for as long as somebody reads them."""

    def __init__(self, request: Request, task: asyncio.Future[Response], watch: _Watch) -> None:
        super().__init__(_events(request, task, watch))
        self._task = task

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await _ended(self._task)


async def _events(request: Request, task: asyncio.Future[Response], watch: _Watch) -> AsyncIterator[ServerSentEvent]:
    told: Progress | None = None
    while not task.done():
        if watch.latest is not None and watch.latest != told:
            told = watch.latest
            yield ServerSentEvent(None, ProgressEvent.PROGRESS, told.model_dump_json())
        await asyncio.wait({task}, timeout=PROGRESS_S)
    error = task.exception()
    if error is not None:
        problem = await handled(request, error)
        yield ServerSentEvent(None, ProgressEvent.PROBLEM, bytes(problem.body).decode())
        return
    response = task.result()
    head = json.dumps({"status": response.status_code, "etag": response.headers.get("etag")})
    body = bytes(response.body).decode() or "null"
    yield ServerSentEvent(None, ProgressEvent.RESULT, f'{head[:-1]}, "body": {body}}}')


async def _ended(task: asyncio.Future[Response]) -> None:
    """Waits for the work to end, which is cancelled unless it has ended: with the request, its transaction is over."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # looked at, so that the event loop does not report it as forgotten
