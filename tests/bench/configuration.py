"""The hot path of the Config Service, over an organisation of 10,000 teams in a tree of three levels.

On an embedded Postgres of its own. Times are taken in this process, so that nothing else stands between the code and
what is said about it; rates are those of real processes, asked over sockets by another one.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
from tests.acceptance.product import free_ports
from tests.bench.get_load import rate
from tests.bench.load import percentile
from tests.bench.rows import Row, at_most, ratio_at_least, ratio_at_most
from tests.bench.start import resident_mb
from tests.config_service.surroundings import Service, running
from tests.environment import Database, Trusted, create_database, prepare_cluster

from incidentfox.clients.config_service import AUDIENCE
from incidentfox.config_service.configuration.service import effective_for_run
from incidentfox.config_service.routing import store
from incidentfox.config_service.routing.rules import question
from incidentfox.config_service.session import Session
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.routing import Identifier, IdentifierKind, RoutingLookup
from incidentfox.kernel.crypto import content_hash
from incidentfox.kernel.db.session import Database as Connections
from incidentfox.kernel.logging import configure_logging
from incidentfox.kernel.tenant import Tenant
from incidentfox.kernel.web.auth import Principal
from incidentfox.local.postgres import EmbeddedPostgres

SMALL, LARGE = "small", "large"
TEAMS = {SMALL: 100, LARGE: 10_000}
TEAMS_OF_UNIT = 100
LOOKUPS = 1500
READS = 300
CACHED = 1000
ROUNDS = 5
SECONDS = 2.0
CONNECTIONS = 16
COMMITS = 60
_CONFIG = "incidentfox_config"
_BARE = "SELECT team_node_id FROM bench_identifiers WHERE org_id = $1 AND kind = $2 AND name = $3 AND value = $4"
_SERVICE_COMMAND = "from incidentfox.config_service.main import main; main()"
_EMPTY_COMMAND = """
from fastapi import FastAPI
from incidentfox.kernel.web.server import run_app
app = FastAPI()
@app.get("/empty")
async def empty() -> dict[str, str]:
    return {{}}
run_app(app, "127.0.0.1", {port})
"""
_SERVICE = Principal("service:bench", None, None, frozenset(), is_service=True)


async def measure() -> list[Row]:
    """The rows of this subject."""
    folder = Path(tempfile.mkdtemp(prefix="incidentfox-bench-"))
    folder.chmod(0o755)  # as root, Postgres runs as somebody else
    keys = Path(tempfile.mkdtemp(prefix="incidentfox-bench-keys-"))
    configure_logging("bench", "WARNING")
    try:
        with EmbeddedPostgres(folder / "data") as postgres:
            await asyncio.to_thread(prepare_cluster, postgres)
            database = create_database(postgres, "bench")
            _seed(database)
            rows = [*await _lookups(database), *await _cold(database)]
            async with AsyncExitStack() as stack:
                trusted = Trusted(keys)
                replicas = [await stack.enter_async_context(running(database, trusted)) for _ in range(2)]
                rows += [*await _cached(replicas[0]), *await _visible(*replicas), await _written(replicas[0])]
            return [*rows, await _served(database, trusted)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(keys, ignore_errors=True)


async def _lookups(database: Database) -> list[Row]:
    """A look-up that is in no cache, beside a bare select of one row by its primary key, on the same connection."""
    connections = Connections(database.url(_CONFIG), 1)
    try:
        medians: dict[str, float] = {}
        for org in (SMALL, LARGE):
            teams = random.Random(7).choices(range(TEAMS[org]), k=LOOKUPS)
            ours, bare = [], []
            for team in teams:
                asked = question(_event(team))
                ours.append(await _timed(lambda asked=asked, org=org: store.owners(connections, Tenant(org), asked)))
                key = (org, "service", "", f"service-{team}")
                bare.append(await _timed(lambda key=key: _bare(connections, key)))
            medians[org] = statistics.median(ours[100:])
            medians[f"{org} bare"] = statistics.median(bare[100:])
        return [
            ratio_at_most(
                f"routing look-up, uncached, {TEAMS[LARGE]:,} teams, p50",
                medians[LARGE] * 1000,
                medians[f"{LARGE} bare"] * 1000,
                4,
                "ms",
            ),
            ratio_at_most(
                f"routing look-up, {TEAMS[LARGE]:,} teams beside {TEAMS[SMALL]}",
                medians[LARGE] * 1000,
                medians[SMALL] * 1000,
                1.5,
                "ms",
            ),
        ]
    finally:
        await connections.close()


async def _bare(connections: Connections, key: tuple[str, str, str, str]) -> None:
    async with connections.engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        assert await driver.fetch(_BARE, *key)


async def _cold(database: Database) -> list[Row]:
    """A team's effective configuration, each of a team that was not read before: transaction and all."""
    connections = Connections(database.url(_CONFIG), 1)

    async def read(team: int) -> None:
        tenant = Tenant(LARGE)
        async with connections.transaction(tenant) as connection:
            await effective_for_run(Session(connection, tenant, _SERVICE, None), f"team-{team}")

    try:
        took = [await _timed(lambda team=team: read(team)) for team in range(READS)]
    finally:
        await connections.close()
    return [at_most("effective configuration, cold, p50", statistics.median(took[20:]) * 1000, 10, "ms")]


async def _cached(replica: Service) -> list[Row]:
    """The same from the cache."""
    agent, effective = replica.as_service("agent"), replica.app.state.parts.effective
    size = 0
    for team in range(CACHED):
        found = await agent.team_effective(Tenant(LARGE, f"team-{team}"))
        size += len(found.model_dump_json())
    kept = []
    for team in range(CACHED):
        tenant = Tenant(LARGE, f"team-{team}")
        kept.append(await _timed(lambda tenant=tenant: effective.get(tenant, tenant.team_node_id, _never)))
    return [
        at_most("effective configuration, from the cache, p50", statistics.median(kept) * 1000, 1, "ms"),
        Row("one effective configuration in the cache", size / CACHED / 1000, "kB"),
        at_most("memory of a replica that has kept them, and a second one", resident_mb("self"), 500, "MB"),
    ]


async def _never() -> Any:
    raise AssertionError("it should be in the cache")


async def _served(database: Database, trusted: Trusted) -> Row:
    """Answers a second of the route that the Agent asks, beside an empty route of FastAPI, under the same server."""
    ours, floor = free_ports(2)
    path = "/api/v1/internal/teams/team-1/effective"
    environment = {
        **trusted.environment("config-service"),
        "INCIDENTFOX_DATABASE_URL": database.url(_CONFIG),
        "INCIDENTFOX_PORT": str(ours),
    }
    async with _process(_SERVICE_COMMAND, ours, environment), _process(_EMPTY_COMMAND.format(port=floor), floor, {}):
        rates: list[tuple[float, float]] = []
        for _ in range(ROUNDS + 1):  # the first round warms up
            token = trusted.identity("agent").token(AUDIENCE, frozenset({Permission.CONFIG_READ}), LARGE)
            served = await rate(ours, path, token, SECONDS, CONNECTIONS)
            rates.append((served, await rate(floor, "/empty", token, SECONDS, CONNECTIONS)))
    return ratio_at_least(
        "effective configurations served, beside an empty FastAPI route",
        statistics.median(one for one, _ in rates[1:]),
        statistics.median(one for _, one in rates[1:]),
        0.5,
        "/s",
    )


@asynccontextmanager
async def _process(code: str, port: int, environment: dict[str, str]) -> AsyncIterator[None]:
    """A server of its own, once it accepts connections."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, env={**os.environ, **environment})
    try:
        async with asyncio.timeout(30):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    break
        yield
    finally:
        process.kill()
        await process.wait()


async def _visible(writer: Service, reader: Service) -> list[Row]:
    """From the answer to a write at one replica until the other one reads it."""
    admin, orchestrator = writer.as_service("platform"), reader.as_service("orchestrator")
    took: list[float] = []
    for number in range(COMMITS):
        name = f"moving-{number}"
        asked = RoutingLookup(identifiers=(Identifier(kind=IdentifierKind.SERVICE, value=name),))
        assert (await orchestrator.lookup_route(LARGE, asked)).team_node_id is None
        await admin.patch_configuration(LARGE, f"team-{number}", {"routing": {"services": [name]}})
        began = time.perf_counter()
        while (await orchestrator.lookup_route(LARGE, asked)).team_node_id is None:
            await asyncio.sleep(0.001)
        took.append(time.perf_counter() - began)
    return [at_most("a commit is read at another replica, p99", percentile(took, 0.99), 1, "s")]


async def _written(replica: Service) -> Row:
    """An organisation's own document, judged for each of its teams before it counts."""
    admin = replica.as_service("platform")
    began = time.perf_counter()
    await admin.patch_configuration(LARGE, LARGE, {"budgets": {"run_tokens": 123_456}})
    return at_most(f"a write to the organisation over {TEAMS[LARGE]:,} teams", time.perf_counter() - began, 10, "s")


async def _timed(act: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await act()
    return time.perf_counter() - began


def _event(team: int) -> tuple[Identifier, ...]:
    """What a PagerDuty event carries."""
    return (
        Identifier(kind=IdentifierKind.PAGERDUTY_SERVICE, value=f"P{team:06}"),
        Identifier(kind=IdentifierKind.SERVICE, value=f"Service-{team}"),
        Identifier(kind=IdentifierKind.SERVICE, value=f"checkout-of-{team}"),
        Identifier(kind=IdentifierKind.CUSTOM, name="pagerduty_team", value="PFCVPS0"),
    )


def _document(team: int) -> dict[str, Any]:
    """A team's own document as teams write them: what it owns, its prompt, an agent and a tool of its own choice."""
    return {
        "routing": {
            "services": [f"service-{team}", f"worker-{team}"],
            "pagerduty_services": [f"P{team:06}"],
            "service_patterns": [f"checkout-of-{team}*"],
            "slack_channels": [f"#team-{team}"],
        },
        "agents": {
            "investigator": {"prompt": {"suffix": f"We are team {team}. " + "Our runbooks say what to look at. " * 20}},
            "database": {"description": "Knows our databases.", "tools": ["database_activity", "query_metrics"]},
        },
        "tools": {"status_notices": {"enabled": team % 2 == 0}},
        "budgets": {"day_tokens": 2_000_000},
    }


def _seed(database: Database) -> None:
    """Both organisations, straight into the tables: ten thousand teams through the API would take the afternoon."""
    with psycopg.connect(database.superuser_url) as connection:
        for org, teams in TEAMS.items():
            _seed_tree(connection, org, teams)
            documents = [(team, _document(team)) for team in range(teams)]
            with connection.cursor().copy(
                "COPY node_configurations (org_id, node_id, version, document, hash, created_by) FROM STDIN"
            ) as copy:
                for team, document in documents:
                    copy.write_row((org, f"team-{team}", 1, json.dumps(document), content_hash(document), "bench"))
            with connection.cursor().copy(
                "COPY config_routing_identifiers (org_id, kind, name, value, team_node_id, given) FROM STDIN"
            ) as copy:
                for team in range(teams):
                    for kind, name, value in _owned(team):
                        copy.write_row((org, kind, name, value, f"team-{team}", value))
        connection.execute("CREATE TABLE bench_identifiers (LIKE config_routing_identifiers INCLUDING INDEXES)")
        connection.execute("INSERT INTO bench_identifiers SELECT * FROM config_routing_identifiers")
        connection.execute(f"GRANT SELECT ON bench_identifiers TO {_CONFIG}")
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def _owned(team: int) -> list[tuple[str, str, str]]:
    return [
        ("service", "", f"service-{team}"),
        ("service", "", f"worker-{team}"),
        ("pagerduty_service", "", f"P{team:06}"),
        ("service_pattern", f"checkout-of-{team}", f"checkout-of-{team}*"),
        ("slack_channel", "", f"team-{team}"),
    ]


def _seed_tree(connection: psycopg.Connection, org: str, teams: int) -> None:
    units = [f"unit-{number}" for number in range((teams + TEAMS_OF_UNIT - 1) // TEAMS_OF_UNIT)]
    nodes = [(org, None, "org"), *((unit, org, "unit") for unit in units)]
    nodes += [(f"team-{team}", f"unit-{team // TEAMS_OF_UNIT}", "team") for team in range(teams)]
    parents = {node: parent for node, parent, _ in nodes}
    with connection.cursor().copy(
        "COPY org_nodes (org_id, node_id, parent_id, kind, name, created_by) FROM STDIN"
    ) as copy:
        for node, parent, kind in nodes:
            copy.write_row((org, node, parent, kind, node, "bench"))
    with connection.cursor().copy(
        "COPY config_node_ancestry (org_id, node_id, ancestor_id, distance) FROM STDIN"
    ) as copy:
        for node in parents:
            ancestor: str | None = node
            distance = 0
            while ancestor is not None:
                copy.write_row((org, node, ancestor, distance))
                ancestor, distance = parents[ancestor], distance + 1
