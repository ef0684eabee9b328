"""JSON Pointers (RFC 6901) as tokens, and what they find in a document. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

Tokens = tuple[str, ...]

ABSENT: Final = object()
"""What a pointer finds where there is nothing: not the same as `null`."""

ANY_KEY = "*"
"""The token of a pattern that stands for every key of an object."""


def join(tokens: Tokens) -> str:
    """The pointer with these tokens; "" for the whole document."""
    return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in tokens)


def split(pointer: str) -> Tokens:
    """The tokens of a pointer that begins with a slash."""
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:])


def find(document: Any, tokens: Tokens) -> Any:
    """The value there, or ABSENT. Lists are values: no token leads into one."""
    for token in tokens:
        if not isinstance(document, dict) or token not in document:
            return ABSENT
        document = document[token]
    return document


def matches(document: Any, pattern: Tokens, path: Tokens = ()) -> Iterator[tuple[Tokens, Any]]:
    """Every place of the document that the pattern names, with its value."""
    if not pattern:
        yield path, document
    elif isinstance(document, dict):
        keys = sorted(document) if pattern[0] == ANY_KEY else [pattern[0]]
        for key in keys:
            if key in document:
                yield from matches(document[key], pattern[1:], (*path, key))


def covers(pattern: Tokens, tokens: Tokens) -> bool:
    """Whether the pattern names this place, one above it or one below it: whether they have anything in common."""
    return all(wanted in (ANY_KEY, token) for wanted, token in zip(pattern, tokens, strict=False))


def leaves(value: Any, path: Tokens = ()) -> Iterator[tuple[Tokens, Any]]:
    """Every value that is no object, or an empty one, with its place."""
    if isinstance(value, dict) and value:
        for key, below in value.items():
            yield from leaves(below, (*path, key))
    else:
        yield path, value
