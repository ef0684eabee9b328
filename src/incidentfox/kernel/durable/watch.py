"""Waiting for workflows to end: one query per interval for everybody who waits in this process."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from incidentfox.kernel.durable.options import WorkflowStatus
from incidentfox.kernel.durable.store import Store
from incidentfox.kernel.errors import NotFound, Timeout, Unavailable

log = logging.getLogger(__name__)


class Watch:
    """Polls only while somebody waits."""

    def __init__(self, store: Store, interval_s: float) -> None:
        self._store = store
        self._interval_s = interval_s
        self._waiters: dict[str, list[asyncio.Future[WorkflowStatus]]] = {}
        self._poller: asyncio.Task[None] | None = None
        self._nudge = asyncio.Event()

    def nudge(self) -> None:
        """Looks again at once: a workflow has just ended in this process."""
        self._nudge.set()

    async def wait(self, workflow_id: str, timeout_s: float | None) -> WorkflowStatus:
        """Waits for a workflow's end. Raises NotFound for an unknown id, Timeout after `timeout_s`."""
        waiter: asyncio.Future[WorkflowStatus] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(workflow_id, []).append(waiter)
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll(), name="durable-watch")
        try:
            async with asyncio.timeout(timeout_s):
                return await waiter
        except TimeoutError:
            raise Timeout(f"Workflow {workflow_id} has not ended within {timeout_s} s.") from None
        finally:
            waiters = self._waiters[workflow_id]
            waiters.remove(waiter)
            if not waiters:
                del self._waiters[workflow_id]

    async def close(self) -> None:
        """Ends the polling; whoever still waits gets Unavailable."""
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.gather(self._poller, return_exceptions=True)
        for waiters in self._waiters.values():
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(Unavailable("The engine stopped; the workflow goes on elsewhere."))

    async def _poll(self) -> None:
        while self._waiters:
            self._nudge.clear()
            watched = list(self._waiters)
            try:
                found = await self._store.statuses(watched)
            except Exception as error:  # noqa: BLE001 - whoever waits would wait for ever
                log.warning("watching workflows failed, trying again: %r", error)
            else:
                for workflow_id in watched:
                    self._answer(workflow_id, found.get(workflow_id))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._nudge.wait()

    def _answer(self, workflow_id: str, status: WorkflowStatus | None) -> None:
        for waiter in self._waiters.get(workflow_id, ()):
            if waiter.done():
                continue
            if status is None:
                waiter.set_exception(NotFound(f"No workflow {workflow_id}."))
            elif status.state.final:
                waiter.set_result(status)
