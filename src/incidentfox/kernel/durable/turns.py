"""Whose turn it is in a partitioned queue: who was served longest ago comes first. Used by runtime.py at each look.

By chance alone, one newcomer among the twenty keys of somebody who floods would wait for several looks on average. So
groups take turns, and within a group its keys: a group is what stands before the first `/` of a key. Turns alone do not
help against work that hangs, so a group may also be held to a part of the worker's places.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from itertools import count
from typing import Any


class Turns:
    """The turns of one queue in one process. Remembers nothing of keys that no longer wait: they come first again."""

    def __init__(self, most_per_group: int | None = None) -> None:
        self._most = sys.maxsize if most_per_group is None else most_per_group
        self._clock = count(1)
        self._served: dict[str, int] = {}
        self._running: Counter[str] = Counter()

    def order(self, keys: Iterable[str], running: Iterable[str] = ()) -> list[str]:
        """The keys that have work, in the order in which they are to be served; `running` has a key per running one."""
        waiting = list(keys)
        self._running = Counter(_group(key) for key in running)
        self._served = {name: self._served[name] for name in self._names(waiting) if name in self._served}
        return InOrder(sorted(waiting, key=lambda key: (self._last(_group(key)), self._last(key))))

    def room(self, key: str) -> int:
        """How many more of this key's group may run in this process."""
        return max(0, self._most - self._running[_group(key)])

    def served(self, key: str, workflows: int = 1) -> None:
        """Notes that work of this key was taken."""
        self._served[key] = self._served[_group(key)] = next(self._clock)
        self._running[_group(key)] += workflows

    def _last(self, name: str) -> int:
        return self._served.get(name, 0)

    @staticmethod
    def _names(keys: Iterable[str]) -> set[str]:
        return {name for key in keys for name in (key, _group(key))}


class InOrder(list[str]):
    """A list that cannot be shuffled: the library shuffles the keys it is given, in place, before it serves them."""

    def __setitem__(self, index: Any, value: Any) -> None:
        """Keeps what is there."""


def _group(key: str) -> str:
    return f"{key.partition('/')[0]}/"
