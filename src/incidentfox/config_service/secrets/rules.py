"""Which of several secrets of one name holds for a node, and where a document refers to one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from incidentfox.config_service.configuration.pointers import join

_REFERENCE = "$secret"


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


def references(document: Any, name: str, place: tuple[str, ...] = ()) -> Iterator[str]:
    """The JSON Pointers of the values in a document that are `{"$secret": name}`."""
    if isinstance(document, dict):
        if document == {_REFERENCE: name}:
            yield join(place)
            return
        for key, value in document.items():
            yield from references(value, name, (*place, key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from references(value, name, (*place, str(index)))
