"""What a tool returned, in a form that people read: facts, tables, a plot where there is a series; and all of it as
JSON. Pure; the agent's tools return objects whose values are numbers, words and lists of flat objects.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup, escape

from incidentfox.console.excerpts import Excerpts
from incidentfox.console.plot import draw
from incidentfox.console.words import short_change
from incidentfox.contracts.answer import PlottedSeries

MOST_ROWS = 40
MOST_COLUMNS = 10
MOST_CHARACTERS = 60_000
"""Of the JSON shown; the API has the whole."""
_CELL = 160
_DEPTH = 3
_MOST_FACTS = 40
_FIRST = ("service", "metric", "template", "name", "ref", "title", "kind", "pid", "application", "state")
"""What a row is about, in front: the database keeps JSON without the order of its keys."""
_MOMENTS = frozenset({"at", "onset", "time", "timestamp", "start", "end", "deployed_at", "first_seen", "last_seen"})
_UNIX = range(1_000_000_000, 5_000_000_000)


@dataclass(frozen=True)
class Fact:
    """One named value."""

    name: str
    text: Markup


@dataclass(frozen=True)
class Row:
    """One row; `cited` when evidence quotes it."""

    cells: tuple[Markup, ...]
    cited: bool


@dataclass(frozen=True)
class Table:
    """A list of objects. `left_out` counts the rows that are only in the JSON."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    left_out: int


@dataclass(frozen=True)
class Line:
    """One line of a text. `side` is "add" or "remove" in a diff, else empty."""

    side: str
    text: Markup


@dataclass(frozen=True)
class Text:
    """A value of several lines: a diff, a stack trace, a document."""

    name: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class ResultView:
    """A result, ready for the template. `shortened` when `raw` is not all of it."""

    facts: tuple[Fact, ...]
    texts: tuple[Text, ...]
    tables: tuple[Table, ...]
    plot: Markup | None
    raw: Markup
    shortened: bool


def view(result: Any, excerpts: Excerpts, anchor: str) -> ResultView:
    """The view of one result. `anchor` makes the ids within a plot unique."""
    content = result if isinstance(result, Mapping) else {"result": result}
    plot = _plot(content, anchor)
    drawn = {"times", "values"} if plot is not None else set()
    facts: list[Fact] = []
    texts: list[Text] = []
    tables: list[Table] = []
    for name, value in _flattened(content, _DEPTH):
        if name in drawn:
            continue
        if _is_table(value):
            tables.append(_table(name, value, excerpts))
        elif isinstance(value, str) and "\n" in value.strip():
            texts.append(_lines(name, value, excerpts))
        elif not isinstance(value, list | Mapping) or _is_short_list(value):
            facts.append(Fact(_label(name), _text(name, value, excerpts)))
    raw, shortened = pretty(result, excerpts)
    return ResultView(tuple(facts[:_MOST_FACTS]), tuple(texts), tuple(tables), plot, raw, shortened)


def pretty(value: Any, excerpts: Excerpts) -> tuple[Markup, bool]:
    """Indented JSON (a lone string as it is) with the excerpts marked; and whether something had to be left out."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    if len(text) <= MOST_CHARACTERS:
        return excerpts.mark(text), False
    spans = excerpts.spans(text)
    start = max(0, (spans[0][0] if spans else 0) - MOST_CHARACTERS // 4)
    return excerpts.mark(text[start : start + MOST_CHARACTERS]), True


def _flattened(content: Mapping[str, Any], depth: int) -> Iterator[tuple[str, Any]]:
    """The entries, with nested objects spread out: `states` → `states, idle`."""
    for name, value in content.items():
        if isinstance(value, Mapping) and value and depth > 1:
            yield from ((f"{name}, {inner_name}", inner) for inner_name, inner in _flattened(value, depth - 1))
        else:
            yield name, value


def _lines(name: str, value: str, excerpts: Excerpts) -> Text:
    """The lines of a text; those of a diff by their side."""
    is_diff = name.rpartition(", ")[2] in {"diff", "patch"}
    sides = {"+": "add", "-": "remove"} if is_diff else {}
    shown = value[:MOST_CHARACTERS].strip("\n").split("\n")
    return Text(_label(name), tuple(Line(sides.get(line[:1], ""), excerpts.mark(line)) for line in shown))


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(isinstance(item, Mapping) for item in value)


def _is_short_list(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= 12 and not any(isinstance(item, list | Mapping) for item in value)


def _table(name: str, items: Sequence[Mapping[str, Any]], excerpts: Excerpts) -> Table:
    found = dict.fromkeys(key for item in items for key in item)
    columns = sorted(found, key=lambda key: _FIRST.index(key) if key in _FIRST else len(_FIRST))
    filled = [key for key in columns if any(item.get(key) not in (None, "", [], {}) for item in items)]
    chosen = tuple(filled[:MOST_COLUMNS])
    rows = [Row(tuple(_text(key, item.get(key), excerpts) for key in chosen), excerpts.touches(item)) for item in items]
    # A cited row is never the one that is left out.
    shown = [row for index, row in enumerate(rows) if index < MOST_ROWS or row.cited]
    return Table(_label(name), tuple(_label(key) for key in chosen), tuple(shown), len(rows) - len(shown))


def _text(name: str, value: Any, excerpts: Excerpts) -> Markup:
    if value is None or value == [] or value == {}:
        return escape("–")
    if isinstance(value, bool):
        return escape("yes" if value else "no")
    if isinstance(value, int | float):
        return escape(_number(name.rpartition(", ")[2], value))
    if isinstance(value, str):
        text = value
    elif isinstance(value, list) and not any(isinstance(item, list | Mapping) for item in value):
        text = ", ".join(str(item) for item in value)
    else:
        text = json.dumps(value, ensure_ascii=False)
    if excerpts.spans(text):
        return excerpts.mark(text)
    text = short_change(text)
    return escape(text if len(text) <= _CELL else text[:_CELL] + "…")


def _plot(content: Mapping[str, Any], anchor: str) -> Markup | None:
    times, values = content.get("times"), content.get("values")
    if not (_is_numbers(times) and _is_numbers(values)):
        return None
    change = content.get("change_point")
    onset = change.get("at", change.get("time")) if isinstance(change, Mapping) else None
    series = PlottedSeries(
        service=str(content.get("service", "")),
        metric=str(content.get("metric", "")),
        times=tuple(times or ()),
        values=tuple(values or ()),
        onset=onset if isinstance(onset, int | float) else None,
    )
    plot = draw(series, f"{anchor}-plot")
    return plot.svg if plot else None


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, int | float) for item in value)


def _number(name: str, value: float) -> str:
    """Moments as the time of day; whole numbers as they are, since they may be ids; others with four digits."""
    if name in _MOMENTS and math.isfinite(value) and int(value) in _UNIX:
        return f"{datetime.fromtimestamp(value, UTC):%H:%M:%S}"
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def _label(name: str) -> str:
    return name.replace("_", " ")
