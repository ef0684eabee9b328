"""A worker process for the crash tests: `worker_program.py DATABASE_URL LEDGER_URL [VERSION]`.

What each step did is written to the table `ledger` with its own autocommit connection, as an effect in the outside
world would be: it stays, whatever happens to the process. A step that is to be interrupted waits at a gate (a row in
`gates`). Prints `ready` when it takes up work; stops politely on SIGTERM.
"""

import asyncio
import contextlib
import os
import signal
import sys

import asyncpg

from incidentfox.kernel.durable import Engine, EngineSettings

POLL_S = 0.02


def declare(engine: Engine, ledger: asyncpg.Pool) -> None:
    async def note(workflow_id: str, what: str) -> int:
        await ledger.execute(
            "INSERT INTO ledger (workflow_id, what, pid) VALUES ($1, $2, $3)", workflow_id, what, os.getpid()
        )
        return os.getpid()

    async def pass_gate(gate: str) -> None:
        while not await ledger.fetchval("SELECT 1 FROM gates WHERE name = $1", gate):
            await asyncio.sleep(POLL_S)

    @engine.workflow("journey")
    async def journey(workflow_id: str, gate: str) -> None:
        async def second() -> int:
            await note(workflow_id, "second begun")
            try:
                await pass_gate(gate)
            except asyncio.CancelledError:
                await note(workflow_id, "second interrupted")
                raise
            return await note(workflow_id, "second done")

        first_pid = await engine.step("first", lambda: note(workflow_id, "first"))
        await engine.step("second", second)
        await engine.step("third", lambda: note(workflow_id, f"third after first by {first_pid}"))

    @engine.workflow("busy")
    async def busy(workflow_id: str, partition: str) -> None:
        async def work() -> None:
            # Counted by the database, across processes: who is in, including oneself.
            inside = await ledger.fetchval(
                "WITH me AS (INSERT INTO inside (partition) VALUES ($1))"
                " SELECT count(*) + 1 FROM inside WHERE partition = $1",
                partition,
            )
            await asyncio.sleep(0.05)
            await ledger.execute(
                "DELETE FROM inside WHERE ctid = (SELECT ctid FROM inside WHERE partition = $1 LIMIT 1 FOR UPDATE)",
                partition,
            )
            await note(workflow_id, f"inside {inside}")

        await engine.step("work", work)


async def main(database_url: str, ledger_url: str, version: int) -> None:
    async with asyncpg.create_pool(ledger_url, min_size=1, max_size=4) as ledger:
        engine = Engine(EngineSettings(service="agent", database_url=database_url, version=version, pool_size=4))
        engine.queue("work", concurrency_per_partition=2, worker_concurrency=8)
        declare(engine, ledger)
        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        await engine.launch()
        print("ready", flush=True)
        await stopping.wait()
        await engine.stop(grace_s=0.2)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 1))
