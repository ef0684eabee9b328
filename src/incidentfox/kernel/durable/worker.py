"""The part of an engine that works: it holds the lease, runs the workflows, and takes up what dead peers left.

Made by `Engine.launch`, on the event loop that the workflows then run on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from incidentfox.kernel.durable.execution import Execution, current
from incidentfox.kernel.durable.lease import Lease
from incidentfox.kernel.durable.options import EngineSettings, QueueOptions
from incidentfox.kernel.durable.runtime import Abandoned, Runtime, current_workflow_id
from incidentfox.kernel.durable.store import Store
from incidentfox.kernel.errors import Failure

log = logging.getLogger(__name__)

Workflow = Callable[..., Awaitable[None]]

_CANCEL_S = 5.0
_LEASE_RETRY_S = 0.5
_TRIES_PER_WARNING = 60


class Worker:
    """One per process at most: the library underneath is a singleton."""

    _only: Worker | None = None

    def __init__(
        self,
        settings: EngineSettings,
        store: Store,
        workflows: Mapping[str, Workflow],
        queues: Sequence[QueueOptions],
        on_end: Callable[[], None],
    ) -> None:
        """`on_end` is called whenever a workflow has ended in this process."""
        self._settings = settings
        self._on_end = on_end
        self._store = store
        self._workflows = workflows
        self._queues = queues
        self._executions: set[Execution] = set()
        self._background: list[asyncio.Task[None]] = []
        self._lease: Lease | None = None
        self.runtime: Runtime | None = None

    async def launch(self) -> None:
        """Takes a lease and starts working. Call `stop` even if this raises."""
        if Worker._only is not None:
            raise RuntimeError("One engine is launched in this process already.")
        Worker._only = self
        self._lease = await Lease.acquire(self._settings)
        bodies = {name: self._body(function) for name, function in self._workflows.items()}
        self.runtime = Runtime(self._settings, bodies, self._lease.executor_id)
        await self.runtime.launch(self._queues)
        self._background = [
            asyncio.create_task(self._keep_lease(self.runtime), name="durable-lease"),
            asyncio.create_task(self._sweep(), name="durable-sweep"),
            asyncio.create_task(self._purge(), name="durable-purge"),
        ]
        log.info("durable worker %s launched", self._lease.executor_id)

    async def stop(self, grace_s: float) -> None:
        """Takes no more work, lets what runs finish for `grace_s` seconds, and leaves the rest to the others."""
        if Worker._only is not self:
            return
        if self.runtime is not None:
            self.runtime.pause()
            if tasks := {execution.task for execution in self._executions}:
                await asyncio.wait(tasks, timeout=grace_s)
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._abandon_executions()
        if self.runtime is not None:
            await self.runtime.destroy()
            self.runtime = None
        if self._lease is not None:
            lease, self._lease = self._lease, None
            try:
                await self._store.hand_back(lease.executor_id, (), 0.0)
            except Exception as error:  # noqa: BLE001 - whatever the database says: peers find these within a sweep
                log.info("work not handed back, others will find it: %r", error)
            lease.release()
        Worker._only = None

    def interrupt(self, workflow_id: str) -> None:
        """Ends the runs of a workflow in this process, if there are any; nothing is recorded for them."""
        for execution in list(self._executions):
            if execution.workflow_id == workflow_id:
                execution.task.cancel()

    def _body(self, function: Workflow) -> Workflow:
        async def run(*args: str) -> None:
            workflow_id, task = current_workflow_id(), asyncio.current_task()
            owner = self.runtime.owner_token(workflow_id) if self.runtime else None
            if self._lease is None or owner is None or task is None:
                # Claimed while this worker was fencing itself: a peer will find it.
                raise Abandoned(workflow_id)
            execution = Execution(workflow_id, owner, task)
            self._executions.add(execution)
            # The outcome is written after this function returns: the execution is over only when its task is.
            task.add_done_callback(lambda _: self._ended(execution))
            current.set(execution)
            try:
                await function(*args)
            except Failure as failure:
                log.warning("workflow %s failed: %s: %s", workflow_id, failure.code, failure.detail)
                raise

        return run

    def _ended(self, execution: Execution) -> None:
        self._executions.discard(execution)
        self._on_end()

    async def _abandon_executions(self) -> None:
        tasks = {execution.task for execution in self._executions}
        for task in tasks:
            task.cancel()
        if tasks:
            _, stubborn = await asyncio.wait(tasks, timeout=_CANCEL_S)
            if stubborn:
                # It can record nothing any more (the row has another owner by then), but its effects go on.
                log.error("%d workflows ignore that they were cancelled", len(stubborn))

    async def _keep_lease(self, runtime: Runtime) -> None:
        """Fences this worker when its lease is lost, and takes a new one."""
        while self._lease is not None:
            lost = self._lease
            await lost.lost()
            runtime.pause()
            self._lease = None
            log.warning("durable worker %s lost its lease: its work is left to others", lost.executor_id)
            await self._abandon_executions()
            self._lease = await self._new_lease()
            runtime.resume(self._lease.executor_id)
            log.info("durable worker %s took up work again", self._lease.executor_id)

    async def _new_lease(self) -> Lease:
        tries = 0
        while True:
            try:
                return await Lease.acquire(self._settings)
            except Exception as error:  # noqa: BLE001 - without a lease this worker is of no use; it never gives up
                if tries % _TRIES_PER_WARNING == 0:
                    log.warning("no new lease yet, trying again: %r", error)
                tries += 1
                await asyncio.sleep(_LEASE_RETRY_S)

    async def _sweep(self) -> None:
        """Looks for work that dead workers left, and for work this one claimed but does not run."""
        while True:
            if (lease := self._lease) is not None:
                try:
                    recovered = await self._store.recover(lease.executor_id)
                    running = {execution.workflow_id for execution in self._executions}
                    recovered += await self._store.hand_back(lease.executor_id, running, self._settings.lost_after_s)
                    if recovered:
                        log.warning("recovered %d workflows of lost workers: %s", len(recovered), recovered[:20])
                except Exception as error:  # noqa: BLE001 - a sweep that ends would leave work behind without a word
                    log.warning("sweep failed, trying again: %r", error)
            await asyncio.sleep(self._settings.sweep_interval_s)

    async def _purge(self) -> None:
        """Deletes old work from time to time."""
        retention_s = self._settings.retention_s
        while retention_s is not None:
            await asyncio.sleep(self._settings.purge_interval_s)
            try:
                if deleted := await self._store.purge(retention_s):
                    log.info("purged %d finished workflows", deleted)
            except Exception as error:  # noqa: BLE001 - as above
                log.warning("purge failed, trying again: %r", error)
