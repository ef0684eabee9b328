"""The durable workflow `deliver`: from a committed delivery to a run that an agent has, through every crash.

    route                                           whose event is it? recorded, so that it stays the same
    record = audit + correlate                      on record before anything runs; does it start a run?
    start  = create the run + tell its agent        only for those that do

Three steps: after a crash the finished ones are not done again, and every act within the one that was cut short is
safe to repeat. A peer that is away is waited for without end, without holding a place in the queue. More steps would
protect nothing further and cost each delivery a write apiece.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from opentelemetry.trace import SpanKind

from incidentfox.contracts.routing import Route
from incidentfox.contracts.webhooks import DeliveryStatus
from incidentfox.kernel.durable import Engine, Retry
from incidentfox.kernel.errors import Permanent, Temporary
from incidentfox.kernel.logging import correlated, get_logger
from incidentfox.kernel.telemetry import remote_context, tracer
from incidentfox.orchestrator.dispatch.metrics import STEP_RETRIES
from incidentfox.orchestrator.dispatch.service import Dispatch, Passage
from incidentfox.orchestrator.webhooks.store import QUEUE, WORKFLOW

log = get_logger(__name__)

SHARE = 1 / 4
"""Of the time, for the deliveries of one organisation in one worker. Dispatch is quicker than the runs that it starts:
more than this would only move a flood from this queue into the Agent's."""
UNTIL_IT_WORKS = Retry(attempts=None, base_s=0.2, cap_s=10.0)

Act = Callable[[Passage], Awaitable[Any]]


def declare_dispatch(
    engine: Engine, dispatch: Dispatch, *, concurrency: int, org_concurrency: int, partition_concurrency: int
) -> None:
    """Declares the queue of deliveries and the workflow that takes them; called by the worker before it launches."""
    engine.queue(
        QUEUE,
        partitioned=True,
        concurrency_per_partition=partition_concurrency,
        worker_concurrency=concurrency,
        worker_concurrency_per_group=org_concurrency,
    )

    @engine.workflow(WORKFLOW, turns_by=lambda _, org_id: org_id, share=SHARE)
    async def deliver(delivery_id: str, org_id: str) -> None:
        await _Journey(engine, dispatch, delivery_id, org_id).travel()


class _Journey:
    """One execution of the workflow."""

    def __init__(self, engine: Engine, dispatch: Dispatch, delivery_id: str, org_id: str) -> None:
        self._engine = engine
        self._dispatch = dispatch
        self._delivery_id = delivery_id
        self._org_id = org_id
        self._passage: Passage | None = None

    async def travel(self) -> None:
        """The whole way. Whatever goes wrong for good is on record with the delivery."""
        try:
            await self._steps()
        except Permanent as failure:
            await self._settle(DeliveryStatus.FAILED, _reason(failure))
        except Exception as error:
            # The worker's edge: an error of ours must not leave the delivery looking as if it were still on its way.
            log.exception("delivery failed by an error in the worker", delivery_id=self._delivery_id)
            await self._settle(DeliveryStatus.FAILED, _reason(error))
            raise

    async def _steps(self) -> None:
        route = Route.model_validate(await self._step("route", self._route))
        correlation = await self._step("record", lambda passage: self._record(passage, route))
        run_id, incident_id = correlation["run_id"], correlation["incident_id"]
        if run_id is None:
            return
        try:
            await self._step("start", lambda passage: self._dispatch.start(passage, route, run_id, incident_id))
        except Exception as error:
            # Also after an error of ours: a run that nobody has been handed would look queued for ever.
            reason = _reason(error)
            await self._step("fail_run", lambda passage: self._dispatch.fail_run(passage, route, run_id, reason))
            raise

    async def _route(self, passage: Passage) -> dict[str, Any]:
        return (await self._dispatch.route(passage)).model_dump(mode="json")

    async def _record(self, passage: Passage, route: Route) -> dict[str, Any]:
        correlation = await self._dispatch.record(passage, route)
        return {"incident_id": correlation.incident_id, "run_id": correlation.run_id}

    async def _settle(self, status: DeliveryStatus, reason: str | None) -> None:
        await self._engine.step(
            "settle",
            lambda: self._dispatch.settle(self._org_id, self._delivery_id, status, reason),
            retry=UNTIL_IT_WORKS,
        )

    async def _step(self, name: str, act: Act) -> Any:
        return await self._engine.step(name, lambda: self._attempt(name, act), retry=UNTIL_IT_WORKS)

    async def _attempt(self, name: str, act: Act) -> Any:
        """One attempt at an act, with the correlation id and the trace that the delivery came with."""
        try:
            if self._passage is None:
                self._passage = await self._dispatch.load(self._delivery_id, self._org_id)
            passage = self._passage
            stored = passage.stored
            context = remote_context({"traceparent": stored.traceparent}) if stored.traceparent else None
            with (
                correlated(stored.delivery.correlation_id),
                tracer().start_as_current_span(f"deliver {name}", context=context, kind=SpanKind.CONSUMER),
            ):
                return await act(passage)
        except Temporary as failure:
            STEP_RETRIES.labels(name, failure.code).inc()
            log.warning("step will be tried again", step=name, delivery_id=self._delivery_id, detail=failure.detail)
            raise


def _reason(error: Exception) -> str:
    """What the record says about why it ended. Of an error of ours nothing: its text may hold anything."""
    if isinstance(error, Permanent):
        return f"{error.code}: {error.detail}"
    return "internal_error: the worker's log has the details"
