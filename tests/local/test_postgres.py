"""The embedded Postgres against the real binaries: first start, restart, crashes on both sides, refusals."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from tests.environment import cluster_folder

from incidentfox.local.postgres import DataFolderError, EmbeddedPostgres

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="drops privileges, so needs to be root")


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that everybody may enter, as a data folder under /var/lib would be."""
    folder = cluster_folder("incidentfox-test-")
    yield folder
    with contextlib.suppress(DataFolderError):
        EmbeddedPostgres(folder / "data").destroy()
    shutil.rmtree(folder, ignore_errors=True)


def ask(postgres: EmbeddedPostgres, statement: str) -> str:
    with psycopg.connect(postgres.superuser_url(), autocommit=True) as connection:
        row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return str(row[0])


def server_pid(postgres: EmbeddedPostgres) -> int:
    return int((postgres.cluster_dir / "postmaster.pid").read_text().splitlines()[0])


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


def test_keeps_data_password_and_port_across_restarts(home: Path) -> None:
    with EmbeddedPostgres(home / "data") as postgres:
        first = postgres.superuser_url()
        ask(postgres, "SELECT set_config('a.b', 'c', false)")
        with psycopg.connect(first, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    assert not postgres.is_running()
    with EmbeddedPostgres(home / "data") as again:
        assert again.superuser_url() == first
        assert ask(again, "SELECT answer FROM kept") == "42"


def test_is_durable_private_and_in_utc(home: Path) -> None:
    with EmbeddedPostgres(home / "data") as postgres:
        shown = {name: ask(postgres, f"SHOW {name}") for name in ("fsync", "synchronous_commit", "timezone")}
        assert shown == {"fsync": "on", "synchronous_commit": "on", "timezone": "UTC"}
        assert ask(postgres, "SELECT lower('É')") == "é"
        assert stat.S_IMODE((home / "data.password").stat().st_mode) == 0o600
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(f"postgresql://postgres:wrong@127.0.0.1:{postgres.port}/postgres")


def test_has_the_extensions_of_the_knowledge_base(home: Path) -> None:
    with EmbeddedPostgres(home / "data", durable=False) as postgres:
        with psycopg.connect(postgres.superuser_url()) as connection:
            connection.execute("CREATE EXTENSION vector; CREATE EXTENSION pg_trgm")
        assert ask(postgres, "SHOW fsync") == "off"


def test_is_not_in_the_terminals_process_group(home: Path) -> None:
    with EmbeddedPostgres(home / "data", durable=False) as postgres:
        assert os.getsid(server_pid(postgres)) != os.getsid(0)


def test_takes_another_port_when_its_own_is_taken(home: Path) -> None:
    import socket

    with EmbeddedPostgres(home / "data", durable=False) as postgres:
        taken = postgres.port
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", taken))
        thief.listen()
        with EmbeddedPostgres(home / "data", durable=False) as again:
            assert again.port != taken
            assert ask(again, "SELECT 1") == "1"


def test_a_killed_supervisor_leaves_a_server_that_the_next_start_takes_over(home: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from incidentfox.local.postgres import EmbeddedPostgres\n"
        "EmbeddedPostgres(Path(sys.argv[1])).start(); print('up', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(home / "data")], stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == b"up\n"
        postgres = EmbeddedPostgres(home / "data")
        with pytest.raises(DataFolderError, match=f"in use by process {supervisor.pid}"):
            postgres.start()
        supervisor.kill()
    pid = server_pid(postgres)
    with postgres:
        assert server_pid(postgres) == pid, "taken over, not restarted"
        assert ask(postgres, "SELECT 1") == "1"
    assert not postgres.is_running()


def test_a_killed_server_starts_again_in_spite_of_its_pid_file(home: Path) -> None:
    postgres = EmbeddedPostgres(home / "data")
    postgres.start()
    with psycopg.connect(postgres.superuser_url(), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    os.kill(server_pid(postgres), signal.SIGKILL)
    eventually(lambda: not postgres.is_running())
    postgres.start()
    assert ask(postgres, "SELECT answer FROM kept") == "42"
    postgres.stop()


def test_a_pid_file_that_names_somebody_else_harms_nobody(home: Path) -> None:
    with EmbeddedPostgres(home / "data") as postgres:
        kept = (postgres.cluster_dir / "postmaster.pid").read_text()
    with subprocess.Popen(["sleep", "600"]) as bystander:
        stale = "\n".join([str(bystander.pid), *kept.splitlines()[1:]])
        (postgres.cluster_dir / "postmaster.pid").write_text(stale)
        with EmbeddedPostgres(home / "data") as again:
            assert ask(again, "SELECT 1") == "1"
        assert bystander.poll() is None
        bystander.kill()


def test_a_folder_of_another_version_is_refused_untouched(home: Path) -> None:
    with EmbeddedPostgres(home / "data", durable=False):
        pass
    (home / "data" / "PG_VERSION").write_text("15\n")
    with pytest.raises(DataFolderError, match="made by Postgres 15, and this is 18"):
        EmbeddedPostgres(home / "data").start()


def test_a_folder_with_other_things_in_it_is_refused(home: Path) -> None:
    (home / "data").mkdir()
    (home / "data" / "thesis.txt").write_text("mine")
    with pytest.raises(DataFolderError, match="not empty"):
        EmbeddedPostgres(home / "data").start()
    assert (home / "data" / "thesis.txt").read_text() == "mine"
    shutil.rmtree(home / "data")


def test_a_lost_password_is_named(home: Path) -> None:
    with EmbeddedPostgres(home / "data", durable=False):
        pass
    (home / "data.password").unlink()
    with pytest.raises(DataFolderError, match=r"data\.password is missing"):
        EmbeddedPostgres(home / "data").start()


def test_destroy_leaves_nothing(home: Path) -> None:
    postgres = EmbeddedPostgres(home / "data", durable=False)
    postgres.start()
    postgres.destroy()
    assert list(home.iterdir()) == []


@as_root
def test_root_runs_it_as_somebody_else(home: Path) -> None:
    with EmbeddedPostgres(home / "data", durable=False) as postgres:
        assert Path(f"/proc/{server_pid(postgres)}").stat().st_uid != 0
        assert (home / "data").stat().st_uid != 0


@as_root
def test_root_may_keep_it_below_a_folder_that_is_closed_to_others(home: Path) -> None:
    closed = home / "root-only"
    closed.mkdir(mode=0o700)
    postgres = EmbeddedPostgres(closed / "state" / "data", durable=False)
    try:
        with postgres:
            first = postgres.cluster_dir
            assert not first.is_relative_to(closed)
            assert stat.S_IMODE(first.stat().st_mode) == 0o700
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700, "no parent was opened"
        with postgres:
            assert postgres.cluster_dir == first
    finally:
        postgres.destroy()
    assert not first.exists()


@as_root
def test_an_ordinary_user_runs_it_as_itself() -> None:
    account = pwd.getpwnam("nobody")
    folder = Path(tempfile.mkdtemp(prefix="incidentfox-nobody-"))
    os.chown(folder, account.pw_uid, account.pw_gid)
    shutil.copytree(Path(sys.modules[EmbeddedPostgres.__module__].__file__ or "").parents[1], folder / "incidentfox")
    readable = os.access(sys.executable, os.X_OK) and all(
        parent.stat().st_mode & 0o001 for parent in Path(os.path.realpath(sys.executable)).parents
    )
    interpreter = sys.executable if readable else shutil.which("python3", path="/usr/bin:/usr/local/bin")
    program = (
        "import os, sys; from pathlib import Path; from incidentfox.local.postgres import EmbeddedPostgres\n"
        "p = EmbeddedPostgres(Path(sys.argv[1])); p.start(); owner = os.stat(p.cluster_dir).st_uid\n"
        "p.stop(); p.start(); print(os.geteuid(), owner, p.cluster_dir); p.destroy()"
    )
    try:
        if interpreter is None:
            pytest.skip("no Python that the account 'nobody' can run")
        done = subprocess.run(
            [interpreter, "-c", program, str(folder / "data")],
            cwd=folder,
            env={"PYTHONPATH": os.pathsep.join([str(folder), *filter(None, sys.path)]), "PATH": os.defpath},
            capture_output=True,
            text=True,
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=[],
            check=False,
        )
        assert done.stdout.split() == [str(account.pw_uid), str(account.pw_uid), str(folder / "data")], done.stderr
    finally:
        shutil.rmtree(folder)
