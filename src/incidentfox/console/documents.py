"""A configuration document as people edit it: JSON text, where in it each value stands, and drafts that met. Pure."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from incidentfox.contracts.configuration import JsonObject
from incidentfox.contracts.problem import FieldError

MAX_DEPTH = 64

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a draft, and the line it stands in; 0 where it is about nothing that was typed."""

    line: int
    pointer: str
    message: str


@dataclass(frozen=True)
class Draft:
    """What somebody typed. `document` None: it is no JSON object that everybody reads alike, and `troubles` say why."""

    text: str
    document: JsonObject | None
    troubles: tuple[Trouble, ...] = ()
    lines: Mapping[str, int] = field(default_factory=dict)
    """The line of each value by its pointer, from 1."""


class _Refused(Exception):
    """Found while scanning: not JSON that everybody reads alike."""

    def __init__(self, message: str, position: int, pointer: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.position = position
        self.pointer = pointer


def json_text(document: Any) -> str:
    """A document for the editor."""
    return json.dumps(document, indent=2, ensure_ascii=False)


def read_draft(typed: str) -> Draft:
    """Reads what was typed. An empty text is an empty document.

    Keys that occur twice are refused here: the Config Service, which refuses them too, is sent what was read.
    """
    text = typed.replace("\r\n", "\n").strip()
    if not text:
        return Draft("", {})
    scanner = _Scanner(text)
    try:
        scanner.scan()
        document = json.loads(text, parse_constant=_refuse_constant)
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode()  # no half characters, no infinity
    except _Refused as refused:
        return Draft(text, None, (Trouble(scanner.line(refused.position), refused.pointer, refused.message),))
    except json.JSONDecodeError as error:
        return Draft(text, None, (Trouble(scanner.line(error.pos), "", f"{error.msg}."),))
    except ValueError as error:
        return Draft(text, None, (Trouble(1, "", f"This cannot be kept: {error}."),))
    if not isinstance(document, dict):
        return Draft(text, None, (Trouble(1, "", "A document is an object: { … }."),))
    return Draft(text, document, (), scanner.found)


def placed(errors: Iterable[FieldError], lines: Mapping[str, int]) -> tuple[Trouble, ...]:
    """Each error at the line of its value, or of the nearest value round it, in the order of the lines."""
    found = (Trouble(_nearest(error.pointer, lines), error.pointer, error.message) for error in errors)
    return tuple(sorted(found, key=lambda trouble: (trouble.line == 0, trouble.line)))


def excerpt(lines: Sequence[str], line: int) -> list[tuple[int, str]]:
    """The line with its neighbours, numbered; nothing for line 0."""
    first = max(1, line - 1)
    return [(number, lines[number - 1][:200]) for number in range(first, min(line + 1, len(lines)) + 1)] if line else []


def carried(base: JsonObject, mine: JsonObject, theirs: JsonObject) -> tuple[JsonObject, tuple[str, ...]]:
    """My changes since `base`, made to `theirs` instead; and where both changed the same, which is mine then."""
    clashes: list[str] = []
    return _carry(base, mine, theirs, "", clashes), tuple(clashes)


_NOTHING = object()


def _carry(base: Any, mine: JsonObject, theirs: JsonObject, pointer: str, clashes: list[str]) -> JsonObject:
    merged: JsonObject = {}
    for key in [*theirs, *(key for key in mine if key not in theirs)]:
        place = f"{pointer}/{_token(key)}"
        old = base.get(key, _NOTHING) if isinstance(base, dict) else _NOTHING
        own, other = mine.get(key, _NOTHING), theirs.get(key, _NOTHING)
        if _same(own, old) or _same(own, other):
            value = other
        elif _same(other, old):
            value = own
        elif isinstance(own, dict) and isinstance(other, dict):
            value = _carry(old, own, other, place, clashes)
        else:
            value = own
            clashes.append(place)
        if value is not _NOTHING:
            merged[key] = value
    return merged


def _same(one: Any, other: Any) -> bool:
    if one is _NOTHING or other is _NOTHING:
        return one is other
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


class _Scanner:
    """Walks through a text and notes the line of each value, by its pointer."""

    def __init__(self, text: str) -> None:
        self.found: dict[str, int] = {}
        self._text = text
        self._breaks = [match.start() for match in re.finditer("\n", text)]

    def scan(self) -> None:
        """Raises _Refused, or JSONDecodeError, for what is not JSON that everybody reads alike."""
        end = self._skip(self._value(self._skip(0), "", 0))
        if end != len(self._text):
            raise _Refused("The document ends before this.", end)

    def line(self, position: int) -> int:
        """The line of a position."""
        return bisect_left(self._breaks, position) + 1

    def _value(self, at: int, pointer: str, depth: int) -> int:
        if pointer:
            self.found.setdefault(pointer, self.line(at))
        if depth > MAX_DEPTH:
            raise _Refused(f"Nested deeper than {MAX_DEPTH} levels.", at, pointer[:80])
        opening = self._at(at)
        if opening == "{":
            return self._object(at, pointer, depth)
        if opening == "[":
            return self._array(at, pointer, depth)
        return _DECODER.raw_decode(self._text, at)[1]

    def _object(self, at: int, pointer: str, depth: int) -> int:
        at = self._skip(at + 1)
        if self._at(at) == "}":
            return at + 1
        while True:
            if self._at(at) != '"':
                raise _Refused('A key in double quotes belongs here: "key": …', at, pointer)
            key, after = _DECODER.raw_decode(self._text, at)
            place = f"{pointer}/{_token(key)}"
            if place in self.found:
                raise _Refused("This key occurs twice; keep one.", at, place)
            self.found[place] = self.line(at)
            at = self._skip(after)
            if self._at(at) != ":":
                raise _Refused("A colon belongs between the key and its value.", at, place)
            at = self._skip(self._value(self._skip(at + 1), place, depth + 1))
            if self._at(at) == "}":
                return at + 1
            at = self._next(at, "}", pointer)

    def _array(self, at: int, pointer: str, depth: int) -> int:
        at = self._skip(at + 1)
        if self._at(at) == "]":
            return at + 1
        index = 0
        while True:
            at = self._skip(self._value(at, f"{pointer}/{index}", depth + 1))
            if self._at(at) == "]":
                return at + 1
            at = self._next(at, "]", pointer)
            index += 1

    def _next(self, at: int, closing: str, pointer: str) -> int:
        if self._at(at) != ",":
            raise _Refused(f"A comma or a {closing} belongs here.", at, pointer)
        after = self._skip(at + 1)
        if self._at(after) == closing:
            raise _Refused("JSON has no comma after the last entry.", at, pointer)
        return after

    def _at(self, position: int) -> str:
        return self._text[position : position + 1]

    def _skip(self, at: int) -> int:
        found = _SPACE.match(self._text, at)
        return found.end() if found else at


def _nearest(pointer: str, lines: Mapping[str, int]) -> int:
    while pointer:
        if pointer in lines:
            return lines[pointer]
        pointer = pointer.rpartition("/")[0]
    return 0


def _token(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")
