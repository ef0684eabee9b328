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
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from incidentfox.kernel.durable.away import DATABASE_AWAY
from incidentfox.kernel.durable.enqueue import Job
from incidentfox.kernel.durable.execution import Execution, current_execution
from incidentfox.kernel.durable.options import (
    NO_RETRY,
    EngineSettings,
    QueueOptions,
    Rate,
    Retry,
    WorkflowStatus,
)
from incidentfox.kernel.durable.steps import read_record, run_attempts
from incidentfox.kernel.durable.store import Store
from incidentfox.kernel.durable.turnstile import Turnstile
from incidentfox.kernel.durable.watch import Watch
from incidentfox.kernel.errors import Unavailable

if TYPE_CHECKING:
    from incidentfox.kernel.durable.worker import Worker

WorkflowT = TypeVar("WorkflowT", bound=Callable[..., Awaitable[None]])
Value = TypeVar("Value")

DEFAULT_QUEUE = "default"


class Engine:
    """See the module. Declare workflows and queues first; then `launch`, and `stop` in the end."""

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings
        self._workflows: dict[str, Callable[..., Awaitable[None]]] = {}
        self._queues: dict[str, QueueOptions] = {}
        self._store: Store | None = None
        self._watch: Watch | None = None
        self._worker: Worker | None = None

    # Declaring

    def workflow(
        self, name: str, *, turns_by: Callable[..., str] | None = None, share: float = 1.0
    ) -> Callable[[WorkflowT], WorkflowT]:
        """Declares an async function of string arguments as the workflow `name`, which its rows are known by.

        `turns_by` gives the group of an execution from the same arguments: those of one group begin one after the
        other in each worker, and compute for at most `share` of the time (turnstile.py), so that whoever floods
        leaves something to the others. An execution that lives longer than `turn_s` holds nobody back.
        """

        def declare(function: WorkflowT) -> WorkflowT:
            if name in self._workflows:
                raise ValueError(f"Workflow {name!r} is declared twice.")
            self._workflows[name] = function
            if turns_by is not None:
                self._workflows[name] = Turnstile(share, self.settings.turn_s).guarded(function, turns_by)
            return function

        return declare

    def queue(
        self,
        name: str,
        *,
        partitioned: bool = True,
        concurrency_per_partition: int = 4,
        worker_concurrency: int = 16,
        worker_concurrency_per_group: int | None = None,
        rate: Rate | None = None,
    ) -> QueueOptions:
        """Declares a queue. Without any, there is `default`: not partitioned, 64 at a time per worker.

        In a partitioned queue at most `concurrency_per_partition` workflows of one key run at a time, over all
        workers, and the keys take turns (turns.py), so that a busy team does not hold the others back. At most
        `worker_concurrency_per_group` of the keys that begin alike, up to the first `/`, run at a time in one worker.
        """
        if name in self._queues or name.startswith("_"):
            raise ValueError(f"Queue {name!r} is declared twice, or its name is reserved.")
        limit = min(concurrency_per_partition, worker_concurrency) if partitioned else None
        if worker_concurrency_per_group is not None and (limit is None or limit < 2):
            # With one at a time per key the library claims for all keys in one statement, which knows no groups.
            raise ValueError("Only a partitioned queue with at least 2 at a time per key can bound groups of keys.")
        options = QueueOptions(name, partitioned, limit, worker_concurrency, rate, worker_concurrency_per_group)
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
        execution = current_execution()
        if self._worker is None or self._worker.runtime is None:
            raise RuntimeError("The engine is not launched.")
        runtime = self._worker.runtime
        index = execution.steps
        execution.steps += 1

        async def failures_so_far() -> int:
            try:
                note = await self._require_store().note(execution.workflow_id)
            except DATABASE_AWAY:
                return 0
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
        execution = current_execution()

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

    async def _park(self, execution: Execution, delay_s: float, note: dict[str, object]) -> None:
        from incidentfox.kernel.durable.runtime import Abandoned

        # With another step in flight, parking would throw that step's work away.
        if delay_s < self.settings.park_after_s or execution.in_flight > 1:
            return
        try:
            await self._require_store().park(execution.workflow_id, execution.owner, delay_s, note)
        except DATABASE_AWAY:
            # Wait in place. Should it have been parked after all, the step's record finds another owner.
            return
        # Parked, or taken over by another worker: either way this execution is over.
        raise Abandoned(execution.workflow_id)

    # From anywhere. While the database is away these raise Unavailable.

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
        job = Job(
            service=self.settings.service,
            queue=declared.name,
            workflow=workflow,
            workflow_id=workflow_id,
            args=args,
            partition=partition,
        )
        with _unavailable():
            await self._require_store().enqueue(job)
        self.ring(declared.name)

    def ring(self, queue: str) -> None:
        """Tells this process's worker, if it has one, that there may be work; else it finds out at its next poll."""
        if self._worker is not None and self._worker.runtime is not None:
            self._worker.runtime.ring(queue)

    async def status(self, workflow_id: str) -> WorkflowStatus | None:
        """What is on record about a workflow; None if nothing is."""
        with _unavailable():
            return await self._require_store().status(workflow_id)

    async def wait(self, workflow_id: str, timeout_s: float | None = None) -> WorkflowStatus:
        """Waits for a workflow's end. Raises NotFound for an unknown id, Timeout after `timeout_s`."""
        if self._watch is None:
            raise RuntimeError("The engine is not connected.")
        return await self._watch.wait(workflow_id, timeout_s)

    async def cancel(self, workflow_id: str) -> bool:
        """Ends a workflow: at once if it runs here, else within about a second. False if it was over or unknown."""
        with _unavailable():
            cancelled = await self._require_store().cancel(workflow_id)
        if self._worker is not None:
            self._worker.interrupt(workflow_id)
        return cancelled

    async def purge(self, older_than_s: float) -> int:
        """Deletes what is on record about workflows that ended longer ago. Returns how many."""
        with _unavailable():
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
        self._watch = Watch(store, self.settings.poll_interval_s)

    async def launch(self) -> None:
        """Takes up work. Raises NotMigrated if the schema is not ready; never changes it."""
        from incidentfox.kernel.durable.worker import Worker

        if self._worker is not None:
            raise RuntimeError("The engine is launched already.")
        await self.connect()
        if not self._queues:
            self.queue(DEFAULT_QUEUE, partitioned=False, worker_concurrency=64)
        store, watch = self._require_store(), self._watch
        assert watch is not None
        self._worker = Worker(
            self.settings, store, self._workflows, queues=tuple(self._queues.values()), on_end=watch.nudge
        )
        try:
            for queue in self._queues.values():
                await store.declare_queue(queue, self.settings.poll_interval_s)
            await self._worker.launch()
        except BaseException:
            await self.stop(0)
            raise

    async def stop(self, grace_s: float = 10.0) -> None:
        """Takes no more work, lets what runs finish for `grace_s` seconds, and leaves the rest to other workers.

        Also undoes `connect`. Whoever still waits for a workflow gets Unavailable.
        """
        if self._worker is not None:
            await self._worker.stop(grace_s)
            self._worker = None
        if self._watch is not None:
            await self._watch.close()
            self._watch = None
        if self._store is not None:
            await self._store.close()
            self._store = None

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


@contextlib.contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except DATABASE_AWAY as error:
        raise Unavailable(f"The database of the durable workflows is away: {error!r}.") from error
