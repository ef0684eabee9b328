"""Which of several secrets of one name holds for a node. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SealedSecret:
    """A stored secret on a node's path. `distance` 0 is the node itself."""

    node_id: str
    name: str
    distance: int
    ciphertext: bytes = field(repr=False)


def nearest(secrets: Iterable[SealedSecret]) -> list[SealedSecret]:
    """One secret for each name: the one that is set nearest to the node."""
    found: dict[str, SealedSecret] = {}
    for secret in sorted(secrets, key=lambda secret: (secret.name, secret.distance)):
        found.setdefault(secret.name, secret)
    return list(found.values())
