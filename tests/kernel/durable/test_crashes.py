"""Real worker processes, killed at the worst moment: nothing is lost, nothing finished is done again."""

import asyncio
import os
import signal
import time

import asyncpg
import pytest

from incidentfox.kernel.durable import Engine, EngineSettings, Job, State, enqueue

pytestmark = pytest.mark.anyio


@pytest.fixture
async def watcher(services, owner):
    """An engine that only starts and watches."""
    engine = Engine(EngineSettings(service="agent", database_url=services.agent_url, poll_interval_s=0.02))
    await engine.connect()
    yield engine
    await engine.stop()


async def _journey(owner: asyncpg.Connection, workflow_id: str, gate: str = "gate") -> None:
    job = Job(
        service="agent",
        queue="work",
        workflow="journey",
        workflow_id=workflow_id,
        args=(workflow_id, gate),
        partition="team-a",
    )
    await enqueue(owner, job)


async def _ledger(owner: asyncpg.Connection, workflow_id: str) -> list[tuple[str, int]]:
    rows = await owner.fetch("SELECT what, pid FROM ledger WHERE workflow_id = $1 ORDER BY id", workflow_id)
    return [(row["what"], row["pid"]) for row in rows]


async def _open(owner: asyncpg.Connection, gate: str = "gate") -> None:
    await owner.execute("INSERT INTO gates VALUES ($1)", gate)


def _begun(owner: asyncpg.Connection, workflow_id: str, times: int = 1):
    async def condition() -> bool:
        return [what for what, _ in await _ledger(owner, workflow_id)].count("second begun") == times

    return condition


async def test_a_restarted_worker_continues_without_repeating_finished_steps(owner, workers, watcher, until) -> None:
    first = await workers.start()
    await _journey(owner, "j")
    await until(_begun(owner, "j"))
    await workers.end(first, signal.SIGKILL)
    second = await workers.start()
    await until(_begun(owner, "j", 2))
    await _open(owner)
    status = await watcher.wait("j", timeout_s=20)
    assert (status.state, status.dispatches) == (State.SUCCEEDED, 2)
    assert await _ledger(owner, "j") == [
        ("first", first.pid),
        ("second begun", first.pid),
        ("second begun", second.pid),
        ("second done", second.pid),
        (f"third after first by {first.pid}", second.pid),
    ]


async def test_a_peer_takes_over_within_two_seconds(owner, workers, watcher, until) -> None:
    pair = [await workers.start(), await workers.start()]
    for n in range(2):
        await _journey(owner, f"j{n}")
    for n in range(2):
        await until(_begun(owner, f"j{n}"))
    _, victim_pid = (await _ledger(owner, "j0"))[0]
    victim = next(p for p in pair if p.pid == victim_pid)
    survivor = next(p for p in pair if p is not victim)
    killed_at = time.monotonic()
    await workers.end(victim, signal.SIGKILL)
    await until(_begun(owner, "j0", 2))
    took = time.monotonic() - killed_at
    await _open(owner)
    for n in range(2):
        assert (await watcher.wait(f"j{n}", timeout_s=20)).state is State.SUCCEEDED
        steps = await _ledger(owner, f"j{n}")
        assert [what for what, _ in steps].count("first") == 1
        assert [what for what, _ in steps].count("second done") == 1
        assert steps[-1][1] == survivor.pid or n == 1
    assert took < 2.0


async def test_a_worker_that_lost_its_lease_fences_itself_and_takes_a_new_one(owner, workers, watcher, until) -> None:
    worker = await workers.start()
    await _journey(owner, "j")
    await until(_begun(owner, "j"))
    ended = await owner.fetchval(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE $1",
        f"agent-v1-%-{worker.pid}-%",
    )
    assert ended == 1
    # The same process abandons what it ran, then recovers it under its new name.
    await until(_begun(owner, "j", 2))
    await _open(owner)
    assert (await watcher.wait("j", timeout_s=20)).state is State.SUCCEEDED
    whats = [what for what, _ in await _ledger(owner, "j")]
    assert whats.count("second done") == 1, "the abandoned execution did not go on beside the new one"


async def test_a_worker_survives_the_loss_of_every_connection(owner, workers, watcher, until) -> None:
    worker = await workers.start()
    for round_ in range(1, 4):
        await _journey(owner, f"j{round_}", f"gate {round_}")
        await until(_begun(owner, f"j{round_}"))
        await owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name <> ''"
        )
        await _open(owner, f"gate {round_}")
        assert (await watcher.wait(f"j{round_}", timeout_s=20)).state is State.SUCCEEDED
    whats = [what for n in range(1, 4) for what, _ in await _ledger(owner, f"j{n}")]
    assert whats.count("first") == 3
    assert worker.returncode is None


async def test_cancelling_from_another_process_interrupts_the_step(owner, workers, watcher, until) -> None:
    await workers.start()
    await _journey(owner, "j")
    await until(_begun(owner, "j"))
    assert await watcher.cancel("j")

    async def interrupted() -> bool:
        return "second interrupted" in [what for what, _ in await _ledger(owner, "j")]

    await until(interrupted)
    status = await watcher.status("j")
    assert status is not None
    assert status.state is State.CANCELLED


async def test_a_stopping_worker_hands_its_work_over(owner, workers, watcher, until) -> None:
    leaving = await workers.start()
    await _journey(owner, "j")
    await until(_begun(owner, "j"))
    staying = await workers.start()
    await workers.end(leaving, signal.SIGTERM)
    assert leaving.returncode == 0
    await until(_begun(owner, "j", 2))
    await _open(owner)
    await watcher.wait("j", timeout_s=20)
    assert (await _ledger(owner, "j"))[-1][1] == staying.pid


async def test_a_partition_never_exceeds_its_concurrency_over_all_workers(owner, workers, watcher) -> None:
    await asyncio.gather(workers.start(), workers.start())
    ids = [(f"{partition}{n}", partition) for partition in ("a", "b") for n in range(8)]
    async with owner.transaction():
        for workflow_id, partition in ids:
            job = Job(
                service="agent",
                queue="work",
                workflow="busy",
                workflow_id=workflow_id,
                args=(workflow_id, partition),
                partition=partition,
            )
            await enqueue(owner, job)
    for workflow_id, _ in ids:
        assert (await watcher.wait(workflow_id, timeout_s=20)).state is State.SUCCEEDED
    ledger = await owner.fetch("SELECT workflow_id, what FROM ledger WHERE what LIKE 'inside%'")
    assert sorted(row["workflow_id"] for row in ledger) == sorted(workflow_id for workflow_id, _ in ids)
    assert {row["what"] for row in ledger} <= {"inside 1", "inside 2"}


async def test_a_started_workflow_stays_with_its_version_and_a_new_one_does_not_mind(
    owner, workers, watcher, until
) -> None:
    old = await workers.start(version=1)
    await _journey(owner, "old")
    await until(_begun(owner, "old"))
    await workers.end(old, signal.SIGKILL)
    await workers.start(version=2)
    await _open(owner)
    await _journey(owner, "new")
    assert (await watcher.wait("new", timeout_s=20)).state is State.SUCCEEDED
    status = await watcher.status("old")
    assert status is not None
    assert status.state is State.QUEUED
    # Rolled back: the older version goes on, and takes new work too.
    await workers.start(version=1)
    await _journey(owner, "newer")
    assert (await watcher.wait("old", timeout_s=20)).state is State.SUCCEEDED
    assert (await watcher.wait("newer", timeout_s=20)).state is State.SUCCEEDED


async def test_a_worker_talks_to_its_database_and_to_nobody_else(services, workers) -> None:
    worker = await workers.start()
    port = int(services.owner_url.rsplit(":", 1)[1].split("/")[0])
    listening, remote_ports = _sockets(worker.pid)
    assert listening == 0
    assert remote_ports == {port}


def _sockets(pid: int) -> tuple[int, set[int]]:
    """How many sockets a process listens on, and the remote ports of its other TCP sockets (from /proc)."""
    inodes = set()
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        target = os.readlink(f"/proc/{pid}/fd/{descriptor}")
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    listening, remote_ports = 0, set()
    for table in ("tcp", "tcp6"):
        with open(f"/proc/{pid}/net/{table}") as lines:
            for line in list(lines)[1:]:
                fields = line.split()
                if fields[9] not in inodes:
                    continue
                if fields[3] == "0A":
                    listening += 1
                else:
                    remote_ports.add(int(fields[2].rsplit(":", 1)[1], 16))
    return listening, remote_ports
