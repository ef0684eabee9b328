"""Lists on the wire: `{items, next_cursor}`."""

from __future__ import annotations

from typing import Generic, TypeVar

from incidentfox.contracts.model import WireModel

Item = TypeVar("Item")


class Page(WireModel, Generic[Item]):
    """One page of a list. Pass `next_cursor` back as `cursor` for the next one; null means the end."""

    items: tuple[Item, ...]
    next_cursor: str | None = None
