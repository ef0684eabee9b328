"""Server-sent events: resumable, and closed with their reader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.requests import Request

from incidentfox.kernel.errors import Invalid
from incidentfox.kernel.web import sse
from incidentfox.kernel.web.sse import ServerSentEvent, event_stream, last_event_id


def request(headers: dict[str, str], query: str = "") -> Request:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Request({"type": "http", "headers": raw, "query_string": query.encode()})


def test_a_reader_resumes_where_it_left_off() -> None:
    assert last_event_id(request({})) == 0
    assert last_event_id(request({"last-event-id": "7"}, "after=3")) == 7
    assert last_event_id(request({}, "after=3")) == 3
    for wrong in ("-1", "x", "9" * 30, "²"):
        with pytest.raises(Invalid):
            last_event_id(request({"last-event-id": wrong}))


@pytest.mark.anyio
async def test_a_quiet_stream_sends_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.01)
    release = asyncio.Event()

    async def events() -> AsyncIterator[ServerSentEvent]:
        yield ServerSentEvent("1", "run.started", "{}")
        await release.wait()
        yield ServerSentEvent("2", "run.finished", "{}")

    seen = []
    async for chunk in event_stream(events()).body_iterator:
        seen.append(bytes(chunk))
        if b": heartbeat" in seen[-1]:
            release.set()
    assert seen[0] == b"id: 1\nevent: run.started\ndata: {}\n\n"
    assert b": heartbeat\n\n" in seen
    assert seen[-1].startswith(b"id: 2\n")
