"""The rate of a token: kept over replicas, apart from other tokens, and said so with when to come back."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import anyio
import pytest
from tests.config_service.surroundings import Service, running
from tests.environment import Trusted, create_database

from incidentfox.config_service.tokens import store
from incidentfox.config_service.tokens.store import Rate
from incidentfox.contracts.tokens import CreateToken
from incidentfox.contracts.tree import CreateOrganisation
from incidentfox.kernel.db.session import Database
from incidentfox.kernel.db.tenancy import ByProof
from incidentfox.kernel.errors import RateLimited
from incidentfox.local.postgres import EmbeddedPostgres

pytestmark = pytest.mark.anyio

BURST = 6


@pytest.fixture
async def replicas(cluster: EmbeddedPostgres, trusted: Trusted) -> AsyncIterator[list[Service]]:
    """Two replicas on one database; a token may make six calls at once, and one a minute after that."""
    database = create_database(cluster, f"limits_{secrets.token_hex(6)}")
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(running(database, trusted, token_rate_per_minute=1, token_burst=BURST))
            for _ in range(2)
        ]
    database.drop()


@pytest.fixture
async def tokens(replicas: list[Service]) -> list[str]:
    """Two tokens of one organisation."""
    platform = replicas[0].as_service("platform")
    await platform.create_organisation(CreateOrganisation(org_id="acme", name="Acme"))
    return [(await platform.create_token("acme", CreateToken(name=name))).secret for name in ("a", "b")]


async def test_the_limit_holds_over_all_replicas_and_for_each_token(replicas: list[Service], tokens: list[str]) -> None:
    answers = []

    async def call(number: int) -> None:
        answers.append(await replicas[number % 2].call("GET", "/api/v1/me", tokens[0]))

    async with anyio.create_task_group() as group:
        for number in range(BURST * 3):
            group.start_soon(call, number)
    assert sorted(answer.status_code for answer in answers) == [200] * BURST + [429] * BURST * 2
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["code"] == "token_rate_limited"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    for replica in replicas:
        assert (await replica.call("GET", "/api/v1/me", tokens[1])).status_code == 200


async def test_a_service_that_asks_who_its_caller_is_uses_nothing_up(
    replicas: list[Service], tokens: list[str]
) -> None:
    for _ in range(BURST * 2):
        await replicas[0].as_service("orchestrator").introspect(tokens[0])
    await replicas[0].with_token(tokens[0]).me()


async def test_a_limited_token_is_told_so_by_the_client(replicas: list[Service], tokens: list[str]) -> None:
    client = replicas[0].with_token(tokens[0])
    for _ in range(BURST):
        await client.me()
    with pytest.raises(RateLimited) as refusal:
        await client.me()
    assert refusal.value.retry_after_s is not None


async def test_the_wait_is_the_time_until_there_are_as_many(replicas: list[Service]) -> None:
    """The arithmetic alone: three at once, then one in a thousand seconds."""
    database = Database(replicas[0].database.url("incidentfox_config"), 1)
    proof, rate = ByProof("incidentfox.token_hash", "h"), Rate(per_s=0.001, burst=3)
    async with database.transaction(proof) as connection:
        assert [await store.take(connection, "h", count, rate) for count in (2, 1)] == [0.0, 0.0]
        assert 900 < await store.take(connection, "h", 1, rate) <= 1000
        assert 1900 < await store.take(connection, "h", 2, rate) <= 2000
        assert await store.take(connection, "h", 1, Rate(per_s=1e6, burst=10**10)) == 0.0
    async with database.transaction(ByProof("incidentfox.token_hash", "other")) as connection:
        assert await store.take(connection, "other", 3, rate) == 0.0
    await database.close()
