"""How commands print: a table for people, JSON for programs, from the same object."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

Item = TypeVar("Item", bound=BaseModel)
Column = tuple[str, Callable[[Item], object]]

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

_WIDE = 200  # a pipe has no width; ids must come through whole

console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)


def print_object(item: BaseModel, *, as_json: bool) -> None:
    """One object: its fields as lines, or JSON."""
    if as_json:
        print(item.model_dump_json(indent=2, by_alias=True))
        return
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in item.model_dump(mode="json", by_alias=True).items():
        table.add_row(Text(name, style="dim"), Text(_cell(value)))
    console.print(table)


def print_items(items: Sequence[Item], columns: Sequence[Column[Item]], *, as_json: bool, empty: str) -> None:
    """A list: a table with these columns, or one JSON object a line. `empty` says what to do when there is none."""
    if as_json:
        for item in items:
            print(item.model_dump_json(by_alias=True))
        return
    if not items:
        console.print(empty)
        return
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for number, (title, _) in enumerate(columns):
        table.add_column(title, no_wrap=number == 0, overflow="fold")
    for item in items:
        table.add_row(*(Text(_cell(read(item))) for _, read in columns))
    console.print(table)


def age(moment: datetime | None) -> str:
    """How long ago, in the largest sensible unit."""
    if moment is None:
        return "-"
    seconds = max(0, int((datetime.now(UTC) - moment).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value)
    return str(value)
