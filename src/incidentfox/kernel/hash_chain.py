"""A hash chain: each link holds the hash of the one before, so that no link can be changed, removed or moved unseen.

`hash = sha256(canonical JSON of {"content", "previous_hash", "seq"})`. Absent fields of the content are left out of
what is hashed, so that a field that a later release adds leaves the older links as they are. Who rewrites the chain
from one link to its end is found by whoever kept a point of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from incidentfox.kernel.crypto import content_hash


@dataclass(frozen=True)
class Point:
    """A place in a chain: the hash of link `seq`. Whoever keeps one can show that the chain still runs through it."""

    seq: int
    hash: str


GENESIS = Point(0, "sha256:" + "0" * 64)
"""What the first link continues."""


@dataclass(frozen=True)
class Link:
    """One link: where it stands, what it continues, and its own hash."""

    seq: int
    previous_hash: str
    hash: str

    @property
    def point(self) -> Point:
        """Where the chain is after this link."""
        return Point(self.seq, self.hash)


@dataclass(frozen=True)
class Break:
    """Where a chain is broken first, and how."""

    seq: int
    reason: str


def next_link(after: Point, content: Mapping[str, Any]) -> Link:
    """The link that holds `content` and continues `after`."""
    seq = after.seq + 1
    return Link(seq, after.hash, _hash(seq, after.hash, content))


class Verifier:
    """Walks a chain from `start` and finds its first break. `known` are points that the chain must run through."""

    def __init__(self, start: Point, known: tuple[Point, ...] = ()) -> None:
        self.last = start
        self._known = {point.seq: point.hash for point in known}

    def check(self, link: Link, content: Mapping[str, Any] | None) -> Break | None:
        """What is wrong with the next link; None when it holds. `content` None: only the link is there."""
        wrong = self._wrong(link, content)
        if wrong is not None:
            return Break(min(link.seq, self.last.seq + 1), wrong)
        self.last = link.point
        return None

    def end(self) -> Break | None:
        """What is wrong with a chain that ends here: a known point beyond its last link was cut off."""
        beyond = max((seq for seq in self._known if seq > self.last.seq), default=None)
        if beyond is None:
            return None
        return Break(self.last.seq + 1, f"{_span(self.last.seq + 1, beyond)} missing from the end")

    def _wrong(self, link: Link, content: Mapping[str, Any] | None) -> str | None:
        expected = self.last.seq + 1
        if self._known.get(self.last.seq, self.last.hash) != self.last.hash:
            return f"the chain begins after {self.last.seq} with another hash than the one that is known"
        if link.seq > expected:
            return f"{_span(expected, link.seq - 1)} missing, or moved"
        if link.seq < expected:
            return f"stands after {self.last.seq}: repeated, or moved"
        if link.previous_hash != self.last.hash:
            return f"does not continue {self.last.seq}, which was replaced, or this was"
        if content is None:
            return "its event is gone"
        if link.hash != _hash(link.seq, link.previous_hash, content):
            return "its event was changed, or its hash was"
        if self._known.get(link.seq, link.hash) != link.hash:
            return "differs from the point that is known: the chain was rewritten up to here"
        return None


def _hash(seq: int, previous_hash: str, content: Mapping[str, Any]) -> str:
    present = {name: value for name, value in content.items() if value is not None}
    return content_hash({"content": present, "previous_hash": previous_hash, "seq": seq})


def _span(first: int, last: int) -> str:
    return f"{first} is" if first == last else f"{first} to {last} are"
