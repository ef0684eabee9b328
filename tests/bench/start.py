"""What a person waits for: `incidentfox up` until it is ready, and `incidentfox --help`; and what the processes weigh.

Warm: the second and later starts of an installation, when its database exists.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.rows import Row, at_most

STARTS = 3
HELPS = 9
MOST_MEMORY_MB = 250
_UP = b"IncidentFox is up"


async def measure() -> list[Row]:
    """The rows of this subject."""
    home = Path(tempfile.mkdtemp(prefix="incidentfox-bench-"))
    home.chmod(0o755)  # as root, Postgres runs as somebody else
    try:
        cold, _ = await _up(home)
        warm = [await _up(home) for _ in range(STARTS)]
    finally:
        shutil.rmtree(home, ignore_errors=True)
    helps = [await _help() for _ in range(HELPS)]
    memory = warm[-1][1]
    return [
        Row("start to ready of `incidentfox up`, first start ever", cold, "s"),
        at_most("start to ready of `incidentfox up`, warm, median", statistics.median(one for one, _ in warm), 15, "s"),
        at_most(f"`incidentfox --help`, best of {HELPS}", min(helps), 300, "ms"),
        *(at_most(f"memory of {name} after start", size, MOST_MEMORY_MB, "MB") for name, size in memory.items()),
    ]


async def _up(home: Path) -> tuple[float, dict[str, float]]:
    """One start: seconds until it says that it is up, and then the memory of each process. Stops it again."""
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "incidentfox", "up"),
        env={**os.environ, "INCIDENTFOX_HOME": str(home), "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    printed = b""
    try:
        while _UP not in printed:
            line = await process.stdout.readline()
            assert line, printed.decode()
            printed += line
        took = time.perf_counter() - began
        state = json.loads((home / "processes.json").read_text())
        memory = {name: resident_mb(one["pid"]) for name, one in state["processes"].items()}
    finally:
        process.send_signal(signal.SIGTERM)
        await process.communicate()
    return took, memory


async def _help() -> float:
    """Milliseconds."""
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "incidentfox", "--help"), stdout=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == 0
    return (time.perf_counter() - began) * 1000


def resident_mb(pid: int | str) -> float:
    """VmRSS of proc_pid_status(5), which counts in KiB."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024
