"""A cache in the process that is never more than CONFIRM_EVERY_S behind what was committed, on any replica.

Each organisation has a stamp, a number in a row of its own, which every change raises in its own transaction. What is
kept carries the stamp that was known *before* it was read, and counts only while that is still the stamp. Whether it
is gets asked again after CONFIRM_EVERY_S at the latest, which is a select of one row; a notification makes it asked
at once. So a notification that is lost costs half a second, and a wrong one nothing.

What is read is kept by tenant: a hit is exactly what row-level security showed to that same tenant.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from incidentfox.kernel.db.signals import Signals
from incidentfox.kernel.tenant import Tenant

CONFIRM_EVERY_S = 0.5
"""How long a stamp counts without being asked again."""

_MOST_ORGANISATIONS = 100_000

Value = TypeVar("Value")


class Stamps:
    """What is known about the stamps. `read` selects the one of an organisation."""

    def __init__(self, signals: Signals, channel: str, read: Callable[[str], Awaitable[int]]) -> None:
        self._read = read
        self._confirmed: dict[str, tuple[int, float]] = {}
        self._signalled = 0
        signals.subscribe(channel, self.doubt)

    async def current(self, org_id: str) -> int:
        """The organisation's stamp as it was at most CONFIRM_EVERY_S ago."""
        asked_at = time.monotonic()
        known = self._confirmed.get(org_id)
        if known is not None and asked_at - known[1] < CONFIRM_EVERY_S:
            return known[0]
        signalled = self._signalled
        stamp = await self._read(org_id)
        if signalled == self._signalled:  # otherwise the answer may be older than the change that was signalled
            if len(self._confirmed) >= _MOST_ORGANISATIONS:
                self._confirmed.clear()
            self._confirmed[org_id] = stamp, asked_at
        return stamp

    def doubt(self, org_id: str | None) -> None:
        """Asks the organisation's stamp again (None: all of them) before anything kept counts."""
        self._signalled += 1
        if org_id is None:
            self._confirmed.clear()
        else:
            self._confirmed.pop(org_id, None)


class FreshCache(Generic[Value]):
    """Keeps the values that were used last, up to a total weight."""

    def __init__(self, stamps: Stamps, weigh: Callable[[Value], int], most: int) -> None:
        self._stamps = stamps
        self._weigh = weigh
        self._most = most
        self._weight = 0
        self._kept: OrderedDict[tuple[Tenant, Hashable], tuple[int, Value]] = OrderedDict()

    async def get(self, tenant: Tenant, key: Hashable, load: Callable[[], Awaitable[Value]]) -> Value:
        """The value of the key as this tenant sees it; `load` reads it where what is kept does not count.

        What `load` raises is raised and not kept.
        """
        stamp = await self._stamps.current(tenant.org_id)
        place = tenant, key
        kept = self._kept.get(place)
        if kept is not None and kept[0] == stamp:
            self._kept.move_to_end(place)
            return kept[1]
        value = await load()
        self._keep(place, stamp, value)
        return value

    def _keep(self, place: tuple[Tenant, Hashable], stamp: int, value: Value) -> None:
        earlier = self._kept.pop(place, None)
        if earlier is not None:
            self._weight -= self._weigh(earlier[1])
        self._kept[place] = stamp, value
        self._weight += self._weigh(value)
        while self._weight > self._most:
            _, (_, dropped) = self._kept.popitem(last=False)
            self._weight -= self._weigh(dropped)
