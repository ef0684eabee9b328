"""The progress line: on a terminal, for a person, and nowhere else."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from tests.cli.installation import CommandLine, environment

from incidentfox.cli import progress
from incidentfox.cli.progress import ProgressLine, progress_line
from incidentfox.contracts.progress import Progress

AT_ONCE = (
    "from incidentfox.cli import progress; progress.SHOWN_AFTER_S = 0; from incidentfox.__main__ import main; main()"
)


@pytest.mark.anyio
async def test_the_line_counts_and_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SHOWN_AFTER_S", 0)
    screen = io.StringIO()
    line = ProgressLine(Console(file=screen, force_terminal=True, width=100))
    line.tell(Progress(judged=0, teams=10_000))
    while not screen.getvalue():
        await asyncio.sleep(0)
    line.tell(Progress(judged=1_250, teams=10_000))
    line.close()
    assert "Judged 1,250 of 10,000 teams" in screen.getvalue()
    assert screen.getvalue().endswith("\x1b[2K")  # the line is erased


@pytest.mark.anyio
async def test_a_quick_call_shows_nothing() -> None:
    screen = io.StringIO()
    line = ProgressLine(Console(file=screen, force_terminal=True))
    line.tell(Progress(judged=1, teams=1))
    line.close()
    assert screen.getvalue() == ""


def test_nobody_is_told_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    with progress_line() as tell:
        assert tell is None
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True)
    with progress_line(wanted=False) as tell:
        assert tell is None


def patch(incidentfox: CommandLine, folder: Path, terminal: int | None) -> tuple[int, str, str]:
    """Raises a budget of the organisation; what goes to a terminal is not captured."""
    file = folder / "patch.json"
    file.write_text(json.dumps({"budgets": {"run_tokens": 123_456 + (terminal or 0)}}))
    done = subprocess.run(
        [sys.executable, "-c", AT_ONCE, "config", "patch", "acme", str(file)],
        env=environment(incidentfox.home) | {"TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if terminal is None else terminal,
        stderr=subprocess.PIPE if terminal is None else terminal,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout or "", done.stderr or ""


def test_a_write_on_a_terminal_says_that_it_goes_on(incidentfox: CommandLine, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    try:
        code, _, _ = patch(incidentfox, tmp_path, theirs)
        seen = os.read(ours, 65_536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert code == 0, seen
    assert "Waiting for the service" in seen or "teams" in seen
    assert "acme is at version" in seen


def test_a_write_in_a_pipe_prints_its_result_alone(incidentfox: CommandLine, tmp_path: Path) -> None:
    code, out, err = patch(incidentfox, tmp_path, None)
    assert (code, err) == (0, "")
    assert out.startswith("acme is at version")
    assert out.count("\n") == 1
