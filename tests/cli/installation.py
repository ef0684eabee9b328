"""A running installation for the tests of the CLI, and the command line as its user has it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer
from tests.acceptance.product import free_ports
from typer.testing import CliRunner

from incidentfox.cli.app import NOUNS, group_of
from incidentfox.local.commands import open_place, register
from incidentfox.local.installation import PREFERRED_PORTS

app = typer.Typer(cls=group_of(NOUNS))
register(app)

_UP_WITHIN_S = 90.0
_LEADING = ("INCIDENTFOX_", "DATABASE_URL")


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    def lines(self) -> list[dict[str, Any]]:
        """What was printed as JSON, one object a line."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass(frozen=True)
class CommandLine:
    """`incidentfox …` with nothing of the caller's environment that would lead it elsewhere."""

    home: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str | Path, stdin: str = "", **variables: str) -> Done:
        """Runs one command to its end, in this process: what is imported stays imported."""
        foreign: dict[str, str | None] = dict.fromkeys(name for name in os.environ if name.startswith(_LEADING))
        done = CliRunner().invoke(
            app,
            list(map(str, arguments)),
            input=stdin,
            env=foreign | environment(self.home) | dict(self.variables) | variables,
            obj=open_place,
        )
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Done(done.exit_code, done.stdout, done.stderr)

    def process(self, *arguments: str | Path, stdin: str = "", **variables: str) -> Done:
        """Runs one command as a process of its own, as its user does."""
        done = subprocess.run(
            [sys.executable, "-m", "incidentfox", *map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            env=environment(self.home) | dict(self.variables) | variables,
            timeout=120,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)


def environment(home: Path) -> dict[str, str]:
    """The environment of a user whose installation is in `home`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_LEADING)}
    return {**kept, "INCIDENTFOX_HOME": str(home), "COLUMNS": "200"}


@contextmanager
def running_installation() -> Iterator[CommandLine]:
    """`incidentfox up` in a home of its own, until the block ends.

    Not below pytest's temporary folder: as root, Postgres runs as somebody else, who may not enter that.
    """
    home = Path(tempfile.mkdtemp(prefix="incidentfox-cli-"))
    ports = dict(zip(PREFERRED_PORTS, free_ports(len(PREFERRED_PORTS)), strict=True))
    (home / "ports.json").write_text(json.dumps(ports))
    log = home / "up.log"
    with log.open("wb") as output:
        up = subprocess.Popen(
            [sys.executable, "-m", "incidentfox", "up"], env=environment(home), stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + _UP_WITHIN_S
        while "Ctrl-C stops it." not in log.read_text():
            assert up.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield CommandLine(home)
    finally:
        up.terminate()
        up.wait(60)
        location = home / "postgres.location"
        if location.exists():
            shutil.rmtree(location.read_text(), ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)
