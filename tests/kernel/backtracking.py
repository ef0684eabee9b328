"""Counts what a backtracking matcher does: the same pattern, read by Python's own parser, one step at a time.

Time is no measure in a test; steps are. The matcher knows the constructs that the redaction's patterns use and fails
loudly for any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

Groups = dict[int, tuple[int, int]]


class Counter:
    """Searches a text for every match of one pattern, and counts the steps it takes."""

    def __init__(self, pattern: re.Pattern[str], text: str) -> None:
        self.tree = list(_parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE))
        self.ignore_case = bool(pattern.flags & re.IGNORECASE)
        self.text = text
        self.steps = 0

    def matches(self) -> list[tuple[int, int]]:
        """The spans that `finditer` would give."""
        found, position = [], 0
        while position <= len(self.text):
            end = next((end for end, _ in self._match(self.tree, 0, position, {}, self.ignore_case)), None)
            if end is None or end == position:
                position += 1
            else:
                found.append((position, end))
                position = end
        return found

    def _match(self, items: Any, index: int, at: int, groups: Groups, fold: bool) -> Iterator[tuple[int, Groups]]:
        if index == len(items):
            yield at, groups
            return
        for end, now in self._one(items[index], at, groups, fold):
            yield from self._match(items, index + 1, end, now, fold)

    def _one(self, item: Any, at: int, groups: Groups, fold: bool) -> Iterator[tuple[int, Groups]]:
        kind, value = item
        self.steps += 1
        if kind in (op.LITERAL, op.NOT_LITERAL, op.IN, op.ANY):
            if at < len(self.text) and self._takes(kind, value, self.text[at], fold):
                yield at + 1, groups
        elif kind is op.SUBPATTERN:
            group, add, remove, inside = value
            inner = (fold or bool(add & re.IGNORECASE)) and not remove & re.IGNORECASE
            for end, now in self._match(inside, 0, at, groups, inner):
                yield end, now if group is None else {**now, group: (at, end)}
        elif kind is op.BRANCH:
            for inside in value[1]:
                yield from self._match(inside, 0, at, groups, fold)
        elif kind in (op.MAX_REPEAT, op.MIN_REPEAT):
            yield from self._repeat(kind, value, at, groups, fold)
        elif kind in (op.ASSERT, op.ASSERT_NOT):
            if self._looks(value, at, groups, fold) == (kind is op.ASSERT):
                yield at, groups
        elif kind is op.GROUPREF:
            start, end = groups[value]
            wanted = self.text[start:end]
            self.steps += len(wanted)
            if self.text.startswith(wanted, at):
                yield at + len(wanted), groups
        elif kind is op.AT:
            if self._stands(value, at):
                yield at, groups
        else:
            raise NotImplementedError(kind)

    def _repeat(self, kind: Any, value: Any, at: int, groups: Groups, fold: bool) -> Iterator[tuple[int, Groups]]:
        least, most, inside = value
        if len(inside) == 1 and inside[0][0] in (op.LITERAL, op.NOT_LITERAL, op.IN, op.ANY):
            end = at
            while end - at < most and end < len(self.text) and self._takes(*inside[0], self.text[end], fold):
                end += 1
                self.steps += 1
            ends = range(end, at + least - 1, -1)
            for stop in ends if kind is op.MAX_REPEAT else reversed(ends):
                self.steps += 1
                yield stop, groups
            return
        if kind is op.MIN_REPEAT:
            raise NotImplementedError(kind)
        yield from self._greedy(inside, (least, most), (at, groups), fold)

    def _greedy(
        self, inside: Any, bounds: tuple[int, int], here: tuple[int, Groups], fold: bool
    ) -> Iterator[tuple[int, Groups]]:
        """Depth first, as far as it goes, on a stack of its own: a text is longer than Python's."""
        least, most = bounds
        stack = [(here, 0, self._match(inside, 0, here[0], here[1], fold))]
        while stack:
            (at, groups), count, rest = stack[-1]
            further = next(rest, None) if count < most else None
            if further is not None and further[0] > at:
                stack.append((further, count + 1, self._match(inside, 0, further[0], further[1], fold)))
                continue
            stack.pop()
            if count >= least:
                yield at, groups

    def _looks(self, value: Any, at: int, groups: Groups, fold: bool) -> bool:
        direction, inside = value
        if direction < 0:
            width = inside.getwidth()[0]
            return at >= width and any(end == at for end, _ in self._match(inside, 0, at - width, groups, fold))
        return next(self._match(inside, 0, at, groups, fold), None) is not None

    def _takes(self, kind: Any, value: Any, character: str, fold: bool) -> bool:
        if kind is op.ANY:
            return character != "\n"
        variants = {character, character.lower(), character.upper()} if fold else {character}
        if kind is op.LITERAL:
            return any(ord(one) == value for one in variants if len(one) == 1)
        if kind is op.NOT_LITERAL:
            return all(ord(one) != value for one in variants if len(one) == 1)
        negated = value[0][0] is op.NEGATE
        return negated != any(_in_set(value[1:] if negated else value, one) for one in variants)

    def _stands(self, where: Any, at: int) -> bool:
        if where is op.AT_BEGINNING_STRING:
            return at == 0
        if where is op.AT_END_STRING:
            return at == len(self.text)
        if where is op.AT_BOUNDARY:
            before = at > 0 and (self.text[at - 1].isalnum() or self.text[at - 1] == "_")
            after = at < len(self.text) and (self.text[at].isalnum() or self.text[at] == "_")
            return before != after
        raise NotImplementedError(where)


def _in_set(items: Any, character: str) -> bool:
    for kind, value in items:
        if kind is op.LITERAL and len(character) == 1 and ord(character) == value:
            return True
        if kind is op.RANGE and len(character) == 1 and value[0] <= ord(character) <= value[1]:
            return True
        if kind is op.CATEGORY:
            word = character.isalnum() or character == "_"
            held = {
                op.CATEGORY_SPACE: character.isspace(),
                op.CATEGORY_NOT_SPACE: not character.isspace(),
                op.CATEGORY_WORD: word,
                op.CATEGORY_NOT_WORD: not word,
                op.CATEGORY_DIGIT: character.isdigit(),
            }
            if held[value]:
                return True
    return False
