"""A stand-in for an OpenAI-compatible server over real HTTP: it answers by a script, turn by turn."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

Turn = Callable[[dict[str, Any]], Response]


@dataclass
class ModelTwin:
    """One server. The last turn of the script repeats; what was asked, and with which key, is kept."""

    script: list[Turn]
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def app(self) -> FastAPI:
        """The twin over HTTP: `/v1/chat/completions`."""
        app = FastAPI()

        @app.post("/v1/chat/completions")
        async def complete(request: Request) -> Response:
            body = await request.json()
            self.requests.append(body)
            self.headers.append(dict(request.headers))
            return self.script[min(len(self.requests), len(self.script)) - 1](body)

        return app


def answer(
    text: str = "",
    calls: list[tuple[str, Any]] | None = None,
    usage: tuple[int, int] | None = (100, 20),
    *,
    finish: str | None = None,
    model: str = "twin-1",
) -> Turn:
    """A streamed answer. Arguments that are no string are sent as JSON, in two halves; usage comes in its own chunk."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word} for word in (text[: len(text) // 2], text[len(text) // 2 :]) if word]
    for index, (name, arguments) in enumerate(calls or ()):
        whole = arguments if isinstance(arguments, str) else json.dumps(arguments)
        half = len(whole) // 2
        first = {"index": index, "id": f"c{index}", "function": {"name": name, "arguments": whole[:half]}}
        deltas.append({"tool_calls": [first]})
        deltas.append({"tool_calls": [{"index": index, "function": {"arguments": whole[half:]}}]})
    reason = finish or ("tool_calls" if calls else "stop")
    chunks = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    if usage is not None:
        chunks.append({"choices": [], "usage": {"prompt_tokens": usage[0], "completion_tokens": usage[1]}})
    lines = [f"data: {json.dumps({'id': 'chatcmpl-1', 'model': model, **chunk})}\n\n" for chunk in chunks]
    return lambda _: _stream([": a comment\n\n", *lines, "data: [DONE]\n\n"])


def raw(*lines: str) -> Turn:
    """A stream of these lines."""
    return lambda _: _stream([f"{line}\n\n" for line in lines])


def refusal(status: int, message: str, code: str | None = None, **headers: str) -> Turn:
    """An error in the API's form."""
    error = {"error": {"message": message, "type": "error", "code": code}}
    return lambda _: JSONResponse(error, status, headers={key.replace("_", "-"): it for key, it in headers.items()})


def hanging(until: asyncio.Event) -> Turn:
    """Begins to answer, then says nothing."""

    async def chunks() -> AsyncIterator[str]:
        yield 'data: {"choices": [{"delta": {"content": "well"}}]}\n\n'
        await until.wait()

    return lambda _: StreamingResponse(chunks(), media_type="text/event-stream")


def cut() -> Turn:
    """Breaks the connection in the middle of the answer."""

    async def chunks() -> AsyncIterator[str]:
        yield 'data: {"choices": [{"delta": {"content": "well"}}]}\n\n'
        raise ConnectionResetError

    return lambda _: StreamingResponse(chunks(), media_type="text/event-stream")


def _stream(texts: list[str]) -> Response:
    async def chunks() -> AsyncIterator[str]:
        for text in texts:
            yield text

    return StreamingResponse(chunks(), media_type="text/event-stream")
