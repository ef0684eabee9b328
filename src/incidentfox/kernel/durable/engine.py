"""Durable workflows for one service: declared here, started from anywhere, finished by whichever worker is alive.

Used by the orchestrator's worker (deliveries from a queue) and by the agent (each run is a workflow). A process has one
launched engine at most; it lives on the event loop that launches it. A workflow is an async function of strings (ids)
that does everything with an outside effect in `step`s: after a crash it runs again from its beginning, and finished
steps hand back what they recorded. A step that was cut short runs again, so an effect outside needs an idempotency
key or a ledger of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from incidentfox.kernel.durable.enqueue import Job
from incidentfox.kernel.durable.lease import Lease
from incidentfox.kernel.durable.options import (
    NO_RETRY,
    EngineSettings,
    QueueOptions,
    Rate,
    Retry,
    WorkflowStatus,
)
from incidentfox.kernel.durable.steps import read_record, run_attempts
from incidentfox.kernel.durable.store import DATABASE_ERRORS, Store
from incidentfox.kernel.errors import Failure, NotFound, Timeout

if TYPE_CHECKING:
    from incidentfox.kernel.durable.runtime import Runtime

log = logging.getLogger(__name__)

Workflow = Callable[..., Awaitable[None]]
WorkflowT = TypeVar("WorkflowT", bound=Workflow)
Value = TypeVar("Value")

DEFAULT_QUEUE = "default"


@dataclass(eq=False)
class _Execution:
    """One run of a workflow's function in this process."""

    workflow_id: str
    owner: str
    task: asyncio.Task[Any]
    steps: int = 0
    in_flight: int = 0


_current: ContextVar[_Execution | None] = ContextVar("durable_execution", default=None)
_launched: Engine | None = None


class Engine:
    """See the module. Declare workflows and queues first; then `launch`, and `stop` in the end."""

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings
        self._workflows: dict[str, Workflow] = {}
        self._queues: dict[str, QueueOptions] = {}
        self._store: Store | None = None
        self._runtime: Runtime | None = None
        self._lease: Lease | None = None
        self._executions: set[_Execution] = set()
        self._background: list[asyncio.Task[None]] = []
        self._waiters: dict[str, list[asyncio.Future[WorkflowStatus]]] = {}
        self._watcher: asyncio.Task[None] | None = None

    # Declaring

    def workflow(self, name: str) -> Callable[[WorkflowT], WorkflowT]:
        """Declares an async function of string arguments as the workflow `name`, which its rows are known by."""

        def declare(function: WorkflowT) -> WorkflowT:
            if name in self._workflows:
                raise ValueError(f"Workflow {name!r} is declared twice.")
            self._workflows[name] = function
            return function

        return declare

    def queue(
        self,
        name: str,
        *,
        partitioned: bool = True,
        concurrency_per_partition: int = 4,
        worker_concurrency: int = 16,
        rate: Rate | None = None,
    ) -> QueueOptions:
        """Declares a queue. Without any, there is `default`: not partitioned, 64 at a time per worker.

        In a partitioned queue at most `concurrency_per_partition` workflows of one key run at a time, over all
        workers, and the keys take turns, so that a busy team does not hold the others back.
        """
        if name in self._queues or name.startswith("_"):
            raise ValueError(f"Queue {name!r} is declared twice, or its name is reserved.")
        limit = min(concurrency_per_partition, worker_concurrency) if partitioned else None
        options = QueueOptions(name, partitioned, limit, worker_concurrency, rate)
        self._queues[name] = options
        return options

    # Inside a workflow

    async def step(self, name: str, body: Callable[[], Awaitable[Value]], *, retry: Retry = NO_RETRY) -> Value:
        """Runs `body` once, durably: its JSON-able result is on record before this returns it.

        `Temporary` failures are tried again as `retry` says; a `Permanent` one, or the last `Temporary`, is put on
        record and raised here. A long wait gives up the workflow's place in its queue, unless another step of it is
        running at that moment. The order and names of steps must not depend on anything but earlier steps and the
        workflow's inputs. Steps may run side by side (asyncio.gather).
        """
        execution = _execution()
        runtime = self._require_runtime()
        index = execution.steps
        execution.steps += 1

        async def failures_so_far() -> int:
            note = await self._require_store().note(execution.workflow_id)
            failures = note.get("failures", 0) if note.get("step") == index else 0
            return failures if isinstance(failures, int) else 0

        async def park(failures: int, delay_s: float) -> None:
            await self._park(execution, delay_s, {"step": index, "failures": failures})

        execution.in_flight += 1
        try:
            record = await runtime.run_step(
                name, lambda: run_attempts(body, retry, failures_so_far=failures_so_far, park=park)
            )
        finally:
            execution.in_flight -= 1
        value: Value = read_record(record)
        return value

    async def sleep(self, seconds: float) -> None:
        """Waits until `seconds` after this was first reached, crashes included. A long wait gives up the place."""
        execution = _execution()

        async def wake_time() -> float:
            return time.time() + seconds

        remaining = await self.step("sleep", wake_time) - time.time()
        if remaining > 0:
            execution.in_flight += 1
            try:
                await self._park(execution, remaining, {})
            finally:
                execution.in_flight -= 1
            await asyncio.sleep(remaining)

    async def _park(self, execution: _Execution, delay_s: float, note: dict[str, object]) -> None:
        from incidentfox.kernel.durable.runtime import Abandoned

        # With another step in flight, parking would throw that step's work away.
        if delay_s < self.settings.park_after_s or execution.in_flight > 1:
            return
        await self._require_store().park(execution.workflow_id, execution.owner, delay_s, note)
        # Parked, or taken over by another worker: either way this execution is over.
        raise Abandoned(execution.workflow_id)

    # From anywhere

    async def start(
        self,
        workflow: str,
        workflow_id: str,
        *args: str,
        queue: str | None = None,
        partition: str | None = None,
    ) -> None:
        """Starts a workflow unless its id is known; committed when this returns, run by any worker of the service.

        `queue` may be left out when only one is declared.
        """
        if workflow not in self._workflows:
            raise ValueError(f"Workflow {workflow!r} is not declared.")
        declared = self._queue_for(queue)
        if declared.partitioned != (partition is not None):
            raise ValueError(
                f"Queue {declared.name!r} is partitioned: {declared.partitioned}; partition {partition!r}."
            )
        await self._require_store().enqueue(
            Job(
                service=self.settings.service,
                queue=declared.name,
                workflow=workflow,
                workflow_id=workflow_id,
                args=args,
                partition=partition,
            )
        )

    async def status(self, workflow_id: str) -> WorkflowStatus | None:
        """What is on record about a workflow; None if nothing is."""
        return await self._require_store().status(workflow_id)

    async def wait(self, workflow_id: str, timeout_s: float | None = None) -> WorkflowStatus:
        """Waits for a workflow's end. Raises NotFound for an unknown id, Timeout after `timeout_s`."""
        waiter: asyncio.Future[WorkflowStatus] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(workflow_id, []).append(waiter)
        if self._watcher is None or self._watcher.done():
            self._watcher = asyncio.create_task(self._watch())
        try:
            async with asyncio.timeout(timeout_s):
                return await waiter
        except TimeoutError:
            raise Timeout(f"Workflow {workflow_id} has not ended within {timeout_s} s.") from None
        finally:
            waiters = self._waiters.get(workflow_id, [])
            if waiter in waiters:
                waiters.remove(waiter)
            if not waiters:
                self._waiters.pop(workflow_id, None)

    async def cancel(self, workflow_id: str) -> bool:
        """Ends a workflow: at once if it runs here, else within about a second. False if it was over or unknown."""
        cancelled = await self._require_store().cancel(workflow_id)
        for execution in list(self._executions):
            if execution.workflow_id == workflow_id:
                execution.task.cancel()
        return cancelled

    async def purge(self, older_than_s: float) -> int:
        """Deletes what is on record about workflows that ended longer ago. Returns how many."""
        return await self._require_store().purge(older_than_s)

    # Life

    async def connect(self) -> None:
        """For a process that only starts and watches workflows: opens the connections, checks the schema."""
        from incidentfox.kernel.durable import runtime

        if self._store is not None:
            return
        store = await Store.connect(self.settings)
        try:
            await store.check_schema(runtime.latest_schema_version(self.settings.schema))
        except BaseException:
            await store.close()
            raise
        self._store = store

    async def launch(self) -> None:
        """Takes up work. Raises NotMigrated if the schema is not ready; never changes it."""
        global _launched
        from incidentfox.kernel.durable.runtime import Runtime

        if _launched is not None:
            raise RuntimeError("One engine is launched in this process already.")
        _launched = self
        try:
            await self.connect()
            if not self._queues:
                self.queue(DEFAULT_QUEUE, partitioned=False, worker_concurrency=64)
            store = self._require_store()
            for queue in self._queues.values():
                await store.declare_queue(queue, self.settings.poll_interval_s)
            self._lease = await Lease.acquire(self.settings)
            bodies = {name: self._body(function) for name, function in self._workflows.items()}
            self._runtime = Runtime(self.settings, bodies, self._lease.executor_id)
            await self._runtime.launch()
            self._background = [
                asyncio.create_task(self._keep_lease(), name="durable-lease"),
                asyncio.create_task(self._sweep(), name="durable-sweep"),
                asyncio.create_task(self._keep_purged(), name="durable-purge"),
            ]
        except BaseException:
            await self.stop()
            raise
        log.info("durable worker %s launched", self._lease.executor_id)

    async def stop(self, grace_s: float = 10.0) -> None:
        """Takes no more work, lets what runs finish for `grace_s` seconds, and leaves the rest to the other workers."""
        global _launched
        if self._runtime is not None:
            self._runtime.pause()
            tasks = {execution.task for execution in self._executions}
            if tasks:
                await asyncio.wait(tasks, timeout=grace_s)
        for task in (*self._background, *([self._watcher] if self._watcher else [])):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        self._background = []
        await self._abandon_executions()
        if self._runtime is not None:
            await self._runtime.destroy()
            self._runtime = None
        if self._lease is not None:
            lease, self._lease = self._lease, None
            with contextlib.suppress(*DATABASE_ERRORS):
                # Peers would find these within a sweep; handing them back saves them that.
                await self._require_store().hand_back(lease.executor_id, (), 0.0)
            lease.release()
        if self._store is not None:
            await self._store.close()
            self._store = None
        if _launched is self:
            _launched = None

    # Inner workings

    def _body(self, function: Workflow) -> Workflow:
        async def run(*args: str) -> None:
            from incidentfox.kernel.durable.runtime import Abandoned, current_workflow_id

            runtime, task = self._require_runtime(), asyncio.current_task()
            workflow_id = current_workflow_id()
            owner = runtime.owner_token(workflow_id)
            if self._lease is None or owner is None or task is None:
                # Claimed while this worker was fencing itself: a peer will find it.
                raise Abandoned(workflow_id)
            execution = _Execution(workflow_id, owner, task)
            self._executions.add(execution)
            # The outcome is written after this function returns: the execution is over only when its task is.
            task.add_done_callback(lambda _: self._executions.discard(execution))
            _current.set(execution)
            try:
                await function(*args)
            except Failure as failure:
                log.warning("workflow %s failed: %s: %s", workflow_id, failure.code, failure.detail)
                raise

        return run

    async def _abandon_executions(self) -> None:
        tasks = {execution.task for execution in self._executions}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _keep_lease(self) -> None:
        """Fences this worker when its lease is lost, and takes a new one."""
        while True:
            lease, runtime = self._lease, self._require_runtime()
            assert lease is not None
            await lease.lost()
            runtime.pause()
            self._lease = None
            log.warning("durable worker %s lost its lease: its work is left to others", lease.executor_id)
            await self._abandon_executions()
            while self._lease is None:
                try:
                    self._lease = await Lease.acquire(self.settings)
                except DATABASE_ERRORS:
                    await asyncio.sleep(0.5)
            runtime.resume(self._lease.executor_id)
            log.info("durable worker %s took up work again", self._lease.executor_id)

    async def _sweep(self) -> None:
        """Looks for work that dead workers left, and for work this one claimed but does not run."""
        store = self._require_store()
        while True:
            lease = self._lease
            if lease is not None:
                try:
                    recovered = await store.recover(lease.executor_id)
                    running = {execution.workflow_id for execution in self._executions}
                    recovered += await store.hand_back(lease.executor_id, running, self.settings.lost_after_s)
                    if recovered:
                        log.warning("recovered %d workflows of lost workers: %s", len(recovered), recovered[:20])
                except DATABASE_ERRORS as error:
                    log.warning("sweep failed, trying again: %s", error)
            await asyncio.sleep(self.settings.sweep_interval_s)

    async def _keep_purged(self) -> None:
        retention_s = self.settings.retention_s
        while retention_s is not None:
            await asyncio.sleep(self.settings.purge_interval_s)
            try:
                deleted = await self.purge(retention_s)
                log.info("purged %d finished workflows", deleted)
            except DATABASE_ERRORS as error:
                log.warning("purge failed, trying again: %s", error)

    async def _watch(self) -> None:
        """One query per interval for everybody who waits."""
        while self._waiters:
            try:
                found = await self._require_store().statuses(list(self._waiters))
            except DATABASE_ERRORS as error:
                log.warning("watching workflows failed, trying again: %s", error)
                found = None
            for workflow_id, waiters in list(self._waiters.items()) if found is not None else ():
                status = found.get(workflow_id) if found else None
                for waiter in waiters:
                    if waiter.done():
                        continue
                    if status is None:
                        waiter.set_exception(NotFound(f"No workflow {workflow_id}."))
                    elif status.state.final:
                        waiter.set_result(status)
            await asyncio.sleep(self.settings.poll_interval_s)

    def _queue_for(self, name: str | None) -> QueueOptions:
        if name is None and len(self._queues) == 1:
            return next(iter(self._queues.values()))
        if name is None or name not in self._queues:
            raise ValueError(f"Queue {name!r} is not one of {sorted(self._queues)}.")
        return self._queues[name]

    def _require_store(self) -> Store:
        if self._store is None:
            raise RuntimeError("The engine is not connected.")
        return self._store

    def _require_runtime(self) -> Runtime:
        if self._runtime is None:
            raise RuntimeError("The engine is not launched.")
        return self._runtime


def _execution() -> _Execution:
    execution = _current.get()
    if execution is None:
        raise RuntimeError("Steps exist only inside a workflow.")
    return execution
