"""Cursors: opaque to the caller, a sort key to us."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from fastapi import Query

from incidentfox.contracts.page import Page
from incidentfox.kernel.errors import Invalid

Item = TypeVar("Item")

Limit = Annotated[int, Query(ge=1, le=200, description="Items per page.")]
Cursor = Annotated[str | None, Query(max_length=512, description="`next_cursor` of the page before.")]


def encode_cursor(key: str) -> str:
    """The cursor after the item with this sort key."""
    return base64.urlsafe_b64encode(json.dumps([key]).encode()).rstrip(b"=").decode()


def decode_cursor(cursor: str | None) -> str | None:
    """The sort key of a cursor; Invalid for anything that we did not make."""
    if cursor is None:
        return None
    try:
        [key] = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, TypeError) as error:
        raise Invalid("`cursor` must be the `next_cursor` of an earlier page.", code="invalid_cursor") from error
    if not isinstance(key, str) or not key.isprintable():
        raise Invalid("`cursor` must be the `next_cursor` of an earlier page.", code="invalid_cursor")
    return key


def page(items: Sequence[Item], limit: int, key: Callable[[Item], str]) -> Page[Item]:
    """A page from at most `limit + 1` items: the one too many only proves that there are more."""
    shown = tuple(items[:limit])
    return Page[Item](items=shown, next_cursor=encode_cursor(key(shown[-1])) if len(items) > limit else None)
