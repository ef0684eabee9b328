"""Group commit: deliveries to one endpoint that arrive while a commit is under way are committed together by the next.

Nothing waits for company: an idle endpoint's delivery goes at once. The limit is taken for a whole group in one
statement, before and apart from the insert, so that the limit's row is not locked until the commit is on disk.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass

import asyncpg  # type: ignore[import-untyped]

from incidentfox.kernel.errors import Failure, RateLimited, Unavailable
from incidentfox.kernel.logging import get_logger
from incidentfox.orchestrator.webhooks.store import EndpointRow, IngressStore, NewDelivery

log = get_logger(__name__)

_GROUP = 64
_REMEMBER = 20_000
_ANNOUNCE_APART_S = 0.01
_MOST_WAITING = 1000
"""Deliveries of one endpoint that wait for a commit. Beyond them, whoever sends had better come back."""


@dataclass(frozen=True)
class Recorded:
    """A delivery that is committed, by this call or by an earlier one (`repeated`)."""

    delivery_id: str
    repeated: bool


@dataclass(eq=False)
class _Waiting:
    endpoint: EndpointRow
    delivery: NewDelivery
    outcome: asyncio.Future[Recorded]


class Recorder:
    """Takes verified deliveries; returns when each is committed. One per process."""

    def __init__(self, store: IngressStore) -> None:
        self._store = store
        self._lanes: dict[str, list[_Waiting]] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._blocked: dict[str, float] = {}
        self._unannounced = False
        self._announcing: asyncio.Task[None] | None = None
        self._known: OrderedDict[tuple[str, str], str] = OrderedDict()

    def check_limit(self, endpoint: EndpointRow) -> None:
        """Raises RateLimited if the endpoint is known to be over its limit: a flood is answered from memory."""
        until = self._blocked.get(endpoint.endpoint_id)
        if until is None:
            return
        wait_s = until - time.monotonic()
        if wait_s > 0:
            raise _limited(endpoint, wait_s)
        del self._blocked[endpoint.endpoint_id]

    def known(self, endpoint: EndpointRow, delivery_key: str) -> str | None:
        """The delivery with this key, if it is fresh in memory: a repetition then costs neither limit nor database."""
        return self._known.get((endpoint.endpoint_id, delivery_key))

    async def record(self, endpoint: EndpointRow, delivery: NewDelivery) -> Recorded:
        """Returns once the delivery is committed and enqueued. Raises RateLimited or Unavailable when it is not."""
        waiting = _Waiting(endpoint, delivery, asyncio.get_running_loop().create_future())
        lane = self._lanes.setdefault(endpoint.endpoint_id, [])
        if len(lane) >= _MOST_WAITING:
            raise Unavailable(
                "Too many deliveries of this endpoint wait to be recorded. Send it again.",
                code="ingress_busy",
                retry_after_s=1.0,
            )
        lane.append(waiting)
        if endpoint.endpoint_id not in self._running:
            # In a context of its own: what is logged here is about many deliveries, not about the one that began it.
            task = asyncio.create_task(self._drain(endpoint.endpoint_id), context=Context())
            self._running[endpoint.endpoint_id] = task
        return await waiting.outcome

    async def _drain(self, endpoint_id: str) -> None:
        lane = self._lanes[endpoint_id]
        try:
            while lane:
                group, lane[:] = lane[:_GROUP], lane[_GROUP:]
                await self._settle(group)
        finally:
            del self._lanes[endpoint_id], self._running[endpoint_id]
            _give_up(lane)

    async def _settle(self, group: list[_Waiting]) -> None:
        """Gives every member of the group its outcome."""
        try:
            await self._commit(group)
        except (Failure, asyncpg.PostgresError) as error:
            if isinstance(error, asyncpg.PostgresError) and len(group) > 1:
                # One row that Postgres refuses must not take its neighbours along.
                for waiting in group:
                    if not waiting.outcome.done():
                        await self._settle([waiting])
                return
            for waiting in group:
                if not waiting.outcome.done():
                    waiting.outcome.set_exception(error)
        finally:
            _give_up(group)

    async def _commit(self, group: list[_Waiting]) -> None:
        endpoint = group[-1].endpoint
        granted, wait_s = await self._store.take(endpoint, len(group))
        if granted < len(group):
            self._blocked[endpoint.endpoint_id] = time.monotonic() + wait_s
            for waiting in group[granted:]:
                _settle_one(waiting, _limited(endpoint, wait_s))
        admitted = group[:granted]
        if not admitted:
            return
        new = await self._store.record(endpoint, [waiting.delivery for waiting in admitted])
        self._announce()
        _tell(endpoint, [waiting.delivery for waiting in admitted if waiting.delivery.delivery_id in new])
        for waiting in admitted:
            if waiting.delivery.delivery_id in new:
                self._remember(endpoint, waiting.delivery.delivery_key, waiting.delivery.delivery_id)
                _settle_one(waiting, Recorded(waiting.delivery.delivery_id, repeated=False))
        for waiting in admitted:
            if waiting.delivery.delivery_id not in new:
                _settle_one(waiting, Recorded(await self._earlier(endpoint, waiting.delivery), repeated=True))

    def _announce(self) -> None:
        """Wakes the workers, once for all that is committed within a moment."""
        self._unannounced = True
        if self._announcing is None or self._announcing.done():
            self._announcing = asyncio.create_task(self._announce_all(), context=Context())

    async def _announce_all(self) -> None:
        while self._unannounced:
            self._unannounced = False
            with suppress(Unavailable):  # they look by themselves as well
                await self._store.announce()
            await asyncio.sleep(_ANNOUNCE_APART_S)

    async def _earlier(self, endpoint: EndpointRow, delivery: NewDelivery) -> str:
        key = delivery.delivery_key
        found = self.known(endpoint, key) or await self._store.recorded_as(endpoint, key)
        if found is None:
            raise Unavailable("This delivery was recorded before, but cannot be found at the moment. Send it again.")
        self._remember(endpoint, key, found)
        return found

    def _remember(self, endpoint: EndpointRow, delivery_key: str, delivery_id: str) -> None:
        self._known[(endpoint.endpoint_id, delivery_key)] = delivery_id
        if len(self._known) > _REMEMBER:
            self._known.popitem(last=False)


def _tell(endpoint: EndpointRow, accepted: list[NewDelivery]) -> None:
    """One line for one commit: a line for each delivery would cost as much as parsing it does."""
    told: dict[str, object] = {"endpoint_id": endpoint.endpoint_id, "source": endpoint.source}
    if len(accepted) == 1:
        [only] = accepted
        log.info("delivery accepted", delivery_id=only.delivery_id, correlation_id=only.correlation_id, **told)
    elif accepted:
        deliveries = {delivery.delivery_id: delivery.correlation_id for delivery in accepted}
        log.info("deliveries accepted", deliveries=deliveries, **told)


def _settle_one(waiting: _Waiting, outcome: Recorded | Failure) -> None:
    if waiting.outcome.done():
        return  # its sender has gone away
    if isinstance(outcome, Failure):
        waiting.outcome.set_exception(outcome)
    else:
        waiting.outcome.set_result(outcome)


def _give_up(group: list[_Waiting]) -> None:
    """Nobody is left waiting for ever, even when the process is going down or something has an error in it."""
    for waiting in group:
        _settle_one(waiting, Unavailable("The delivery was not recorded. Send it again."))


def _limited(endpoint: EndpointRow, wait_s: float) -> RateLimited:
    return RateLimited(
        f"This endpoint takes {endpoint.rate_per_minute} deliveries a minute, {endpoint.burst} at once. Send it again "
        "after the time in Retry-After.",
        retry_after_s=wait_s,
    )
