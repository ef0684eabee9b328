"""A stream of deliveries while processes die, and the count at the end: used by the tests and by the benchmark.

Every moment is chosen by a seed and tied to the work, not to the clock: a process dies when so many deliveries are
accepted, dispatched or finished. So each of them dies in mid-work, however busy the machine is.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import asyncpg
from tests.acceptance.product import PAGERDUTY_SERVICE, Product, Tenancy, until
from tests.acceptance.sender import Message, custom_alert, pagerduty_event

from incidentfox.contracts.runs import RunStatus
from incidentfox.contracts.webhooks import DeliveryStatus

_POLL_S = 0.1
_MOST_PAUSE_S = 0.15

Mishap = Callable[[], Awaitable[object]]


@dataclass
class Progress:
    """How far the stream is."""

    accepted: int = 0
    dispatched: int = 0
    finished: int = 0

    def of(self, process: str) -> int:
        """The work that this kind of process has done: a replica's number does not matter."""
        if process.startswith("agent"):
            return self.finished
        return self.accepted if process.startswith("orchestrator") else self.dispatched


@dataclass(frozen=True)
class Accident:
    """What befalls a process, once it has done so much work."""

    process: str
    after: int
    mishap: Mishap


@dataclass(frozen=True)
class Outcome:
    """The books at the end. Everything in them is to be 0 or the number of deliveries."""

    deliveries: int
    accepted: int
    succeeded_runs: int
    runs_without_delivery: int
    deliveries_without_run: int
    posts: int
    posted_more_than_once: int
    never_posted: int
    accidents: int
    seconds: float
    repeats: int = field(compare=False, default=0)
    """Deliveries that their sender had to send more than once: how often the stream was really disturbed."""

    @property
    def holds(self) -> bool:
        """Whether nothing was lost and nothing done twice."""
        exact = (self.accepted, self.succeeded_runs, self.posts) == (self.deliveries,) * 3
        wrong = (self.runs_without_delivery, self.deliveries_without_run, self.posted_more_than_once, self.never_posted)
        return exact and not any(wrong)


class Storm:
    """One stream into one tenant."""

    def __init__(self, product: Product, tenant: Tenancy, deliveries: int, *, senders: int = 4) -> None:
        self._product = product
        self._tenant = tenant
        self._messages = [self._message(number) for number in range(deliveries)]
        self._senders = senders
        self._ids: list[str] = []
        self._repeats = 0
        self._progress = Progress()

    async def rage(self, accidents: Sequence[Accident], within_s: float) -> Outcome:
        """Sends everything, lets every accident happen, waits until all runs have ended, and counts.

        TimeoutError when that takes longer than `within_s`: the one limit of all that is waited for here.
        """
        began = time.monotonic()
        async with asyncio.timeout(within_s), self._product.superuser() as connection:
            watching = asyncio.create_task(self._watch(connection))
            try:
                async with asyncio.TaskGroup() as everything:
                    queue = iter(self._messages)
                    for _ in range(self._senders):
                        everything.create_task(self._send(queue))
                    for process in {accident.process for accident in accidents}:
                        mine = sorted((one for one in accidents if one.process == process), key=lambda one: one.after)
                        everything.create_task(self._befall(mine))
                await until(self._is_over, within_s=None)
            finally:
                watching.cancel()
        return await self._count(len(accidents), time.monotonic() - began)

    async def goes_on(self, runs: int = 3) -> None:
        """Returns when so many further runs have ended, or the stream is over."""
        before = self._progress.finished

        async def is_further() -> bool:
            return self._progress.finished >= min(before + runs, len(self._messages))

        await until(is_further, within_s=None)

    def _message(self, number: int) -> Message:
        """Half of either source; those that name the recording are investigated for longer."""
        if number % 2:
            return custom_alert(self._tenant.recording_id)
        return pagerduty_event("incident.triggered", f"P{secrets.token_hex(6).upper()}", PAGERDUTY_SERVICE)

    async def _send(self, queue: object) -> None:
        for message in queue:  # type: ignore[attr-defined]
            sender = self._tenant.custom if message.key.startswith("msg_") else self._tenant.pagerduty
            delivered = await sender.deliver(message, within_s=None)
            self._repeats += delivered.attempts > 1
            self._ids.append(delivered.delivery_id)
            self._progress.accepted += 1
            # A sender is not a flood: the stream goes on for as long as the work that it makes.
            await until(self._keeps_up, within_s=None)

    async def _keeps_up(self) -> bool:
        return self._progress.accepted - self._progress.finished < 4 * self._senders

    async def _befall(self, accidents: Sequence[Accident]) -> None:
        chance = random.Random(accidents[0].after)
        for accident in accidents:

            async def is_due(accident: Accident = accident) -> bool:
                return self._progress.of(accident.process) >= accident.after

            await until(is_due, within_s=None)
            await asyncio.sleep(chance.uniform(0, _MOST_PAUSE_S))
            await accident.mishap()

    async def _watch(self, connection: asyncpg.Connection) -> None:
        while True:
            row = await connection.fetchrow(
                "SELECT (SELECT count(*) FROM orchestrator_deliveries WHERE org_id = $1 AND status <> 'received'),"
                " (SELECT count(*) FROM agent_runs WHERE org_id = $1 AND finished_at IS NOT NULL)",
                self._tenant.org_id,
            )
            self._progress.dispatched, self._progress.finished = row[0], row[1]
            await asyncio.sleep(_POLL_S)

    async def _is_over(self) -> bool:
        return self._progress.dispatched >= len(self._messages) and self._progress.finished >= len(self._messages)

    async def _count(self, accidents: int, seconds: float) -> Outcome:
        deliveries = await self._tenant.deliveries()
        runs = await self._tenant.runs()
        run_of = {
            delivery.delivery_id: delivery.run_id
            for delivery in deliveries
            if delivery.status is DeliveryStatus.PROCESSED
        }
        posted = Counter(
            message["metadata"]["event_payload"]["run_id"]
            for message in await self._product.posts(*(run.run_id for run in runs))
        )
        return Outcome(
            deliveries=len(self._messages),
            accepted=len(set(self._ids) & {delivery.delivery_id for delivery in deliveries}),
            succeeded_runs=sum(run.status is RunStatus.SUCCEEDED for run in runs),
            runs_without_delivery=sum(run_of.get(run.delivery_id or "") != run.run_id for run in runs),
            deliveries_without_run=sum(run_of.get(one) not in {run.run_id for run in runs} for one in self._ids),
            posts=posted.total(),
            posted_more_than_once=sum(count > 1 for count in posted.values()),
            never_posted=sum(run.run_id not in posted for run in runs),
            accidents=accidents,
            seconds=seconds,
            repeats=self._repeats,
        )


def moments(seed: int, deliveries: int, count: int) -> list[int]:
    """When accidents happen, in work done: spread by chance over the stream, never at its very end."""
    return sorted(random.Random(seed).sample(range(2, max(3 + count, int(deliveries * 0.85))), count))
