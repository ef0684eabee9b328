"""Starts, watches and stops the processes of a local installation.

Each child gets a process group of its own, so that Ctrl-C in the terminal reaches only us and we stop things in order.
What runs is written to `<home>/processes.json`, so that `incidentfox down` in another terminal can stop it, also after
a `kill -9` of this supervisor.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from incidentfox.kernel.errors import Permanent
from incidentfox.kernel.tls import trust

# A service that is told to stop finishes its requests for up to 5 s, then its work for up to 10 s.
_GRACE_S = 20.0
_POLL_S = 0.05
_RESTART_FIRST_S = 0.2
_RESTART_MOST_S = 10.0


class ProcessFailure(Permanent):
    """A process did not come up; the message names its log."""

    default_code = "process_failed"


@dataclass(frozen=True)
class ProcessSpec:
    """How one process is started. `ready_url` answers 200 once it can serve.

    `inherited` are open file descriptors that the process keeps under the same numbers, such as a listening socket
    that outlives a deploy.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    log_file: Path
    ready_url: str | None = None
    ready_within_s: float = 60.0
    inherited: Sequence[int] = ()


class Supervisor:
    """The processes of one installation: started in order, restarted with back-off, stopped in reverse order."""

    def __init__(self, state_file: Path) -> None:
        self._state_file = state_file
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._order: list[str] = []

    async def start(self, *specs: ProcessSpec) -> None:
        """Starts these processes at once and waits until all of them are ready.

        ProcessFailure when one does not come up; `stop` then stops those that did.
        """
        for spec in specs:
            await self._spawn(spec)
            self._order.append(spec.name)
        await asyncio.gather(*(self._wait_ready(spec) for spec in specs))
        for spec in specs:
            self._keepers[spec.name] = asyncio.create_task(self._keep(spec))

    async def stop(self, *names: str) -> None:
        """Stops the named processes, or all, last started first."""
        for name in reversed([name for name in self._order if not names or name in names]):
            if keeper := self._keepers.pop(name, None):
                keeper.cancel()
            if process := self._running.pop(name, None):
                await _end(process)
            self._order.remove(name)
        self._write_state()

    def pid(self, name: str) -> int:
        """The pid of a running process."""
        return self._running[name].pid

    async def _spawn(self, spec: ProcessSpec) -> None:
        with spec.log_file.open("ab") as log:
            self._running[spec.name] = await asyncio.create_subprocess_exec(
                *spec.command,
                env={**os.environ, **spec.environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=tuple(spec.inherited),
            )
        self._write_state()

    async def _wait_ready(self, spec: ProcessSpec) -> None:
        if spec.ready_url is None:
            return
        process = self._running[spec.name]
        deadline = asyncio.get_running_loop().time() + spec.ready_within_s
        async with httpx2.AsyncClient(timeout=2.0, verify=trust()) as http:
            while asyncio.get_running_loop().time() < deadline:
                if process.returncode is not None:
                    break
                with contextlib.suppress(httpx2.TransportError):
                    if (await http.get(spec.ready_url)).status_code == 200:
                        return
                await asyncio.sleep(_POLL_S)
        raise ProcessFailure(f"{spec.name} did not come up. The end of {spec.log_file}:\n{_tail(spec.log_file)}")

    async def _keep(self, spec: ProcessSpec) -> None:
        """Restarts a process that ends by itself; the pause doubles while it keeps failing."""
        pause = _RESTART_FIRST_S
        while True:
            started = asyncio.get_running_loop().time()
            await self._running[spec.name].wait()
            if asyncio.get_running_loop().time() - started > _RESTART_MOST_S:
                pause = _RESTART_FIRST_S
            await asyncio.sleep(pause)
            pause = min(pause * 2, _RESTART_MOST_S)
            await self._spawn(spec)

    def _write_state(self) -> None:
        processes = {name: _mark(process.pid) for name, process in self._running.items()}
        if not processes:
            self._state_file.unlink(missing_ok=True)
            return
        temporary = self._state_file.with_name(self._state_file.name + ".new")
        temporary.write_text(json.dumps({"supervisor": _mark(os.getpid()), "processes": processes}, indent=2))
        temporary.replace(self._state_file)  # `down` never reads half a file


def running_supervisor(state_file: Path) -> int | None:
    """The pid of the supervisor that wrote the state, if that very process is alive."""
    return _alive(_read_state(state_file).get("supervisor"))


def orphans(state_file: Path) -> dict[str, int]:
    """Processes of the state that are still alive, by name, in the order they were started."""
    processes = _read_state(state_file).get("processes")
    found = {name: _alive(mark) for name, mark in processes.items()} if isinstance(processes, dict) else {}
    return {name: pid for name, pid in found.items() if pid is not None}


async def end_orphans(state_file: Path) -> None:
    """Ends what a supervisor that was killed has left behind."""
    for pid in reversed(orphans(state_file).values()):
        _signal_group(pid, signal.SIGTERM)
    deadline = asyncio.get_running_loop().time() + _GRACE_S
    while orphans(state_file) and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(_POLL_S)
    for pid in orphans(state_file).values():
        _signal_group(pid, signal.SIGKILL)
    _forget(state_file)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    _signal_group(process.pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(_GRACE_S):
            await process.wait()
    except TimeoutError:
        _signal_group(process.pid, signal.SIGKILL)
        await process.wait()


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


def _mark(pid: int) -> dict[str, object]:
    """What tells this very process from a later one that was given the same pid."""
    return {"pid": pid, "started": _start_of(pid)}


def _alive(mark: object) -> int | None:
    """The pid of a mark whose process still lives."""
    if not isinstance(mark, dict) or not isinstance(mark.get("pid"), int):
        return None
    pid: int = mark["pid"]
    started = _start_of(pid)
    return pid if started is not None and started == mark.get("started") else None


def _start_of(pid: int) -> str | None:
    """When a process started, in the system's own words; None when it does not run (a zombie does not)."""
    try:
        # proc_pid_stat(5): the command, in brackets, may hold anything; then state (3) … starttime (22)
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        if Path("/proc/self").exists():
            return None
        told = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return told.stdout.strip() or None
    return None if fields[0] == "Z" else fields[19]


def _forget(state_file: Path) -> None:
    state_file.unlink(missing_ok=True)


def _read_state(state_file: Path) -> dict[str, object]:
    try:
        state = json.loads(state_file.read_text())
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def _tail(path: Path) -> str:
    return path.read_text(errors="replace")[-1500:]
