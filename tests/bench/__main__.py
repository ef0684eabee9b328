"""`make bench`, or `python -m tests.bench NAME…` for single subjects.

Everything that can be is a ratio of two measurements taken in one run, on the processes and the embedded Postgres of a
local installation. Prints a table, writes `bench-results.json`, and exits 1 where a bar does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.bench import backlog, configuration, crash, hop, ingress, neighbour, start
from tests.bench.rows import Row, save, show

RESULTS = Path("bench-results.json")
SUBJECTS: dict[str, Callable[[], Awaitable[list[Row]]]] = {
    "ingress": ingress.measure,
    "hop": hop.measure,
    "backlog": backlog.measure,
    "neighbour": neighbour.measure,
    "configuration": configuration.measure,
    "start": start.measure,
    "crash": crash.measure,
}


async def run(names: list[str]) -> list[Row]:
    """The rows of these subjects, one subject after the other."""
    rows: list[Row] = []
    for name in names:
        print(f"{name} …", file=sys.stderr, flush=True)
        for row in await SUBJECTS[name]():
            print(f"  {row.name}: {row.ours:.4g} {row.unit}", file=sys.stderr, flush=True)
            rows.append(row)
    return rows


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measures IncidentFox on this machine.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of: {', '.join(SUBJECTS)}; all by default")
    names = parser.parse_args().names
    if unknown := set(names) - set(SUBJECTS):
        parser.error(f"no such subject: {', '.join(sorted(unknown))}; there are {', '.join(SUBJECTS)}")
    rows = asyncio.run(run(names or list(SUBJECTS)))
    show(rows)
    save(rows, RESULTS)
    return 1 if any(row.holds is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
