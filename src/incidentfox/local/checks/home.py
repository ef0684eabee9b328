"""The installation's folder: who may read it, whether its keys are whole, whether its ports are its own."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from incidentfox.cli.settings import PROFILE_FILE
from incidentfox.local.checks.finding import Finding, State
from incidentfox.local.installation import PREFERRED_PORTS
from incidentfox.local.keys import KeyFileError, load_or_create_keys
from incidentfox.local.processes import orphans, running_supervisor
from incidentfox.local.stack import IDENTITIES, SERVICES

KEY_FILES = (
    *(f"{name}.jwk" for name in IDENTITIES),
    "trusted.json",
    "master.json",
    "pepper",
    "session",
    "database-roles.json",
)
STATE_FILE = "processes.json"

_LOST = {
    "master.json": "without it the stored secrets of teams and endpoints cannot be read",
    "pepper": "without it no token that was given out is valid",
}


def check_home(home: Path) -> Iterator[Finding]:
    """The folder and what is in it; a single note when there is none yet."""
    if not home.exists():
        yield Finding(
            part="home",
            check="folder",
            state=State.NOTE,
            found=f"{home} does not exist yet",
            remedy="`incidentfox up` makes it. Another place: INCIDENTFOX_HOME.",
        )
        return
    yield _folder(home)
    yield from _private_files(home)
    yield _keys(home / "keys")
    yield _processes(home / STATE_FILE)
    yield from _ports(home)


def _folder(home: Path) -> Finding:
    if not home.is_dir():
        return Finding(
            part="home",
            check="folder",
            state=State.FAILED,
            found=f"{home} is not a folder",
            remedy="Move it away, or set INCIDENTFOX_HOME to a folder.",
        )
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        return Finding(
            part="home",
            check="folder",
            state=State.FAILED,
            found=f"{home} is not yours to write",
            remedy=f"Run as its owner, or: sudo chown -R $(id -u) {home}",
        )
    if stat.S_IMODE(home.stat().st_mode) & 0o022:
        return Finding(
            part="home",
            check="folder",
            state=State.FAILED,
            found=f"others may write into {home}",
            remedy=f"chmod go-w {home}",
        )
    return Finding(part="home", check="folder", state=State.OK, found=str(home))


def _private_files(home: Path) -> Iterator[Finding]:
    """Files with secrets that others may read, each by name."""
    keys = home / "keys"
    private = [home / PROFILE_FILE, home / "recordings-endpoint.json", home / "postgres.password"]
    private += sorted(keys.iterdir()) if keys.is_dir() else []
    open_ones = [path for path in private if path.exists() and path.stat().st_mode & 0o077]
    for path in open_ones:
        yield Finding(
            part="home",
            check="file modes",
            state=State.FAILED,
            found=f"{path} is open to other users",
            remedy=f"chmod 600 {path}. If others were on this machine, rotate what is in it.",
        )
    if not open_ones:
        yield Finding(part="home", check="file modes", state=State.OK, found="only you can read what is secret")


def _keys(folder: Path) -> Finding:
    if not folder.is_dir():
        return Finding(
            part="home",
            check="keys",
            state=State.NOTE,
            found="there are none yet",
            remedy="`incidentfox up` makes them.",
        )
    missing = [name for name in KEY_FILES if not (folder / name).exists()]
    if missing:
        why = "".join(f"; {_LOST[name]}" for name in missing if name in _LOST)
        return Finding(
            part="home",
            check="keys",
            state=State.FAILED,
            found=f"missing in {folder}: {', '.join(missing)}{why}",
            remedy="Restore them from a backup. What stays missing is made anew by the next `incidentfox up`.",
        )
    try:
        load_or_create_keys(folder, IDENTITIES, ())
    except KeyFileError as error:
        return Finding(part="home", check="keys", state=State.FAILED, found="unusable", remedy=error.detail)
    return Finding(part="home", check="keys", state=State.OK, found=f"{len(KEY_FILES)} files, all whole")


def _processes(state_file: Path) -> Finding:
    if (supervisor := running_supervisor(state_file)) is not None:
        return Finding(part="home", check="processes", state=State.OK, found=f"supervised by process {supervisor}")
    left = orphans(state_file)
    if left:
        named = ", ".join(f"{name} ({pid})" for name, pid in left.items())
        return Finding(
            part="home",
            check="processes",
            state=State.WARNING,
            found=f"left behind by a killed `up`: {named}",
            remedy="incidentfox down",
        )
    return Finding(
        part="home",
        check="processes",
        state=State.NOTE,
        found="nothing is running",
        remedy="Start it with `incidentfox up`.",
    )


def _ports(home: Path) -> Iterator[Finding]:
    """The ports that the installation keeps: free, or held by its own processes."""
    path = home / "ports.json"
    try:
        kept = json.loads(path.read_text()) if path.exists() else {}
        ports = {service.name: int(kept.get(service.name, PREFERRED_PORTS[service.name])) for service in SERVICES}
    except (OSError, ValueError, TypeError, AttributeError):
        yield Finding(
            part="home",
            check="ports",
            state=State.FAILED,
            found=f"{path} is damaged",
            remedy=f"rm {path}. The next `incidentfox up` chooses ports anew; webhook addresses change with them.",
        )
        return
    own = orphans(home / STATE_FILE)
    taken = {name: port for name, port in ports.items() if name not in own and name in kept and _listens(port)}
    for name, port in taken.items():
        yield Finding(
            part="home",
            check="ports",
            state=State.FAILED,
            found=f"port {port}, kept for {name}, is used by another program",
            remedy=f"Stop that program, or give {name} another port in {path}.",
        )
    if not taken:
        yield Finding(part="home", check="ports", state=State.OK, found=", ".join(str(port) for port in ports.values()))


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0
