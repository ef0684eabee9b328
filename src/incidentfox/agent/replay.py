"""A finished run once more, offline: the recorded model answers, recorded telemetry is read, and the two are compared.

The replay takes the whole way of a run (`runner.investigate`, every policy of `policy.py`) with three things
exchanged: the model for what it said, telemetry and MCP servers for what they gave, the journal for what was found at
the start.
It resolves no secret, asks no model, posts nothing and writes nothing. Called by `api.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings

from incidentfox.agent.differences import first_difference
from incidentfox.agent.exchange import replayed_response
from incidentfox.agent.fences import new_nonce
from incidentfox.agent.journal import Body, PassingJournal
from incidentfox.agent.mcp.recorded import RecordedServers
from incidentfox.agent.planner import Planner
from incidentfox.agent.provider import Provider
from incidentfox.agent.runner import ending_of, investigate
from incidentfox.agent.sources import replayed_sources
from incidentfox.agent.telemetry.protocol import Signal
from incidentfox.agent.telemetry.replayed import ReplayedTelemetry
from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.contracts.captures import TelemetryRead
from incidentfox.contracts.configuration import ModelConfiguration
from incidentfox.contracts.events import AppendRunEvent, RunEvent, RunEventType
from incidentfox.contracts.recordings import RecordingFile
from incidentfox.contracts.replay import Replay, ReplayedCall
from incidentfox.contracts.runs import FINISHED, Run
from incidentfox.kernel.durable import NO_RETRY, Retry
from incidentfox.kernel.errors import Conflict, Failure, Gone, NotFound, Permanent, Unprocessable
from incidentfox.kernel.tenant import Tenant

VARIES = frozenset({"duration_s", "usage", "plots"})
"""What of an answer is not compared: time, cost, and the plots, which are drawn after the last tool call."""


class RecordEnded(Permanent):
    """The recorded model has nothing more to say: the recorded run ended here, or the replay went another way."""

    default_code = "record_ended"


@dataclass
class Trace:
    """What of a run's events is compared: the tool calls that returned, in order, and the answer."""

    calls: list[dict[str, Any]] = field(default_factory=list)
    answer: dict[str, Any] | None = None
    _asked: dict[str, Any] = field(default_factory=dict)

    def add(self, event: RunEvent | AppendRunEvent) -> None:
        """Takes one event in."""
        data = event.data
        if event.type is RunEventType.TOOL_CALLED:
            self._asked[data["tool_call_id"]] = data["arguments"]
        elif event.type is RunEventType.TOOL_RETURNED:
            compared = {key: data[key] for key in ("tool_call_id", "tool", "is_error", "result")}
            self.calls.append({**compared, "arguments": self._asked.get(data["tool_call_id"])})
        elif event.type is RunEventType.ANSWER_READY:
            self.answer = {key: value for key, value in data.items() if key not in VARIES}


class RecordedModel(Model):
    """A model that says what a recorded one said, in the same order, whichever agent asks."""

    def __init__(self, responses: list[ModelResponse]) -> None:
        super().__init__()
        self._responses = iter(responses)

    @property
    def model_name(self) -> str:
        """`recorded`."""
        return "recorded"

    @property
    def system(self) -> str:
        """The provider's name."""
        return "incidentfox"

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """The next recorded reply; RecordEnded after the last."""
        response = next(self._responses, None)
        if response is None:
            raise RecordEnded("The recorded model said nothing more.")
        return response


class ReplayJournal(PassingJournal):
    """Gives back what the recorded run found at its start; every other step is done anew."""

    def __init__(self, started: Mapping[str, Any]) -> None:
        self._found = {
            "open": {"nonce": new_nonce(), "started_at": started["fired_at"]},
            "signals": list(started["signals"]),
        }

    async def step(self, name: str, body: Body, *, retry: Retry = NO_RETRY) -> Any:
        """See Journal."""
        return self._found[name] if name in self._found else await super().step(name, body, retry=retry)


async def replay_run(client: ConfigServiceClient, tenant: Tenant, run_id: str) -> Replay:
    """Replays a finished run that the tenant may see.

    Raises NotFound for one it may not, Conflict while it goes on, Unprocessable where too little is on record, Gone
    where that has aged out.
    """
    run = await client.team_run(tenant, run_id)
    if run.status not in FINISHED:
        raise Conflict(f"The run {run_id} is {run.status.value}: wait for its end.", code="run_unfinished")
    events = await _events(client, run)
    recorded = Trace()
    for event in events:
        recorded.add(event)
    replayed, ended = await _again(client, run, events)
    return _compared(run_id, recorded, replayed, ended, len(_of(events, RunEventType.MODEL_RESPONDED)))


async def _events(client: ConfigServiceClient, run: Run) -> list[RunEvent]:
    events: list[RunEvent] = []
    while True:
        page = await client.run_events(run.org_id, run.run_id, after=events[-1].seq if events else 0)
        events += page.items
        if page.next_cursor is None:
            return events


async def _again(client: ConfigServiceClient, run: Run, events: list[RunEvent]) -> tuple[Trace, str | None]:
    """The trace of the replay, and what ended it where no answer did."""
    started = next(iter(_of(events, RunEventType.RUN_STARTED)), None)
    said = _of(events, RunEventType.MODEL_RESPONDED)
    if started is None or "signals" not in started or any("parts" not in data for data in said):
        raise Unprocessable(
            f"Too little of the run {run.run_id} is on record: it ended before it began, or an older release made it.",
            code="run_not_replayable",
        )
    tenant = Tenant(run.org_id, run.team_node_id)
    configuration = await client.team_effective_of_run(tenant, started["config_hash"])
    reads = [
        TelemetryRead.model_validate(read)
        for data in _of(events, RunEventType.TOOL_RETURNED)
        for read in data.get("reads", ())
    ]
    signals = frozenset(Signal(name) for name in started["signals"])
    captures = await _captures(client, tenant, run.run_id, reads)
    model = RecordedModel([replayed_response(data) for data in said])
    servers = RecordedServers(_of(events, RunEventType.MCP_LISTED), _of(events, RunEventType.TOOL_RETURNED))
    provider = Provider("recorded", "What the model of a recorded run said.", lambda *_: model)
    planner = Planner(
        configuration,
        replayed_sources(client, tenant, configuration.document, lambda: ReplayedTelemetry(signals, reads, captures)),
        _nothing_to_close,
        choose_model=lambda *_: (provider, ModelConfiguration()),
        open_servers=lambda _: servers,
    )
    trace, ended = Trace(), None
    try:
        async with aclosing(investigate(planner, run.input, run.run_id, ReplayJournal(started))) as again:
            async for event in again:
                trace.add(event)
    except Failure as failure:
        _, ended = ending_of(failure)
    return trace, ended


async def _captures(
    client: ConfigServiceClient, tenant: Tenant, run_id: str, reads: list[TelemetryRead]
) -> dict[str, Mapping[RecordingFile, str]]:
    """What the recorded run read, by capture; Gone where it has aged out."""
    captures: dict[str, Mapping[RecordingFile, str]] = {}
    for read in reads:
        if read.capture_id is not None and read.capture_id not in captures:
            try:
                captures[read.capture_id] = (await client.capture(tenant, run_id, read.capture_id)).files
            except NotFound as error:
                raise Gone(f"What the run {run_id} read has aged out: {error.detail}", code="captures_gone") from error
    return captures


def _compared(run_id: str, recorded: Trace, replayed: Trace, ended: str | None, responses: int) -> Replay:
    # A run that broke off may have been about to call more; a replay cannot know where exactly it stopped.
    again = replayed.calls if recorded.answer is not None else replayed.calls[: len(recorded.calls)]
    calls = []
    for number in range(max(len(recorded.calls), len(again))):
        was = recorded.calls[number] if number < len(recorded.calls) else None
        now = again[number] if number < len(again) else None
        shown = was or now or {}
        calls.append(
            ReplayedCall(
                tool_call_id=shown["tool_call_id"],
                tool=shown["tool"],
                arguments=json.dumps(shown["arguments"], ensure_ascii=False),
                is_error=shown["is_error"],
                result_bytes=len(json.dumps(shown["result"], ensure_ascii=False).encode()),
                difference=first_difference(was, now),
            )
        )
    answer = first_difference(recorded.answer, replayed.answer) if recorded.answer is not None else None
    return Replay(
        run_id=run_id,
        equal=answer is None and all(call.difference is None for call in calls),
        calls=tuple(calls),
        model_responses=responses,
        answer_difference=answer,
        ended=ended,
    )


def _of(events: list[RunEvent], kind: RunEventType) -> list[dict[str, Any]]:
    return [event.data for event in events if event.type is kind]


async def _nothing_to_close() -> None:
    return None
