"""Differences between documents as lines that are taken away and lines that are added. Pure."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from incidentfox.contracts.explanation import ValueChange

Side = Literal["add", "remove", "same"]

_MOST_LINES = 120
_CONTEXT = 2
_MOST_COMPARED = 2000


@dataclass(frozen=True)
class Line:
    """One line of a difference."""

    side: Side
    text: str


@dataclass(frozen=True)
class ShownChange:
    """One place that differs. `left_out` lines are more than a page should hold."""

    pointer: str
    kind: Literal["added", "removed", "changed"]
    lines: tuple[Line, ...]
    left_out: int = 0


def shown(changes: Iterable[ValueChange]) -> list[ShownChange]:
    """Each change with its lines."""
    return [_shown(change) for change in changes]


def _shown(change: ValueChange) -> ShownChange:
    match change.kind:
        case "added":
            lines = [Line("add", text) for text in _lines(change.after)]
        case "removed":
            lines = [Line("remove", text) for text in _lines(change.before)]
        case _:
            lines = _compared(_lines(change.before), _lines(change.after))
    left_out = max(0, len(lines) - _MOST_LINES)
    return ShownChange(change.pointer or "/", change.kind, tuple(lines[:_MOST_LINES]), left_out)


def _compared(before: list[str], after: list[str]) -> list[Line]:
    if max(len(before), len(after)) > _MOST_COMPARED or 1 in (len(before), len(after)):
        return [*(Line("remove", text) for text in before), *(Line("add", text) for text in after)]
    found: list[Line] = []
    for group in difflib.SequenceMatcher(None, before, after, autojunk=False).get_grouped_opcodes(_CONTEXT):
        if found:
            found.append(Line("same", "…"))
        for tag, first, last, other_first, other_last in group:
            if tag == "equal":
                found.extend(Line("same", text) for text in before[first:last])
            else:
                found.extend(Line("remove", text) for text in before[first:last])
                found.extend(Line("add", text) for text in after[other_first:other_last])
    return found


def _lines(value: Any) -> list[str]:
    """A value as lines: text of several lines as it is, anything else as JSON, so that "4" is told from 4."""
    value = _plain(value)
    if isinstance(value, str) and "\n" in value.strip():
        return value.rstrip("\n").split("\n")
    if isinstance(value, list) and all(isinstance(item, str | int | float | bool) for item in value):
        compact = json.dumps(value, ensure_ascii=False)
        if len(compact) <= 100:
            return [compact]
    return json.dumps(value, indent=2, ensure_ascii=False).split("\n")


def _plain(value: Any) -> Any:
    """Whole numbers without a fraction, as people type them: an effective document holds 4.0 where they typed 4."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
