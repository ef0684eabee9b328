"""A job commits with its caller's rows or not at all, and an id runs once."""

import asyncio

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from incidentfox.kernel.durable import Engine, Job, enqueue, enqueue_sqlalchemy, enqueue_statement

pytestmark = pytest.mark.anyio

COUNT = "SELECT count(*) FROM agent_dbos.workflow_status"


def _job(workflow_id: str, *args: str, partition: str | None = "team-a") -> Job:
    return Job(service="agent", queue="q", workflow="note", workflow_id=workflow_id, args=args, partition=partition)


async def test_a_rolled_back_transaction_leaves_nothing(services, owner) -> None:
    connection = await asyncpg.connect(services.agent_url)
    transaction = connection.transaction()
    await transaction.start()
    await enqueue(connection, _job("gone", "x"))
    assert await connection.fetchval(COUNT) == 1
    await transaction.rollback()
    assert await connection.fetchval(COUNT) == 0
    assert await connection.fetchval("SELECT count(*) FROM agent_dbos.workflow_input") == 0
    await connection.close()


async def test_both_drivers_enqueue_in_the_callers_transaction_and_an_id_runs_once(
    services, owner, settings, launched
) -> None:
    engine = Engine(settings)
    engine.queue("q")
    seen: list[tuple[str, ...]] = []

    @engine.workflow("note")
    async def note(*args: str) -> None:
        seen.append(args)

    alchemy = create_async_engine(services.agent_url.replace("postgresql://", "postgresql+asyncpg://"))
    odd = 'quote " and \\ and ☃'
    async with launched(engine):
        for _ in range(2):
            async with alchemy.begin() as connection:
                await connection.execute(text("SELECT 1"))
                await enqueue_sqlalchemy(connection, _job("one", "1", odd))
            await asyncio.gather(*(_enqueue(services.agent_url, _job("two", "2")) for _ in range(5)))
        for workflow_id in ("one", "two"):
            assert (await engine.wait(workflow_id, timeout_s=10)).dispatches == 1
            await _enqueue(services.agent_url, _job(workflow_id, "again"))
        await _enqueue(services.agent_url, _job("three"))
        await engine.wait("three", timeout_s=10)
    await alchemy.dispose()
    assert sorted(seen) == [(), ("1", odd), ("2",)]


async def _enqueue(url: str, job: Job) -> None:
    connection = await asyncpg.connect(url)
    await enqueue(connection, job)
    await connection.close()


def test_inputs_are_strings_without_nul() -> None:
    with pytest.raises(TypeError, match="strings"):
        enqueue_statement(_job("w", 1))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="NUL"):
        enqueue_statement(_job("w", "a\0b"))
    with pytest.raises(ValueError, match="empty"):
        enqueue_statement(_job(" "))
