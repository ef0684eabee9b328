"""The run's way to its timeline at the Config Service: live, in order, in batches, and complete before the run ends.

Events are handed over as they happen and travel in the background; `flush` waits until all have arrived. Each carries
a key, so sending one twice (after a crash the run replays its events) changes nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

from incidentfox.agent.patience import patience
from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.contracts.events import AppendRunEvent, AppendRunEvents
from incidentfox.kernel.durable import Retry
from incidentfox.kernel.errors import Permanent, Temporary
from incidentfox.kernel.logging import get_logger
from incidentfox.kernel.tenant import Tenant

log = get_logger(__name__)

MAX_BATCH = 100
MAX_BATCH_BYTES = 512 * 1024
"""Half of what the Config Service takes in one request."""
_GATHER_S = 0.05
_BACKOFF = Retry(attempts=None, base_s=0.2, cap_s=10.0)


class Timeline:
    """The writer of one run's events. Use as an asynchronous context: leaving it stops the background work."""

    def __init__(self, client: ConfigServiceClient, tenant: Tenant, run_id: str) -> None:
        self._client = client
        self._tenant = tenant
        self._run_id = run_id
        self._waiting: deque[AppendRunEvent] = deque()
        self._arrived = asyncio.Event()
        self._sending = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Timeline:
        self._task = asyncio.create_task(self._send_in_background(), name=f"timeline-{self._run_id}")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def add(self, event: AppendRunEvent) -> None:
        """Takes an event over."""
        self._waiting.append(event)
        self._arrived.set()

    async def flush(self) -> None:
        """Returns once every event taken over so far is on the timeline. Raises what the Config Service raises."""
        async with self._sending:
            while self._waiting:
                batch = self._next_batch()
                with patience():
                    request = AppendRunEvents(events=tuple(batch))
                    await self._client.append_run_events(self._tenant, self._run_id, request)
                for _ in batch:
                    self._waiting.popleft()

    def _next_batch(self) -> list[AppendRunEvent]:
        batch: list[AppendRunEvent] = []
        size = 0
        for event in self._waiting:
            size += len(event.model_dump_json().encode())
            if batch and (len(batch) >= MAX_BATCH or size > MAX_BATCH_BYTES):
                break
            batch.append(event)
        return batch

    async def _send_in_background(self) -> None:
        failures = 0
        while True:
            await self._arrived.wait()
            await asyncio.sleep(_GATHER_S)
            self._arrived.clear()
            try:
                await self.flush()
                failures = 0
            except Temporary as failure:
                failures += 1
                self._arrived.set()
                await asyncio.sleep(_BACKOFF.delay_s(failures, failure.retry_after_s))
            except Permanent as failure:
                # The run meets the same refusal at its next flush, and ends with it.
                log.warning("timeline refused", run_id=self._run_id, code=failure.code, detail=failure.detail)
                return
