"""The process supervisor, with real processes: readiness, restarts, order, what a killed supervisor leaves behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from incidentfox.local.processes import (
    ProcessFailure,
    ProcessSpec,
    Supervisor,
    end_orphans,
    orphans,
    running_supervisor,
)

pytestmark = pytest.mark.anyio

SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def spec(folder: Path, name: str, program: str, *arguments: str, ready_url: str | None = None) -> ProcessSpec:
    command = (sys.executable, "-c", program, *arguments)
    return ProcessSpec(name, command, {"NAME": name}, folder / f"{name}.log", ready_url, ready_within_s=10.0)


def sleeper(folder: Path, name: str) -> ProcessSpec:
    """A process that notes in `ended` when it is asked to stop."""
    program = (
        "import os, signal, sys, time, pathlib\n"
        "def end(*_):\n"
        "    with open(sys.argv[1], 'a') as file: file.write(os.environ['NAME'] + ' ')\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); print('up', flush=True); time.sleep(600)"
    )
    return spec(folder, name, program, str(folder / "ended"))


async def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.02)


def says_up(*logs: Path) -> Callable[[], bool]:
    return lambda: all(log.exists() and "up" in log.read_text() for log in logs)


async def test_returns_once_every_process_is_ready(tmp_path: Path) -> None:
    supervisor, port = Supervisor(tmp_path / "state.json"), free_port()
    url = f"http://127.0.0.1:{port}/"
    await supervisor.start(spec(tmp_path, "web", SERVER, str(port), ready_url=url))
    with socket.create_connection(("127.0.0.1", port)):
        pass
    assert running_supervisor(tmp_path / "state.json") == os.getpid()
    await supervisor.stop()
    assert not (tmp_path / "state.json").exists()


async def test_a_process_that_ends_at_once_fails_with_its_own_words(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path / "state.json")
    broken = spec(tmp_path, "web", "raise SystemExit('no such setting')", ready_url=f"http://127.0.0.1:{free_port()}/")
    with pytest.raises(ProcessFailure, match="no such setting"):
        await supervisor.start(sleeper(tmp_path, "first"), broken)
    await eventually(says_up(tmp_path / "first.log"))
    await supervisor.stop()
    assert (tmp_path / "ended").read_text() == "first ", "what did come up is stopped in order"


async def test_a_crashed_process_is_started_again(tmp_path: Path) -> None:
    supervisor, port = Supervisor(tmp_path / "state.json"), free_port()
    await supervisor.start(spec(tmp_path, "web", SERVER, str(port), ready_url=f"http://127.0.0.1:{port}/"))
    first = supervisor.pid("web")
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: supervisor.pid("web") != first)
    assert list(orphans(tmp_path / "state.json").values()) == [supervisor.pid("web")]
    await supervisor.stop()


async def test_stops_the_last_started_first(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path / "state.json")
    await supervisor.start(*(sleeper(tmp_path, name) for name in ("a", "b", "c")))
    await eventually(says_up(*(tmp_path / f"{name}.log" for name in "abc")))
    await supervisor.stop()
    assert (tmp_path / "ended").read_text() == "c b a "


async def test_a_process_has_a_session_of_its_own(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path / "state.json")
    await supervisor.start(sleeper(tmp_path, "a"))
    assert os.getsid(supervisor.pid("a")) == supervisor.pid("a")
    await supervisor.stop("a")


async def test_a_listening_socket_outlives_the_process_that_serves_it(tmp_path: Path) -> None:
    program = (
        "import os, socket\n"
        "door = socket.socket(fileno=int(os.sys.argv[1]))\n"
        "while True:\n"
        "    visitor, _ = door.accept(); visitor.sendall(str(os.getpid()).encode()); visitor.close()"
    )
    supervisor = Supervisor(tmp_path / "state.json")

    async def visit(address: tuple[str, int]) -> str:
        reader, writer = await asyncio.open_connection(*address)
        said = await reader.read()
        writer.close()
        return said.decode()

    with socket.create_server(("127.0.0.1", 0)) as door:
        base = spec(tmp_path, "v1", program, str(door.fileno()))
        one = ProcessSpec("v1", base.command, {}, base.log_file, inherited=(door.fileno(),))
        two = ProcessSpec("v2", base.command, {}, base.log_file, inherited=(door.fileno(),))
        await supervisor.start(one)
        assert await visit(door.getsockname()) == str(supervisor.pid("v1"))
        await supervisor.stop("v1")
        waiting = asyncio.create_task(visit(door.getsockname()))
        await supervisor.start(two)
        assert await waiting == str(supervisor.pid("v2"))
        await supervisor.stop()


async def test_what_a_killed_supervisor_left_behind_is_found_and_ended(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys; from pathlib import Path\n"
        "from incidentfox.local.processes import ProcessSpec, Supervisor\n"
        "async def main():\n"
        "    s = Supervisor(Path(sys.argv[1]) / 'state.json')\n"
        "    await s.start(*(ProcessSpec(n, ('sleep', '600'), {}, Path(sys.argv[1]) / 'log') for n in 'ab'))\n"
        "    print('up', flush=True); await asyncio.sleep(600)\n"
        "asyncio.run(main())"
    )
    state = tmp_path / "state.json"
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"up\n"
        assert running_supervisor(state) == killed.pid
        killed.kill()
    assert running_supervisor(state) is None
    assert list(orphans(state)) == ["a", "b"]
    await end_orphans(state)
    assert orphans(state) == {}
    assert not state.exists()


async def test_a_pid_that_was_given_to_somebody_else_is_left_alone(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as bystander:
        mark = {"pid": bystander.pid, "started": "long ago"}
        state.write_text(json.dumps({"supervisor": mark, "processes": {"web": mark}}))
        assert running_supervisor(state) is None
        await end_orphans(state)
        assert bystander.poll() is None
        bystander.kill()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"supervisor": 7, "processes": [1]}'])
async def test_a_damaged_state_means_nothing_runs(tmp_path: Path, text: str) -> None:
    state = tmp_path / "state.json"
    state.write_text(text)
    assert running_supervisor(state) is None
    await end_orphans(state)
