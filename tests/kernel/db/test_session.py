"""Transactions over a real Postgres: trouble that passes is told apart from errors, and values stay out of messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from tests import environment

from incidentfox.kernel.db.session import Database
from incidentfox.kernel.errors import Invalid, Unavailable
from incidentfox.kernel.tenant import Tenant

pytestmark = pytest.mark.anyio

ROLE = "incidentfox_orchestrator"
ACME = Tenant("acme")


@pytest.fixture
async def orchestrator(database: environment.Database) -> AsyncIterator[Database]:
    pool = Database(database.url(ROLE), pool_size=1)
    yield pool
    await pool.close()


async def ask(pool: Database, statement: str = "SELECT 1", **values: object) -> object:
    async with pool.transaction(ACME) as connection:
        return (await connection.execute(text(statement), values)).scalar_one()


async def test_a_full_postgres_is_unavailable_and_then_answers_again(
    orchestrator: Database, database: environment.Database
) -> None:
    environment.execute(database.superuser_url, f"ALTER ROLE {ROLE} CONNECTION LIMIT 0")
    try:
        for attempt in (lambda: ask(orchestrator), orchestrator.ping):
            with pytest.raises(Unavailable) as refused:
                await attempt()
            assert refused.value.code == "database_unavailable"
    finally:
        environment.execute(database.superuser_url, f"ALTER ROLE {ROLE} CONNECTION LIMIT -1")
    assert await ask(orchestrator) == 1


async def test_a_host_that_cannot_be_found_is_unavailable() -> None:
    """What a name server's hiccup and a name with several dead addresses raise is an OSError of no closer kind."""
    nowhere = Database("postgresql://somebody@host.invalid:5432/incidentfox")
    for attempt in (lambda: ask(nowhere), nowhere.ping):
        with pytest.raises(Unavailable):
            await attempt()
    await nowhere.close()


async def test_a_cut_connection_is_unavailable(orchestrator: Database) -> None:
    with pytest.raises(Unavailable):
        await ask(orchestrator, "SELECT pg_terminate_backend(pg_backend_pid())")
    assert await ask(orchestrator) == 1


async def test_a_pool_without_a_free_connection_is_unavailable(
    orchestrator: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orchestrator.engine.sync_engine.pool, "_timeout", 0.01)
    async with orchestrator.transaction(ACME):
        for attempt in (lambda: ask(orchestrator), orchestrator.ping):
            with pytest.raises(Unavailable, match="busy"):
                await attempt()


async def test_a_server_that_only_reads_after_a_fail_over_is_unavailable(
    orchestrator: Database, database: environment.Database
) -> None:
    environment.execute(
        database.superuser_url, f"ALTER DATABASE {database.name} SET default_transaction_read_only = on"
    )
    with pytest.raises(Unavailable):
        await ask(orchestrator, "DELETE FROM orchestrator_rate_limits RETURNING 1")


async def test_a_deadlock_may_be_tried_again(database: environment.Database) -> None:
    pool = Database(database.url(ROLE), pool_size=2)
    first_holds, second_holds = asyncio.Event(), asyncio.Event()
    lock = text("SELECT pg_advisory_xact_lock(:key)")

    async def take(own: int, other: int, holds: asyncio.Event, others: asyncio.Event) -> None:
        async with pool.transaction(ACME) as connection:
            await connection.execute(lock, {"key": own})
            holds.set()
            await others.wait()
            await connection.execute(lock, {"key": other})

    outcomes = await asyncio.gather(
        take(1, 2, first_holds, second_holds), take(2, 1, second_holds, first_holds), return_exceptions=True
    )
    await pool.close()
    [loser] = [outcome for outcome in outcomes if outcome is not None]
    assert isinstance(loser, Unavailable)
    assert loser.code == "write_contention"


async def test_text_that_postgres_cannot_store_is_the_requests_fault(orchestrator: Database) -> None:
    with pytest.raises(Invalid) as refused:
        await ask(orchestrator, "SELECT CAST(:given AS text)", given="a\0b")
    assert refused.value.code == "invalid_text"


async def test_an_error_that_nobody_foresaw_keeps_the_values_to_itself(orchestrator: Database) -> None:
    with pytest.raises(DBAPIError) as unforeseen:
        await ask(
            orchestrator, "SELECT 1 / length(CAST(:given AS text)), CAST(:secret AS text)", given="", secret="s3cr"
        )
    assert "s3cr" not in str(unforeseen.value)
