"""One engine in this process: steps, retries, waiting, cancelling, purging, and its manners as a guest on the loop."""

import asyncio
import logging
import threading
import time

import asyncpg
import pytest

from incidentfox.kernel.durable import FOR_EVER, Engine, EngineSettings, Rate, Retry, State
from incidentfox.kernel.errors import Forbidden, NotFound, Timeout, Unavailable

pytestmark = pytest.mark.anyio


async def test_steps_hand_their_values_on_and_may_run_side_by_side(settings, launched) -> None:
    engine = Engine(settings)
    seen: list[object] = []

    async def double(x: int) -> int:
        await asyncio.sleep(0.01 * (5 - x))
        return x * 2

    @engine.workflow("sum")
    async def add(team: str, run_id: str) -> None:
        parts = await asyncio.gather(*(engine.step(f"double {x}", lambda x=x: double(x)) for x in range(4)))
        seen.append((team, run_id, sum(parts)))

    async with launched(engine):
        await engine.start("sum", "s1", "team-a", "run-1")
        status = await engine.wait("s1", timeout_s=10)
    assert seen == [("team-a", "run-1", 12)]
    assert (status.state, status.workflow, status.dispatches, status.error) == (State.SUCCEEDED, "sum", 1, None)
    assert status.completed_at is not None
    assert status.completed_at >= status.created_at


async def test_a_group_of_keys_holds_its_part_of_a_worker_at_most(settings, launched, until) -> None:
    engine = Engine(settings)
    engine.queue("q", concurrency_per_partition=2, worker_concurrency=6, worker_concurrency_per_group=3)
    inside: dict[str, int] = {"noisy": 0, "quiet": 0}
    most: dict[str, int] = dict(inside)
    gate = asyncio.Event()

    @engine.workflow("w")
    async def work(group: str) -> None:
        inside[group] += 1
        most[group] = max(most[group], inside[group])
        await gate.wait()
        inside[group] -= 1

    async with launched(engine):
        for number in range(12):
            await engine.start("w", f"n{number}", "noisy", queue="q", partition=f"noisy/{number % 6}")
        await until(lambda: asyncio.sleep(0, inside["noisy"] == 3))
        await engine.start("w", "q1", "quiet", queue="q", partition="quiet/1")
        await until(lambda: asyncio.sleep(0, inside["quiet"] == 1))
        gate.set()
        for number in range(12):
            await engine.wait(f"n{number}", timeout_s=10)
    assert most == {"noisy": 3, "quiet": 1}


async def test_temporary_is_retried_permanent_is_not(settings, launched) -> None:
    engine = Engine(settings)
    calls = {"temporary": 0, "permanent": 0, "after": 0}

    async def temporary() -> str:
        calls["temporary"] += 1
        if calls["temporary"] < 3:
            raise Unavailable("away")
        return "ok"

    async def permanent() -> None:
        calls["permanent"] += 1
        raise Forbidden("the team is suspended", code="team_suspended")

    async def after() -> None:
        calls["after"] += 1

    @engine.workflow("w")
    async def workflow() -> None:
        await engine.step("temporary", temporary, retry=Retry(attempts=5, base_s=0.01))
        await engine.step("permanent", permanent, retry=Retry(attempts=5, base_s=0.01))
        await engine.step("after", after)

    async with launched(engine):
        await engine.start("w", "w1")
        status = await engine.wait("w1", timeout_s=10)
    assert calls == {"temporary": 3, "permanent": 1, "after": 0}
    assert status.state is State.FAILED
    assert status.error == "Forbidden: the team is suspended"


async def test_a_long_wait_gives_up_its_place_and_is_not_counted_as_a_recovery(
    services, settings, launched, until
) -> None:
    settings = EngineSettings(**{**vars(settings), "park_after_s": 0.5})
    engine = Engine(settings)
    engine.queue("q", partitioned=False, worker_concurrency=1)
    away, calls = True, 0

    async def peer() -> int:
        nonlocal calls
        calls += 1
        if away:
            raise Unavailable("away", retry_after_s=0.6)
        return calls

    first = 0

    @engine.workflow("patient")
    async def patient() -> None:
        async def once() -> None:
            nonlocal first
            first += 1

        await engine.step("once", once)
        await engine.step("peer", peer, retry=FOR_EVER)

    @engine.workflow("quick")
    async def quick() -> None:
        return

    async def parked() -> bool:
        status = await engine.status("p")
        return status is not None and status.state is State.WAITING

    async with launched(engine):
        await engine.start("patient", "p")
        await until(parked)
        await engine.start("quick", "q")
        assert (await engine.wait("q", timeout_s=10)).state is State.SUCCEEDED
        away = False
        status = await engine.wait("p", timeout_s=10)
    assert status.state is State.SUCCEEDED
    assert status.dispatches == 1
    assert first == 1
    assert calls >= 2


async def test_attempts_are_counted_across_parks(settings, launched) -> None:
    engine = Engine(EngineSettings(**{**vars(settings), "park_after_s": 0.0}))
    calls = 0

    async def peer() -> None:
        nonlocal calls
        calls += 1
        raise Unavailable("away")

    @engine.workflow("w")
    async def workflow() -> None:
        await engine.step("peer", peer, retry=Retry(attempts=3, base_s=0.01))

    async with launched(engine):
        await engine.start("w", "w1")
        status = await engine.wait("w1", timeout_s=15)
    assert (status.state, calls) == (State.FAILED, 3)
    assert status.error == "Unavailable: away"


async def test_sleep_is_kept_across_a_park(settings, launched) -> None:
    engine = Engine(EngineSettings(**{**vars(settings), "park_after_s": 0.2}))
    times: list[float] = []

    @engine.workflow("w")
    async def workflow() -> None:
        times.append(time.time())
        await engine.sleep(0.5)
        times.append(time.time())

    async with launched(engine):
        await engine.start("w", "w1")
        assert (await engine.wait("w1", timeout_s=15)).state is State.SUCCEEDED
    assert times[-1] - times[0] >= 0.5
    assert len(times) == 3, "it ran again from its beginning, and slept only once"


async def test_cancelling_ends_what_runs_and_what_waits(settings, launched, until) -> None:
    engine = Engine(settings)
    engine.queue("q", partitioned=False, worker_concurrency=1)
    begun, ended = asyncio.Event(), asyncio.Event()

    async def for_ever() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    @engine.workflow("w")
    async def workflow() -> None:
        await engine.step("for ever", for_ever)

    async with launched(engine):
        await engine.start("w", "running")
        await asyncio.wait_for(begun.wait(), 10)
        await engine.start("w", "queued")
        assert await engine.cancel("queued")
        assert await engine.cancel("running")
        await asyncio.wait_for(ended.wait(), 5)
        for workflow_id in ("running", "queued"):
            assert (await engine.wait(workflow_id, timeout_s=5)).state is State.CANCELLED
            assert not await engine.cancel(workflow_id)
        assert not await engine.cancel("unknown")


async def test_status_and_wait_of_the_unknown_and_the_unfinished(settings) -> None:
    engine = Engine(settings)
    engine.queue("q")

    @engine.workflow("w")
    async def workflow() -> None:
        return

    await engine.connect()  # no worker: nothing runs
    try:
        assert await engine.status("unknown") is None
        with pytest.raises(NotFound):
            await engine.wait("unknown", timeout_s=5)
        await engine.start("w", "w1", partition="team-a")
        status = await engine.status("w1")
        assert status is not None
        assert (status.state, status.partition, status.dispatches) == (State.QUEUED, "team-a", 0)
        with pytest.raises(Timeout):
            await engine.wait("w1", timeout_s=0.1)
        waiting = asyncio.create_task(engine.wait("w1"))
        await asyncio.sleep(0)
    finally:
        await engine.stop()
    with pytest.raises(Unavailable, match="stopped"):
        await waiting


async def test_what_cannot_run_is_refused_at_the_start(settings) -> None:
    engine = Engine(settings)
    engine.queue("by-team")

    @engine.workflow("w")
    async def workflow() -> None:
        return

    with pytest.raises(ValueError, match="not declared"):
        await engine.start("unknown", "w1", partition="a")
    with pytest.raises(ValueError, match="partitioned"):
        await engine.start("w", "w1")
    with pytest.raises(ValueError, match="not one of"):
        await engine.start("w", "w1", queue="unknown")
    with pytest.raises(ValueError, match="twice"):
        engine.workflow("w")(workflow)
    with pytest.raises(RuntimeError, match="inside a workflow"):
        await engine.step("s", workflow)


async def test_purge_takes_the_finished_only_and_leaves_no_trace_of_them(owner, settings, launched) -> None:
    engine = Engine(settings)

    async def value() -> str:
        return "kept"

    @engine.workflow("w")
    async def workflow(outcome: str) -> None:
        await engine.step("value", value)
        if outcome == "wait":
            await engine.sleep(3600)
        if outcome == "fail":
            raise Forbidden("no")

    async def parked() -> bool:
        status = await engine.status("waiting")
        return status is not None and status.state is State.WAITING

    async with launched(engine):
        for workflow_id, outcome in (("ok", "ok"), ("failed", "fail"), ("waiting", "wait")):
            await engine.start("w", workflow_id, outcome)
        await engine.wait("ok", timeout_s=10)
        await engine.wait("failed", timeout_s=10)
        async with asyncio.timeout(10):
            while not await parked():
                await asyncio.sleep(0.01)
        assert await engine.purge(older_than_s=60) == 0
        assert await engine.purge(older_than_s=0) == 2
        assert await engine.cancel("waiting")
    for table in ("workflow_status", "workflow_input", "operation_outputs"):
        assert await owner.fetch(f"SELECT DISTINCT workflow_uuid FROM agent_dbos.{table}") == [("waiting",)]
    assert await owner.fetch("SELECT workflow_uuid FROM agent_dbos.workflow_output") == []


async def test_old_work_is_purged_by_schedule(owner, settings, launched, until) -> None:
    engine = Engine(EngineSettings(**{**vars(settings), "retention_s": 0.0, "purge_interval_s": 0.05}))

    @engine.workflow("w")
    async def workflow() -> None:
        return

    async def gone() -> bool:
        return bool(await owner.fetchval("SELECT count(*) = 0 FROM agent_dbos.workflow_status"))

    async with launched(engine):
        await engine.start("w", "w1")
        await until(gone)


async def test_a_workflow_that_keeps_killing_its_workers_is_given_up(owner, settings, launched) -> None:
    engine = Engine(EngineSettings(**{**vars(settings), "max_recoveries": 3}))
    engine.queue("q")

    @engine.workflow("poison")
    async def poison() -> None:
        return

    await engine.connect()
    await engine.start("poison", "p1", partition="a")
    await owner.execute("UPDATE agent_dbos.workflow_status SET recovery_attempts = 4")
    async with launched(engine):
        status = await engine.wait("p1", timeout_s=10)
    assert status.state is State.FAILED
    assert status.error is not None
    assert status.error.startswith("Given up after 5 dispatches")


async def test_work_that_this_worker_does_not_know_is_handed_back(settings, launched, until) -> None:
    settings = EngineSettings(**{**vars(settings), "lost_after_s": 0.1})
    old, new = Engine(settings), Engine(settings)
    for engine in (old, new):
        engine.queue("q")

    @new.workflow("added later")
    async def added_later() -> None:
        return

    async def handed_back() -> bool:
        status = await new.status("w1")
        return status is not None and status.dispatches >= 2

    await new.connect()
    async with launched(old):
        await new.start("added later", "w1", partition="a")
        await until(handed_back)
    async with launched(new):
        assert (await new.wait("w1", timeout_s=10)).state is State.SUCCEEDED


async def test_a_rate_limit_spaces_the_starts_of_a_partition(settings, launched) -> None:
    engine = Engine(settings)
    engine.queue("q", rate=Rate(limit=2, period_s=0.6))
    starts: dict[str, list[float]] = {"a": [], "b": []}

    @engine.workflow("w")
    async def workflow(partition: str) -> None:
        starts[partition].append(time.monotonic())

    async with launched(engine):
        for n in range(4):
            await engine.start("w", f"a{n}", "a", partition="a")
        await engine.start("w", "b0", "b", partition="b")
        for workflow_id in ("a0", "a1", "a2", "a3", "b0"):
            await engine.wait(workflow_id, timeout_s=10)
    assert starts["a"][2] - starts["a"][0] >= 0.5
    assert starts["b"][0] < starts["a"][2], "the limit is the partition's, not the queue's"


async def test_it_is_a_polite_guest(settings, launched) -> None:
    root, library = logging.getLogger(), logging.getLogger("dbos")
    handlers, loop = list(root.handlers), asyncio.get_running_loop()
    engine = Engine(settings)
    threads: list[asyncio.AbstractEventLoop] = []

    @engine.workflow("w")
    async def workflow() -> None:
        threads.append(asyncio.get_running_loop())

    async with launched(engine):
        with pytest.raises(RuntimeError, match="launched in this process already"):
            await Engine(settings).launch()
        with pytest.raises(RuntimeError, match="launched already"):
            await engine.launch()
        await engine.start("w", "w1")
        await engine.wait("w1", timeout_s=10)
    assert threads == [loop], "workflows run on the loop that launched the engine"
    assert root.handlers == handlers
    assert library.propagate
    assert all(isinstance(handler, logging.NullHandler) for handler in library.handlers)
    assert await asyncio.to_thread(lambda: "threads still work after it stopped")
    async with launched(engine):  # and it may be launched again
        await engine.start("w", "w2")
        await engine.wait("w2", timeout_s=10)


@pytest.mark.parametrize("spared", ["none", "the lease"])
async def test_nothing_is_left_of_a_worker_that_stops_while_the_database_is_away(
    services, settings, server_url, until, spared
) -> None:
    """With its lease still held, the stopping worker also tries to hand its work back."""
    engine = Engine(settings)
    inside, gate = asyncio.Event(), asyncio.Event()
    database = services.agent_url.rpartition("/")[2]

    async def body() -> None:
        inside.set()
        await gate.wait()

    @engine.workflow("w")
    async def workflow() -> None:
        await engine.step("body", body)

    superuser = await asyncpg.connect(server_url)
    try:
        await engine.launch()
        await engine.start("w", "w1")
        await inside.wait()
        await superuser.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
        await superuser.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1"
            " AND ($2 OR pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory'))",
            database,
            spared == "none",
        )
        gate.set()
        await until(lambda: asyncio.sleep(0, _of_the_library()))
        await engine.stop(0)
        await until(lambda: asyncio.sleep(0, not _of_the_library()))
    finally:
        await superuser.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
        await superuser.close()


def _of_the_library() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("dbos-executor")]
