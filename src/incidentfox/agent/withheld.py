"""What an answer never repeats, whoever asked for it: the run's nonce and the words of the agents' own instructions.

An alert or a log line may talk a language model into telling them. Secrets need no such list: the model never sees any.
What is said in other words is not found here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

WITHHELD = "[withheld]"
SHORTEST = 30
"""Shorter sentences of an instruction may well occur in an honest answer."""

_SENTENCE_END = re.compile(r"(?<=[.!?:])\s+|\n+")


def sentences(instructions: str) -> set[str]:
    """The sentences of instructions that are long enough to be recognised."""
    return {found for one in _SENTENCE_END.split(instructions) if len(found := one.strip()) >= SHORTEST}


def withhold(value: Any, words: Iterable[str]) -> Any:
    """The JSON-able value without any of the words, wherever they stand in it."""
    ordered = sorted(words, key=len, reverse=True)
    return _without(value, ordered)


def _without(value: Any, words: list[str]) -> Any:
    if isinstance(value, str):
        for one in words:
            value = value.replace(one, WITHHELD)
        return value
    if isinstance(value, dict):
        return {key: _without(item, words) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without(item, words) for item in value]
    return value
