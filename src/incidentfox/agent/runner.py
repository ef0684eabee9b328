"""The only loop: a question goes in, an async iterator of run events comes out.

`investigate` is that iterator. `Runner` drains it for programs (decision 006), `workflow.py` drains it durably for the
service; the loop does not know which. It ends with `answer.ready`, or raises the Failure that ended the run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

from pydantic_ai.exceptions import AgentRunError

from incidentfox.agent import answer, evidence
from incidentfox.agent.fences import fence, new_nonce
from incidentfox.agent.journal import Journal, PassingJournal
from incidentfox.agent.mcp.toolset import learn_offers
from incidentfox.agent.planner import Planner
from incidentfox.agent.policy import NO_LIMITS
from incidentfox.agent.scope import RunScope
from incidentfox.agent.telemetry.protocol import Signal, Telemetry
from incidentfox.agent.withheld import withhold
from incidentfox.contracts.answer import Answer, PlottedSeries, Report, Usage
from incidentfox.contracts.events import AppendRunEvent, RunEvent, RunEventType
from incidentfox.contracts.runs import RunInput, RunStatus
from incidentfox.kernel.clock import utc_now
from incidentfox.kernel.durable import FOR_EVER
from incidentfox.kernel.errors import Failure, Permanent
from incidentfox.kernel.ids import new_id
from incidentfox.kernel.redaction import Redactor

ALERT_SOURCE = "alert"


class RunFailed(Permanent):
    """The run ended without an answer; code and words are those of what ended it."""

    default_code = "run_failed"


class ModelMisbehaved(Permanent):
    """The model did not produce a usable report, however often it was asked."""

    default_code = "model_misbehaved"


@dataclass(frozen=True)
class RunResult:
    """What `Runner.run` returns. `output` is another name of `answer`."""

    answer: Answer
    usage: Usage
    events: tuple[RunEvent, ...]

    @property
    def output(self) -> Answer:
        """The answer."""
        return self.answer


class Runner:
    """Runs a planner in this process, without a service or a database."""

    @staticmethod
    async def stream(planner: Planner, asked: str | RunInput, *, run_id: str | None = None) -> AsyncGenerator[RunEvent]:
        """The run's events as they happen, the last one `run.finished`."""
        run_id = run_id or new_id("run")
        seq, tally = 0, Tally()
        status, error = RunStatus.SUCCEEDED, None
        try:
            async with aclosing(investigate(planner, as_input(asked), run_id, PassingJournal())) as events:
                async for event in events:
                    seq += 1
                    tally.add(event)
                    yield RunEvent(run_id=run_id, seq=seq, type=event.type, at=event.at, data=event.data)
        except Failure as failure:
            status, error = ending_of(failure)
        data = finished_data(status, error, tally.usage(), tally.duration_s())
        yield RunEvent(run_id=run_id, seq=seq + 1, type=RunEventType.RUN_FINISHED, at=utc_now(), data=data)

    @staticmethod
    async def run(planner: Planner, asked: str | RunInput, *, run_id: str | None = None) -> RunResult:
        """The finished run: a drained stream. Raises RunFailed where there is no answer."""
        events = [event async for event in Runner.stream(planner, asked, run_id=run_id)]
        ready = next((event for event in events if event.type is RunEventType.ANSWER_READY), None)
        if ready is None:
            raise RunFailed(str(events[-1].data["error"]))
        found = Answer.model_validate(ready.data)
        return RunResult(found, found.usage, tuple(events))


@dataclass
class Tally:
    """What a run's events add up to: kept by whoever drains them."""

    answer: Answer | None = None
    tools: dict[str, str] = field(default_factory=dict)
    _usage: Usage = field(default_factory=Usage)
    _first: float | None = None
    _last: float = 0.0

    def add(self, event: AppendRunEvent) -> None:
        """Counts one event."""
        at = event.at.timestamp()
        self._first = at if self._first is None else self._first
        self._last = max(self._last, at)
        if event.type is RunEventType.ANSWER_READY:
            self.answer = Answer.model_validate(event.data)
        elif event.type is RunEventType.TOOL_CALLED:
            self.tools[event.data["tool_call_id"]] = event.data["tool"]
            self._count(tool_calls=1)
        elif event.type is RunEventType.BUDGET_EXHAUSTED:
            self._usage = self._usage.model_copy(update={"budget_exhausted": event.data["limit"]})
        elif event.type is RunEventType.MODEL_RESPONDED:
            self._count(requests=1, **event.data["usage"])

    def usage(self) -> Usage:
        """What the run has cost: of the answer where there is one, else as far as it came."""
        return self.answer.usage if self.answer else self._usage

    def duration_s(self) -> float:
        """Seconds from the first event to the last."""
        return self._last - self._first if self._first is not None else 0.0

    def _count(self, **more: float) -> None:
        now = self._usage.model_dump()
        self._usage = self._usage.model_copy(update={key: now[key] + value for key, value in more.items()})


async def investigate(
    planner: Planner, asked: RunInput, run_id: str, journal: Journal
) -> AsyncGenerator[AppendRunEvent]:
    """Investigates and yields every event from `run.started` to `answer.ready`.

    Raises a Failure where the run cannot go on: RunTimedOut, TurnsExhausted, Unprocessable for the configuration,
    whatever the model's provider raises.
    """
    events: asyncio.Queue[AppendRunEvent | None] = asyncio.Queue()
    asked = RunInput.model_validate(_redactor(planner).redact(asked.model_dump(mode="json")))
    task = asyncio.create_task(_investigate(planner, asked, run_id, journal, events))
    task.add_done_callback(lambda _: events.put_nowait(None))
    try:
        while (event := await events.get()) is not None:
            yield event
        await task
    finally:
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def as_input(asked: str | RunInput) -> RunInput:
    """A plain question as a run's input."""
    return RunInput(prompt=asked) if isinstance(asked, str) else asked


def ending_of(failure: Failure) -> tuple[RunStatus, str]:
    """The final state that a failure means, and its code and words."""
    status = RunStatus.TIMED_OUT if failure.code == "run_timed_out" else RunStatus.FAILED
    return status, f"{failure.code}: {failure.detail}"


def finished_data(status: RunStatus, error: str | None, usage: Usage, duration_s: float) -> dict[str, Any]:
    """The data of `run.finished`."""
    return {
        "status": status.value,
        "error": error,
        "usage": usage.model_dump(mode="json"),
        "duration_s": round(duration_s, 3),
    }


async def _investigate(
    planner: Planner, asked: RunInput, run_id: str, journal: Journal, events: asyncio.Queue[AppendRunEvent | None]
) -> None:
    async def opening() -> dict[str, Any]:
        return {"nonce": new_nonce(), "started_at": time.time()}

    opened = await journal.step("open", opening)
    fired_at = asked.alert.fired_at.timestamp() if asked.alert else opened["started_at"]
    telemetry = planner.open_telemetry(run_id, asked, fired_at)
    try:
        scope = RunScope(
            run_id=run_id,
            alert=asked.alert,
            fired_at=fired_at,
            telemetry=telemetry,
            signals=await _signals(telemetry, journal),
            journal=journal,
            limits=planner.entrance.limits,
            nonce=opened["nonce"],
            started_at=opened["started_at"],
            emit=events.put_nowait,
            runbooks=planner.runbooks(),
            servers=planner.servers(run_id),
            redactor=_redactor(planner),
        )
        report = await _think(planner, asked, scope)
        await _conclude(planner, report, scope)
    finally:
        await telemetry.close()


def _redactor(planner: Planner) -> Redactor:
    return Redactor(emails=planner.document.privacy.redact_emails)


async def _signals(telemetry: Telemetry, journal: Journal) -> frozenset[Signal]:
    async def ask() -> list[str]:
        return sorted(await telemetry.available())

    return frozenset(Signal(name) for name in await journal.step("signals", ask, retry=FOR_EVER))


async def _think(planner: Planner, asked: RunInput, scope: RunScope) -> Report:
    agent = planner.agent(scope)
    started = {
        "config_hash": planner.configuration.hash,
        "agent": planner.document.entrance_agent,
        "model": planner.entrance.model,
        "tools": list(planner.tool_names()),
        "signals": sorted(scope.signals),
        "fired_at": scope.fired_at,
    }
    scope.note(RunEventType.RUN_STARTED, "started", started)
    await learn_offers(scope, planner.server_keys())
    try:
        return (await agent.run(_prompt(asked, scope), deps=scope, usage_limits=NO_LIMITS)).output
    except AgentRunError as error:
        raise ModelMisbehaved(f"The model gave no usable report: {error}") from error
    except BaseExceptionGroup as group:
        # Tools run in task groups; what ended the run is the first of what they carry.
        raise group.exceptions[0] from group


def _prompt(asked: RunInput, scope: RunScope) -> str:
    """What the agent is asked. Where an alert asks, its words are data, and so is the prompt that was made of them."""
    if asked.alert is None:
        return asked.prompt
    alert = fence(asked.alert.model_dump_json(), source=ALERT_SOURCE, nonce=scope.nonce)
    parts = ["An alert fired. Find its root cause, with evidence, and the next step. The alert, as it came:", alert]
    if asked.prompt:
        parts += ["What was sent along with it:", fence(asked.prompt, source="request", nonce=scope.nonce)]
    return "\n\n".join(parts)


async def _conclude(planner: Planner, report: Report, scope: RunScope) -> None:
    """Checks the claims, adds what only the platform knows, and announces the answer."""
    written = withhold(scope.redactor.redact(report.model_dump(mode="json")), scope.withheld)
    clean = Report.model_validate(written)
    checked = evidence.check(clean, scope.results, scope.alert.service if scope.alert else None)
    for number, dropped in enumerate(checked.dropped, 1):
        data = {
            "claim": dropped.evidence.claim,
            "tool_call_id": dropped.evidence.tool_call_id,
            "reason": dropped.reason,
        }
        scope.note(RunEventType.CLAIM_DROPPED, f"dropped-{number}", data)
    anomalies = answer.verdict_anomalies(checked, scope.results, scope.alert.metric if scope.alert else None)

    async def draw() -> list[dict[str, Any]]:
        if not anomalies:
            return []
        try:
            series = await scope.telemetry.metrics()
        except Failure:  # the plots are an ornament: the answer goes out without them
            return []
        return [plot.model_dump(mode="json") for plot in answer.plot(anomalies, series)]

    plots = await scope.timed_step("plots", draw)
    finished = answer.assemble(
        checked,
        run_id=scope.run_id,
        config_hash=planner.configuration.hash,
        usage=scope.usage(),
        duration_s=scope.now - scope.started_at,
        plots=[PlottedSeries.model_validate(plot) for plot in plots],
    )
    scope.note(RunEventType.ANSWER_READY, "answer", finished.model_dump(mode="json"))
