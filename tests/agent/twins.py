"""Stand-ins for the agent's neighbours, over real HTTP: a Config Service, a Slack, and a team's telemetry feeds.

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
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from tests.agent.scenes import ORG, TEAM, effective

from incidentfox.agent.telemetry.records import parse_time
from incidentfox.contracts.answer import Usage
from incidentfox.contracts.configuration import EffectiveConfiguration
from incidentfox.contracts.events import AppendRunEvents, RunEvent
from incidentfox.contracts.runs import (
    FINISHED,
    CreateRun,
    FinishRun,
    IntendEffect,
    Run,
    RunEffect,
    RunInput,
    RunStatus,
    SettleEffect,
    StartedRun,
)
from incidentfox.kernel.clock import utc_now
from incidentfox.kernel.errors import Conflict, Failure, NotFound
from incidentfox.kernel.ids import new_id
from incidentfox.kernel.web.problem import install_problem_handlers, problem_response
from incidentfox.kernel.web.sse import ServerSentEvent, event_stream, last_event_id


@asynccontextmanager
async def serve(app: Any) -> AsyncIterator[str]:
    """Serves an application on a free port of this machine; its base URL."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_config=None, lifespan="on", ws="none", timeout_graceful_shutdown=1)
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
class ConfigServiceTwin:
    """Runs, timelines, effects and configurations of one team, behind the paths of the client."""

    configuration: EffectiveConfiguration = field(default_factory=effective)
    secrets: dict[str, str] = field(default_factory=dict)
    recordings: dict[str, dict[str, str]] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    events: dict[str, list[RunEvent]] = field(default_factory=dict)
    keys: dict[str, set[str]] = field(default_factory=dict)
    effects: dict[tuple[str, str], RunEffect] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    intercept: Callable[[str, Request], Failure | None] = lambda *_: None
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def add_run(self, asked: RunInput, *, run_id: str | None = None) -> str:
        """A queued run, as the orchestrator makes it."""
        request = CreateRun(
            run_id=run_id or new_id("run"), team_node_id=TEAM, input=asked, source="test", correlation_id=new_id("cor")
        )
        return self.create(request).run_id

    def create(self, request: CreateRun) -> Run:
        """Idempotent on the id."""
        if request.run_id not in self.runs:
            self.runs[request.run_id] = Run(
                **dict(request), org_id=ORG, status=RunStatus.QUEUED, config_hash=None, answer=None, error=None,
                usage=Usage(), created_at=utc_now(), started_at=None, finished_at=None,
            )  # fmt: skip
            self.events[request.run_id], self.keys[request.run_id] = [], set()
        return self.runs[request.run_id]

    def kinds(self, run_id: str) -> list[str]:
        """The types of the run's events, in order."""
        return [event.type.value for event in self.events[run_id]]

    async def finished(self, run_id: str, within_s: float = 30.0) -> Run:
        """The run once its timeline is closed."""
        async with asyncio.timeout(within_s), self.changed:
            await self.changed.wait_for(lambda: "run.finished" in self.kinds(run_id))
        return self.runs[run_id]

    async def until(self, condition: Callable[[], bool], within_s: float = 30.0) -> None:
        """Waits for something to become true by what this twin is told."""
        async with asyncio.timeout(within_s), self.changed:
            await self.changed.wait_for(condition)

    async def poke(self) -> None:
        """Lets those who wait look again."""
        async with self.changed:
            self.changed.notify_all()

    def app(self) -> FastAPI:
        """The twin over HTTP."""
        app = FastAPI()
        install_problem_handlers(app)
        self._add_run_routes(app)
        self._add_reading_routes(app)

        @app.middleware("http")
        async def count(request: Request, call_next: Any) -> Response:
            name = f"{request.method} {request.url.path}"
            self.calls[name] += 1
            failure = self.intercept(name, request)
            if failure is not None:
                return problem_response(failure)
            response: Response = await call_next(request)
            await self.poke()
            return response

        return app

    def _run(self, run_id: str) -> Run:
        if run_id not in self.runs:
            raise NotFound(f"No run {run_id}.")
        return self.runs[run_id]

    def _add_run_routes(self, app: FastAPI) -> None:
        internal = "/api/v1/internal/runs"

        @app.post(internal)
        async def create(request: CreateRun) -> Run:
            return self.create(request)

        @app.get(internal + "/{run_id}")
        async def run(run_id: str) -> Run:
            return self._run(run_id)

        @app.post(internal + "/{run_id}/start")
        async def start(run_id: str, started: StartedRun) -> Run:
            run = self._run(run_id)
            if run.status in FINISHED:
                raise Conflict("The run is over.")
            change = {"status": RunStatus.RUNNING, "config_hash": started.config_hash, "started_at": utc_now()}
            self.runs[run_id] = run.model_copy(update=change)
            return self.runs[run_id]

        @app.post(internal + "/{run_id}/finish")
        async def finish(run_id: str, finished: FinishRun) -> Run:
            run = self._run(run_id)
            if run.status in FINISHED and run.status is not finished.status:
                raise Conflict("The run has another ending.")
            self.runs[run_id] = run.model_copy(update={**dict(finished), "finished_at": utc_now()})
            return self.runs[run_id]

        @app.post(internal + "/{run_id}/events")
        async def append(run_id: str, batch: AppendRunEvents) -> Response:
            self._run(run_id)
            for event in batch.events:
                if event.event_key not in self.keys[run_id]:
                    self.keys[run_id].add(event.event_key)
                    seq = len(self.events[run_id]) + 1
                    self.events[run_id].append(
                        RunEvent(run_id=run_id, seq=seq, type=event.type, at=event.at, data=event.data)
                    )
            return JSONResponse({"items": [], "next_cursor": None})

        @app.post(internal + "/{run_id}/effects")
        async def intend(run_id: str, intent: IntendEffect) -> RunEffect:
            entry = RunEffect(
                run_id=run_id, **dict(intent), status="intended", external_id=None, url=None, error=None,
                intended_at=utc_now(), settled_at=None,
            )  # fmt: skip
            return self.effects.setdefault((run_id, intent.effect_key), entry)

        @app.post(internal + "/{run_id}/effects/{key}/settle")
        async def settle(run_id: str, key: str, settled: SettleEffect) -> RunEffect:
            entry = self.effects[run_id, key]
            self.effects[run_id, key] = entry.model_copy(update={**dict(settled), "settled_at": utc_now()})
            return self.effects[run_id, key]

    def _add_reading_routes(self, app: FastAPI) -> None:
        @app.get("/api/v1/internal/teams/{team}/effective")
        async def effective_configuration(team: str) -> Response:
            if team != self.configuration.team_node_id:
                raise NotFound(f"No team {team}.")
            return Response(self.configuration.model_dump_json(by_alias=True), media_type="application/json")

        @app.post("/api/v1/internal/teams/{team}/secrets/resolve")
        async def resolve(team: str, request: Request) -> Response:
            names = (await request.json())["names"]
            return JSONResponse({"values": {name: self.secrets[name] for name in names if name in self.secrets}})

        @app.get("/api/v1/internal/recordings/{recording_id}")
        async def recording(recording_id: str) -> Response:
            if recording_id not in self.recordings:
                raise NotFound(f"No recording {recording_id}.")
            return JSONResponse({"recording_id": recording_id, "files": self.recordings[recording_id]})

        @app.get("/api/v1/orgs/{org}/runs/{run_id}/events")
        async def events(org: str, run_id: str, request: Request) -> Response:
            self._run(run_id)
            return event_stream(self._live(run_id, last_event_id(request)))

    async def _live(self, run_id: str, after: int) -> AsyncIterator[ServerSentEvent]:
        while True:
            async with self.changed:
                await self.changed.wait_for(lambda seen=after: len(self.events[run_id]) > seen)
            for event in self.events[run_id][after:]:
                after = event.seq
                yield ServerSentEvent(str(event.seq), event.type.value, event.model_dump_json())
                if event.type == "run.finished":
                    return


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
