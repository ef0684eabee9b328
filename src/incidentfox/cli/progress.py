"""A line that says how far a write is, on a terminal, for the writes that take a while."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from incidentfox.clients.transport import Tell
    from incidentfox.contracts.progress import Progress

SHOWN_AFTER_S = 0.5
"""Most writes end sooner; a line that only flickers tells nobody anything."""


@contextmanager
def progress_line(*, wanted: bool = True) -> Iterator[Tell | None]:
    """Shows the progress of the call that is made in the block; the line is gone when the block ends.

    The value goes to the client's `tell`. It is None, and nothing is shown, unless a person looks on: standard output
    and standard error are both a terminal, and what is printed is not for a program (`wanted`).
    """
    if not (wanted and sys.stdout.isatty() and sys.stderr.isatty()):
        yield None
        return
    from rich.console import Console

    line = ProgressLine(Console(stderr=True))
    try:
        yield line.tell
    finally:
        line.close()


class ProgressLine:
    """The line. It comes up by itself, `SHOWN_AFTER_S` from now, on the event loop that runs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._latest: Progress | None = None
        self._shown: tuple[Bar, TaskID] | None = None
        self._timer = asyncio.get_running_loop().call_later(SHOWN_AFTER_S, self._show)

    def tell(self, progress: Progress) -> None:
        """Takes word from the service."""
        self._latest = progress
        self._update()

    def close(self) -> None:
        """Takes the line away."""
        self._timer.cancel()
        if self._shown is not None:
            self._shown[0].stop()

    def _show(self) -> None:
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        bar = Bar(*columns, console=self._console, transient=True)
        self._shown = bar, bar.add_task("Waiting for the service", total=None)
        bar.start()
        self._update()

    def _update(self) -> None:
        if self._shown is None or self._latest is None:
            return
        (bar, task), told = self._shown, self._latest
        text = f"Judged {told.judged:,} of {told.teams:,} teams"
        bar.update(task, description=text, completed=told.judged, total=told.teams, refresh=True)
