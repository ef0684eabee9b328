"""Migration 0014 on a database in use: indexes beside the writers, two at once, and again after one that failed."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator

import anyio.to_thread
import psycopg
import pytest
from tests.environment import OWNER, Database, execute

from incidentfox.config_service.audit import store
from incidentfox.config_service.audit.sealer import Sealer
from incidentfox.config_service.session import Session
from incidentfox.kernel.db.session import Database as Connections
from incidentfox.kernel.tenant import Tenant
from incidentfox.kernel.web.auth import Principal
from incidentfox.local.postgres import EmbeddedPostgres
from incidentfox.migrations import migrate

pytestmark = pytest.mark.anyio

INDEXES = {f"config_audit_events_{name}" for name in ("actor", "target", "correlation", "at")}
ORGS = ("acme", "globex")


@pytest.fixture
async def populated(cluster: EmbeddedPostgres) -> Database:
    """A database at revision 0013: of each organisation's events, three are sealed, one waits and one was taken off."""
    name = f"before_{secrets.token_hex(6)}"
    execute(cluster.superuser_url(), f"CREATE DATABASE {name} OWNER {OWNER}")
    database = Database(name, cluster.superuser_url(name))
    await anyio.to_thread.run_sync(migrate, database.url(OWNER), "0013")
    _add(database, 1, 3)
    connections = Connections(database.url("incidentfox_config"), 2)
    assert await Sealer(connections).seal_all() == 6
    await connections.close()
    _add(database, 4, 5)
    execute(database.superuser_url, "DELETE FROM config_audit_unsealed WHERE event_id = 'aud_4'")
    return database


@pytest.fixture
def prepared(populated: Database) -> Iterator[Database]:
    """The same, dropped at the end."""
    yield populated
    populated.drop()


def _add(database: Database, first: int, last: int) -> None:
    for org in ORGS:
        execute(
            database.superuser_url,
            "INSERT INTO config_audit_events (org_id, event_id, event_key, at, actor, action, target)"
            f" SELECT '{org}', 'aud_' || i, 'k' || i, now() + i * interval '1 hour', 'a', 'b', 'c'"
            f" FROM generate_series({first}, {last}) i",
        )


async def unsealed(connections: Connections, org: str) -> int:
    """What the service says is not in the chain."""
    tenant = Tenant(org)
    async with connections.transaction(tenant) as connection:
        nobody = Principal("service:test", org, None, frozenset(), is_service=True)
        return await store.count_unsealed(Session(connection, tenant, nobody, None))


def valid_indexes(database: Database) -> dict[str, bool]:
    """The indexes of the migration, and whether each is whole."""
    with psycopg.connect(database.superuser_url) as connection:
        rows = connection.execute(
            "SELECT indexrelid::regclass::text, indisvalid FROM pg_index WHERE indexrelid::regclass::text = ANY (%s)",
            (sorted(INDEXES),),
        )
        return dict(rows.fetchall())


async def test_two_at_once_build_the_indexes_and_what_was_taken_off_waits_again(prepared: Database) -> None:
    url = prepared.url(OWNER)
    script = "import os; from incidentfox.migrations import migrate; migrate(os.environ['OWNER_URL'])"
    with subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "OWNER_URL": url}) as other:
        await anyio.to_thread.run_sync(migrate, url)
        assert await anyio.to_thread.run_sync(other.wait) == 0
    assert valid_indexes(prepared) == dict.fromkeys(INDEXES, True)
    connections = Connections(prepared.url("incidentfox_config"), 2)
    try:
        assert [await unsealed(connections, org) for org in ORGS] == [2, 2]
        assert await Sealer(connections).seal_all() == 4
        assert [await unsealed(connections, org) for org in ORGS] == [0, 0]
    finally:
        await connections.close()
    with psycopg.connect(url) as connection:  # the owner is under row-level security again
        assert connection.execute("SET incidentfox.put_back = 'on'").rowcount == -1
        assert connection.execute("SELECT count(*) FROM config_audit_events").fetchone() == (0,)


async def test_what_a_failed_attempt_left_is_built_anew(prepared: Database) -> None:
    execute(
        prepared.superuser_url,
        "CREATE INDEX config_audit_events_target ON config_audit_events (target)",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'config_audit_events_target'::regclass",
        "CREATE POLICY put_back ON config_audit_seals USING (true)",
    )
    await anyio.to_thread.run_sync(migrate, prepared.url(OWNER))
    assert valid_indexes(prepared) == dict.fromkeys(INDEXES, True)
    with psycopg.connect(prepared.superuser_url) as connection:
        definition = connection.execute("SELECT pg_get_indexdef('config_audit_events_target'::regclass)").fetchone()
        policies = connection.execute("SELECT count(*) FROM pg_policies WHERE policyname = 'put_back'").fetchone()
    assert definition is not None
    assert "(org_id, target, event_id)" in definition[0]
    assert policies == (0,)
