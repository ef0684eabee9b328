"""Stand-ins for what the agent reaches outside of the product, over real HTTP: a Slack, and a team's telemetry feeds.

Each keeps what it was told in memory and can be told to fail, so that a test decides when the agent is cut off.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import uvicorn
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from incidentfox.agent.telemetry.records import parse_time


@asynccontextmanager
async def serve(app: Any, port: int = 0, *, started: bool = False) -> AsyncIterator[str]:
    """Serves an application on this machine, on a free port unless one is given; its base URL.

    One that is `started` by somebody else is only given a port.
    """
    lifespan: Literal["on", "off"] = "off" if started else "on"
    server = uvicorn.Server(
        uvicorn.Config(app, port=port, log_config=None, lifespan=lifespan, ws="none", timeout_graceful_shutdown=1)
    )
    task = asyncio.create_task(server.serve())
    while not server.started:
        if task.done():
            task.result()
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


@dataclass
class SlackTwin:
    """One workspace. `refuse` is asked before each call and may answer for Slack."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    tokens: set[str] = field(default_factory=set)
    channels: dict[str, str] = field(default_factory=lambda: {"C0INCIDENTS": "incidents"})
    refuse: Callable[[str], Response | None] = lambda _: None
    posted: asyncio.Event = field(default_factory=asyncio.Event)
    hold: asyncio.Event | None = None

    def app(self) -> FastAPI:
        """The twin over HTTP: `/api/<method>`."""
        app = FastAPI()

        @app.api_route("/api/{method}", methods=["GET", "POST"])
        async def call(method: str, request: Request) -> Response:
            self.calls[method] += 1
            self.tokens.add(request.headers.get("authorization", "").removeprefix("Bearer "))
            refused = self.refuse(method)
            if refused is not None:
                return refused
            arguments: dict[str, Any] = dict(request.query_params)
            body = await request.body()
            if request.headers.get("content-type", "").startswith("application/json"):
                arguments |= json.loads(body)
            elif body:
                arguments |= dict(await request.form())
            return await self._answer(method, arguments)

        return app

    async def _answer(self, method: str, asked: dict[str, Any]) -> Response:
        if method == "chat.postMessage":
            channel = next((one for one, name in self.channels.items() if asked["channel"] in (one, f"#{name}")), None)
            if channel is None:
                return JSONResponse({"ok": False, "error": "channel_not_found"})
            message = {**asked, "channel": channel, "ts": f"{time.time():.6f}"}
            self.messages.append(message)
            self.posted.set()
            if self.hold is not None:
                await self.hold.wait()
            return JSONResponse({"ok": True, "channel": channel, "ts": message["ts"], "message": message})
        if method == "chat.getPermalink":
            link = f"https://acme.slack.test/archives/{asked['channel']}/p{asked['message_ts'].replace('.', '')}"
            return JSONResponse({"ok": True, "permalink": link})
        if method == "conversations.list":
            known = [{"id": channel, "name": name} for channel, name in self.channels.items()]
            return JSONResponse({"ok": True, "channels": known, "response_metadata": {"next_cursor": ""}})
        if method in ("conversations.history", "conversations.replies"):
            return JSONResponse({"ok": True, "messages": self._read(asked), "has_more": False})
        return JSONResponse({"ok": False, "error": "unknown_method"})

    def _read(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        """Metadata only comes along when asked for, and a thread only shows when it is named: as Slack does it."""
        thread = asked.get("ts")
        found = [
            one
            for one in self.messages
            if one["channel"] == asked["channel"]
            and float(one["ts"]) >= float(asked["oldest"])
            and one.get("thread_ts") == thread
        ]
        with_metadata = str(asked.get("include_all_metadata", "")).lower() in ("1", "true")
        return [one if with_metadata else {k: v for k, v in one.items() if k != "metadata"} for one in found]


@dataclass
class FeedsTwin:
    """A team's telemetry feeds in the live form, from the files of a recording. A feed in `held` waits."""

    files: dict[str, str]
    reads: Counter[str] = field(default_factory=Counter)
    held: dict[str, asyncio.Event] = field(default_factory=dict)
    asked: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    def app(self) -> FastAPI:
        """The twin over HTTP: `/metrics`, `/logs`, `/traces`, `/changes`."""
        app = FastAPI()

        @app.get("/{feed}")
        async def read(feed: str, since: float) -> Response:
            self.reads[feed] += 1
            self.asked.put_nowait(feed)
            if feed in self.held:
                await self.held[feed].wait()
            return PlainTextResponse(self._text(feed))

        return app

    def _text(self, feed: str) -> str:
        if feed == "metrics":
            rows = [line.split(",") for line in self.files["metrics.csv"].splitlines()[1:]]
            return "".join(
                f'{metric}{{service="{service}"}} {value} {parse_time(at)}\n' for at, service, metric, value in rows
            )
        if feed == "logs":
            return self.files["logs.ndjson"]
        if feed == "traces":
            return "".join(json.dumps(span) + "\n" for span in json.loads(self.files["traces.json"]))
        named = {"commits": "context/commits.json", "deploys": "context/deploys.json", "flags": "context/flags.json"}
        return json.dumps({key: json.loads(self.files[name]) for key, name in named.items()})
