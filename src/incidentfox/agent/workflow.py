"""The durable run: whatever happens to this process, the run goes on where it was and ends once.

run on record → configuration pinned → running → the loop of `runner.py`, each model request and tool call a step →
claims checked → answer → destinations → finished. All state is in the steps of `kernel/durable` and, for everybody
else, on the timeline at the Config Service; while that is away the run waits. One of the places that may catch
Exception: the worker.
"""

from __future__ import annotations

import traceback
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from incidentfox.agent.cancellation import unless_over
from incidentfox.agent.effects import Outbox, post_everywhere
from incidentfox.agent.journal import DurableJournal, Journal
from incidentfox.agent.patience import patience
from incidentfox.agent.planner import Planner
from incidentfox.agent.runner import Tally, ending_of, investigate
from incidentfox.agent.sources import telemetry_sources
from incidentfox.agent.timeline import Timeline
from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.contracts.configuration import EffectiveConfiguration
from incidentfox.contracts.runs import FINISHED, FinishRun, Run, RunStatus, StartedRun
from incidentfox.kernel.durable import FOR_EVER, Engine
from incidentfox.kernel.errors import Conflict, Failure, Permanent
from incidentfox.kernel.logging import correlated, get_logger
from incidentfox.kernel.redaction import redact
from incidentfox.kernel.tenant import Tenant

log = get_logger(__name__)

WORKFLOW = "run"
QUEUE = "runs"
SHARE = 1 / 3
"""Of the time, for the runs of one team in one process, as far as they do not wait for a model or a system outside."""


def workflow_id(org_id: str, team_node_id: str, run_id: str) -> str:
    """The durable identity of a run. Holds the tenant, so that nobody can take up another tenant's run id."""
    return f"{org_id}:{team_node_id}:{run_id}"


def declare_run(engine: Engine, client: ConfigServiceClient, console_url: str) -> None:
    """Declares the workflow `run(org_id, team_node_id, run_id)`."""

    def team(org_id: str, team_node_id: str, _: str) -> str:
        return _queue_key(org_id, team_node_id)

    @engine.workflow(WORKFLOW, turns_by=team, share=SHARE)
    async def run(org_id: str, team_node_id: str, run_id: str) -> None:
        execution = RunExecution(client, DurableJournal(engine), Tenant(org_id, team_node_id), run_id, console_url)
        await execution.execute()


async def start_run(engine: Engine, org_id: str, team_node_id: str, run_id: str) -> str:
    """Starts the run unless it was started; it is durable when this returns. Returns the workflow's id."""
    known_as = workflow_id(org_id, team_node_id, run_id)
    key = _queue_key(org_id, team_node_id)
    await engine.start(WORKFLOW, known_as, org_id, team_node_id, run_id, queue=QUEUE, partition=key)
    return known_as


def _queue_key(org_id: str, team_node_id: str) -> str:
    """What runs of one team have in common: so many at a time, begun one after the other."""
    return f"{org_id}:{team_node_id}"


@dataclass(frozen=True)
class RunExecution:
    """One execution of one run; after a crash another one follows, and takes the same way through the same steps."""

    client: ConfigServiceClient
    journal: Journal
    tenant: Tenant
    run_id: str
    console_url: str

    async def execute(self) -> None:
        """From the run's record to its end. Raises what kept it from being read at all."""
        run = Run.model_validate(await self.journal.step("fetch run", self._fetch, retry=FOR_EVER))
        if run.status in FINISHED:
            return
        with correlated(run.correlation_id):
            log.info("run taken up", run_id=self.run_id, org_id=self.tenant.org_id, team=self.tenant.team_node_id)
            async with Timeline(self.client, self.tenant, self.run_id) as timeline:
                await self._carry_out(run, timeline)

    async def _carry_out(self, run: Run, timeline: Timeline) -> None:
        tally = Tally()
        status, error = RunStatus.SUCCEEDED, None
        try:
            configuration = await self._configuration()
            if not await self._started(configuration.hash):
                return
            if not await unless_over(self._investigate(run, configuration, timeline, tally), self._is_over):
                # No step may follow: after a crash this run is stopped at another one.
                log.info("run was ended by somebody else", run_id=self.run_id)
                return
            await self._post(run, configuration, timeline, tally)
        except Failure as failure:
            status, error = ending_of(failure)
            log.warning("run failed", run_id=self.run_id, code=failure.code, detail=failure.detail)
        except Exception as bug:  # noqa: BLE001
            status, error = RunStatus.FAILED, f"internal_error: {type(bug).__name__}."
            where = traceback.format_tb(bug.__traceback__)[-6:]
            log.error("run failed", run_id=self.run_id, error=type(bug).__name__, where=where)  # noqa: TRY400
        await self._finish(status, error, timeline, tally)

    async def _fetch(self) -> Any:
        with patience():
            run = (await self.client.team_run(self.tenant, self.run_id)).model_dump(mode="json")
        return {**run, "input": redact(run["input"])}

    async def _configuration(self) -> EffectiveConfiguration:
        """The effective configuration as it was when the run began: pinned, so that a later change cannot tear it."""

        async def fetch() -> Any:
            with patience():
                return (await self.client.team_effective(self.tenant)).model_dump(mode="json", by_alias=True)

        return EffectiveConfiguration.model_validate(
            await self.journal.step("pin configuration", fetch, retry=FOR_EVER)
        )

    async def _started(self, config_hash: str) -> bool:
        """queued → running. False where the run was ended by somebody else meanwhile."""

        async def start() -> bool:
            with patience():
                try:
                    await self.client.start_run(self.tenant, self.run_id, StartedRun(config_hash=config_hash))
                except Conflict:
                    return False
            return True

        return bool(await self.journal.step("start run", start, retry=FOR_EVER))

    async def _is_over(self) -> bool:
        with patience():
            return (await self.client.team_run(self.tenant, self.run_id)).status in FINISHED

    async def _investigate(
        self, run: Run, configuration: EffectiveConfiguration, timeline: Timeline, tally: Tally
    ) -> None:
        open_telemetry = telemetry_sources(self.client, self.tenant, configuration.document)
        planner = Planner(configuration, open_telemetry, _nothing_to_close, self.client)
        async with aclosing(investigate(planner, run.input, self.run_id, self.journal)) as events:
            async for event in events:
                tally.add(event)
                timeline.add(event)

    async def _post(self, run: Run, configuration: EffectiveConfiguration, timeline: Timeline, tally: Tally) -> None:
        if tally.answer is None:
            return
        outbox = Outbox(
            client=self.client,
            journal=self.journal,
            tenant=self.tenant,
            run_id=self.run_id,
            asked=run.input,
            configuration=configuration.document,
            answer=tally.answer,
            tools=tally.tools,
            run_url=f"{self.console_url.rstrip('/')}/runs/{self.run_id}",
            add=timeline.add,
        )
        await post_everywhere(outbox)

    async def _finish(self, status: RunStatus, error: str | None, timeline: Timeline, tally: Tally) -> None:
        """Everything on the timeline, then the run ended on record."""
        answer = tally.answer if status is RunStatus.SUCCEEDED else None
        finished = FinishRun(status=status, answer=answer, error=error, usage=tally.usage())

        async def finish() -> None:
            with patience():
                try:
                    await self.client.finish_run(self.tenant, self.run_id, finished)
                except Conflict as conflict:
                    # Somebody else ended it first; theirs stands.
                    log.warning("run was ended already", run_id=self.run_id, detail=conflict.detail)

        await self._flush("flush timeline", timeline)
        # The Config Service puts `run.finished` on the timeline in the same transaction.
        await self.journal.step("finish run", finish, retry=FOR_EVER)
        log.info("run finished", run_id=self.run_id, status=status.value)

    async def _flush(self, name: str, timeline: Timeline) -> None:
        """Waits until the timeline is complete. One that is refused for good must not keep the run from ending."""

        async def flush() -> None:
            await timeline.flush()

        try:
            await self.journal.step(name, flush, retry=FOR_EVER)
        except Permanent as refused:
            log.warning("timeline is incomplete", run_id=self.run_id, code=refused.code, detail=refused.detail)


async def _nothing_to_close() -> None:
    return None
