"""Finds the words that evidence quotes within the results they were quoted from, and marks them. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from markupsafe import Markup, escape

_LONGEST = 2000
_PUNCTUATION = frozenset('{}[],:"')
Span = tuple[int, int]


class Excerpts:
    """The excerpts that one tool call is cited with.

    The agent compares with white space folded, against compact JSON; what is shown is indented JSON. So white space
    may differ here wherever JSON lets it differ.
    """

    def __init__(self, excerpts: Iterable[str]) -> None:
        wanted = {form for excerpt in excerpts for form in _forms(excerpt)}
        self._patterns = [re.compile(_pattern(form)) for form in sorted(wanted, key=len, reverse=True)]

    def __bool__(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self._patterns)

    def spans(self, text: str) -> list[Span]:
        """Where the excerpts stand in the text: in order, overlapping ones joined."""
        found = sorted(match.span() for pattern in self._patterns for match in pattern.finditer(text))
        joined: list[Span] = []
        for start, end in found:
            if joined and start <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((start, end))
        return joined

    def mark(self, text: str) -> Markup:
        """The text, escaped, with every excerpt in a `<mark>`."""
        parts, position = [], 0
        for start, end in self.spans(text):
            parts.append(f"{escape(text[position:start])}<mark>{escape(text[start:end])}</mark>")
            position = end
        parts.append(str(escape(text[position:])))
        return Markup("".join(parts))

    def touches(self, value: Any) -> bool:
        """Whether an excerpt stands in the value, however it is nested."""
        return bool(self._patterns) and bool(self.spans(json.dumps(value, ensure_ascii=False)))


def _forms(excerpt: str) -> list[str]:
    """The excerpt as it stands in a string, and as JSON writes that string."""
    text = excerpt.strip()[:_LONGEST]
    return [text, json.dumps(text, ensure_ascii=False)[1:-1]] if text else []


def _pattern(text: str) -> str:
    parts: list[str] = []

    def gap() -> None:
        if not parts or parts[-1] != r"\s*":
            parts.append(r"\s*")

    for character in text:
        if character.isspace():
            gap()
        elif character in _PUNCTUATION:
            gap()
            parts.append(re.escape(character))
            gap()
        else:
            parts.append(re.escape(character))
    # The white space round the excerpt is not part of it.
    return "".join(parts).removeprefix(r"\s*").removesuffix(r"\s*")
