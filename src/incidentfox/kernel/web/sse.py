"""Server-sent events (WHATWG HTML, section 9.2): `id`, `event`, `data`, and a comment as heartbeat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import StreamingResponse

from incidentfox.kernel.errors import Invalid

MEDIA_TYPE = "text/event-stream"
HEARTBEAT_S = 15.0


@dataclass(frozen=True)
class ServerSentEvent:
    """One event. `data` is one line of JSON; `id` is where a reader may resume, where it may."""

    id: str | None
    event: str
    data: str

    def encode(self) -> bytes:
        """The event on the wire."""
        place = "" if self.id is None else f"id: {self.id}\n"
        return f"{place}event: {self.event}\ndata: {self.data}\n\n".encode()


def last_event_id(request: Request) -> int:
    """Where the reader left off, from `Last-Event-ID` (or `?after=`, for a first connection); 0 at the start."""
    value = request.headers.get("last-event-id") or request.query_params.get("after") or "0"
    if not (value.isascii() and value.isdigit()) or len(value) > 18:
        raise Invalid("`Last-Event-ID` must be the id of an event of this stream.", code="invalid_last_event_id")
    return int(value)


def wants_events(request: Request) -> bool:
    """Whether the caller asks for events rather than for the plain answer."""
    return MEDIA_TYPE in request.headers.get("accept", "").lower()


class EventStream(StreamingResponse):
    """The response that sends events as they come, with heartbeats between them."""

    def __init__(self, events: AsyncIterator[ServerSentEvent]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(_with_heartbeats(events), media_type=MEDIA_TYPE, headers=headers)


def event_stream(events: AsyncIterator[ServerSentEvent]) -> StreamingResponse:
    """The response that sends these events."""
    return EventStream(events)


async def _with_heartbeats(events: AsyncIterator[ServerSentEvent]) -> AsyncIterator[bytes]:
    pending = asyncio.ensure_future(anext(events))
    try:
        while True:
            done, _ = await asyncio.wait({pending}, timeout=HEARTBEAT_S)
            if not done:
                yield b": heartbeat\n\n"
                continue
            try:
                event = pending.result()
            except StopAsyncIteration:
                return
            yield event.encode()
            pending = asyncio.ensure_future(anext(events))
    finally:
        pending.cancel()
