"""What a benchmark says: rows of one form, as a table for people and as JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One measurement. `reference` is what it is compared with in the same run; without a `bar` it is only stated."""

    name: str
    ours: float
    unit: str
    reference: float | None = None
    bar: str | None = None
    holds: bool | None = None

    @property
    def ratio(self) -> float | None:
        """`ours` in terms of `reference`."""
        return self.ours / self.reference if self.reference else None


def at_most(name: str, ours: float, most: float, unit: str, *, reference: float | None = None) -> Row:
    """A row that holds up to and including `most`."""
    return Row(name, ours, unit, reference, f"≤ {most:g} {unit}", ours <= most)


def ratio_at_least(name: str, ours: float, reference: float, least: float, unit: str) -> Row:
    """A row that holds from `least` × the reference on."""
    return Row(name, ours, unit, reference, f"≥ {least:g} ×", ours >= least * reference)


def ratio_at_most(name: str, ours: float, reference: float, most: float, unit: str) -> Row:
    """A row that holds up to `most` × the reference."""
    return Row(name, ours, unit, reference, f"≤ {most:g} ×", ours <= most * reference)


def show(rows: Sequence[Row]) -> None:
    """Prints the table."""
    table = Table("what", "ours", "reference", "ratio", "bar", "holds", box=None, pad_edge=False)
    for row in rows:
        holds = "" if row.holds is None else "yes" if row.holds else "[red]NO[/red]"
        table.add_row(
            row.name,
            f"{_number(row.ours)} {row.unit}",
            "" if row.reference is None else f"{_number(row.reference)} {row.unit}",
            "" if row.ratio is None else f"{row.ratio:.2f}",
            row.bar or "",
            holds,
        )
    Console(width=160).print(table)


def save(rows: Sequence[Row], path: Path) -> None:
    """Writes the rows as JSON: `{name, ours, reference, ratio, unit, bar, holds}` each."""
    path.write_text(
        json.dumps([asdict(row) | {"ratio": row.ratio} for row in rows], indent=2, ensure_ascii=False) + "\n"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
