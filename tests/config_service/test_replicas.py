"""Two replicas on one database: what is committed at one is soon read at the other, heard of or not."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.config_service.surroundings import Service, Tenants, as_superuser, query, running, tenant_settings
from tests.environment import Database

from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.routing import Identifier, IdentifierKind, RoutingLookup
from incidentfox.contracts.tree import CreateNode, NodeKind, UpdateNode
from incidentfox.kernel.db.session import Database as Connections
from incidentfox.kernel.db.signals import Signals
from incidentfox.kernel.errors import Conflict, Forbidden, NotFound
from incidentfox.kernel.tenant import Tenant

pytestmark = pytest.mark.anyio

STALE_S = 1.0
CHECKOUT = RoutingLookup(identifiers=(Identifier(kind=IdentifierKind.SERVICE, value="cart"),))


@asynccontextmanager
async def replica_of(service: Service, monkeypatch: pytest.MonkeyPatch, *, deaf: bool) -> AsyncIterator[Service]:
    """Another process's worth of the same service; a deaf one never hears a notification."""
    if deaf:
        with monkeypatch.context() as patched:
            patched.setattr(Signals, "start", lambda self: None)
            async with running(service.database, service.trusted) as replica:
                yield replica
    else:
        async with running(service.database, service.trusted) as replica:
            yield replica


async def soon(read: Callable[[], Awaitable[Any]], expected: Any) -> None:
    """Asks until the answer is the expected one; fails when it is another one for longer than may be."""
    deadline = time.monotonic() + STALE_S
    while (found := await read()) != expected:
        assert time.monotonic() < deadline, f"{found!r} instead of {expected!r} after {STALE_S} s"
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("deaf", [False, True])
async def test_what_is_committed_at_one_replica_is_read_at_the_other(
    service: Service, tenants: Tenants, monkeypatch: pytest.MonkeyPatch, deaf: bool
) -> None:
    admin = service.with_token(tenants.admin)
    async with replica_of(service, monkeypatch, deaf=deaf) as replica:
        agent, orchestrator = replica.as_service("agent"), replica.as_service("orchestrator")

        async def limit() -> int | None:
            found = await agent.team_effective(Tenant(tenants.org, "checkout"))
            return found.document.budgets.run_tokens

        async def owner() -> str | None:
            return (await orchestrator.lookup_route(tenants.org, CHECKOUT)).team_node_id

        for number in range(1, 4):
            assert await limit() == (number - 1 or None)  # it is in the cache when the write comes
            await admin.patch_configuration(tenants.org, "shops", {"budgets": {"run_tokens": number}})
            await soon(limit, number)
        assert await owner() is None
        await admin.patch_configuration(tenants.org, "payments", {"routing": {"services": ["cart"]}})
        await soon(owner, "payments")
        await admin.patch_configuration(tenants.org, "payments", {"routing": None})
        await admin.patch_configuration(tenants.org, tenants.org, {"routing": {"default_team": "checkout"}})
        await soon(owner, "checkout")


async def test_every_change_that_decides_reaches_a_deaf_replica(
    service: Service, tenants: Tenants, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = service.with_token(tenants.admin)
    await admin.patch_configuration(tenants.org, "shops", {"budgets": {"run_tokens": 7}})
    await admin.create_node(
        tenants.org, CreateNode(node_id="bare", parent_id=tenants.org, kind=NodeKind.UNIT, name="B")
    )
    async with replica_of(service, monkeypatch, deaf=True) as replica:
        agent = replica.as_service("agent")

        async def outcome() -> object:
            try:
                found = await agent.team_effective(Tenant(tenants.org, "checkout"))
            except (Conflict, NotFound) as failure:
                return failure.code
            return found.document.budgets.run_tokens

        assert await outcome() == 7
        await admin.update_node(tenants.org, "checkout", UpdateNode(parent_id="bare"))
        await soon(outcome, None)
        await admin.archive_node(tenants.org, "checkout")
        await soon(outcome, "node_archived")
        await admin.restore_node(tenants.org, "checkout")
        await soon(outcome, None)
        await admin.delete_node(tenants.org, "checkout")
        await soon(outcome, "node_not_found")


async def test_a_replica_whose_listening_connection_was_cut_listens_again(service: Service, tenants: Tenants) -> None:
    signals = service.app.state.parts.timelines
    cut = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
    )

    async def heard() -> bool:
        with signals.watch("probe") as changed:
            query(service.database, "SELECT pg_notify('config_run_events', 'probe')")
            try:
                async with asyncio.timeout(0.2):
                    await changed.wait()
            except TimeoutError:
                return False
            return True

    async def until_heard() -> None:
        async with asyncio.timeout(10):
            while not await heard():
                pass

    await until_heard()
    assert query(service.database, cut) == [(True,)]
    await until_heard()


async def test_what_one_tenant_was_shown_is_not_shown_to_another(service: Service, tenants: Tenants) -> None:
    path = "/api/v1/internal/teams/checkout/effective"

    async def ask(org: str, team: str | None) -> int:
        token = service.service_token("agent", Permission.CONFIG_READ, org, team)
        return (await service.call("GET", path, token)).status_code

    assert [await ask(tenants.org, team) for team in (None, "checkout", "payments")] == [200, 200, 404]
    assert (await service.call("GET", path, tenants.admin)).status_code == 403
    mine = await service.as_service("agent").team_effective(Tenant(tenants.org, "checkout"))
    theirs = await service.as_service("agent").team_effective(Tenant(tenants.other, "checkout"))
    assert (mine.org_id, theirs.org_id) == (tenants.org, tenants.other)
    with pytest.raises(Forbidden):
        await service.with_token(tenants.admin).lookup_route(tenants.org, CHECKOUT)


async def test_a_cached_answer_is_the_uncached_one_to_the_byte(service: Service, tenants: Tenants) -> None:
    secret = {"integrations": {"slack": {"enabled": True, "bot_token": {"$secret": "slack"}}}}
    await service.with_token(tenants.admin).patch_configuration(tenants.org, "checkout", secret)
    path = "/api/v1/internal/teams/checkout/effective"
    token = service.service_token("agent", Permission.CONFIG_READ, tenants.org)
    first, second = [await service.call("GET", path, token) for _ in range(2)]
    people = await service.call("GET", f"/api/v1/orgs/{tenants.org}/nodes/checkout/effective", tenants.admin)
    assert first.content == second.content == people.content
    assert first.headers["etag"] == second.headers["etag"] == people.headers["etag"]


async def test_a_stamp_is_seen_by_its_organisation_alone(service: Service, tenants: Tenants) -> None:
    select = "SELECT org_id FROM config_org_stamps"
    assert query(service.database, select, tenant_settings(tenants.org)) == [(tenants.org,)]
    assert query(service.database, select) == []


async def test_the_look_up_in_one_round_trip_is_bound_to_its_tenant(database: Database) -> None:
    """Its setting ends with its transaction, and row-level security holds inside of the function."""
    connections = Connections(database.url("incidentfox_config"), 1)
    asked: list[object] = ["acme", "*", ["service"], [""], ["cart"], []]
    try:
        insert = (
            "INSERT INTO org_nodes (org_id, node_id, kind, name, created_by) VALUES ('acme', 'acme', 'org', 'A', 't');"
            "INSERT INTO config_routing_identifiers (org_id, kind, name, value, team_node_id, given)"
            " VALUES ('acme', 'service', '', 'cart', 'acme', 'cart')"
        )
        as_superuser(database, insert)
        call = "SELECT * FROM config_route_owners($1, $2, $3, $4, $5, $6)"
        assert len(await connections.fetch(call, *asked)) == 1
        assert await connections.fetch(call, "globex", *asked[1:]) == []
        assert await connections.fetch("SELECT * FROM config_routing_identifiers") == []
    finally:
        await connections.close()


async def test_a_broken_connection_is_replaced(database: Database) -> None:
    connections = Connections(database.url("incidentfox_config"), 1)
    name = f"probe-{secrets.token_hex(4)}"
    try:
        await connections.fetch("SELECT set_config('application_name', $1, false)", name)
        as_superuser(
            database, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{name}'"
        )
        with pytest.raises(Exception, match="not reachable"):
            await connections.fetch("SELECT 1")
        assert len(await connections.fetch("SELECT 1")) == 1
    finally:
        await connections.close()
