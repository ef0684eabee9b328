"""Migrations 0004 and 0008 on a database in use: older events get into the chain, older tokens go on working."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import anyio.to_thread
import psycopg
import pytest
from tests.environment import OWNER, Database, execute

from incidentfox.config_service.audit.sealer import Sealer
from incidentfox.config_service.tokens import store
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.tokens import TokenKind
from incidentfox.kernel.db.session import Database as Connections
from incidentfox.kernel.db.tenancy import ByProof
from incidentfox.local.postgres import EmbeddedPostgres
from incidentfox.migrations import migrate

pytestmark = pytest.mark.anyio


@pytest.fixture
def populated(cluster: EmbeddedPostgres) -> Iterator[Database]:
    """A database at revision 0003 with events and a token of two organisations."""
    name = f"before_{secrets.token_hex(6)}"
    execute(cluster.superuser_url(), f"CREATE DATABASE {name} OWNER {OWNER}")
    database = Database(name, cluster.superuser_url(name))
    migrate(database.url(OWNER), "0003")
    for org in ("acme", "globex"):
        execute(
            database.superuser_url,
            "INSERT INTO config_audit_events (org_id, event_id, event_key, at, actor, action, target)"
            f" SELECT '{org}', 'aud_' || i, 'k' || i, now(), 'a', 'b', 'c' FROM generate_series(1, 3) i",
            "INSERT INTO org_admin_tokens (token_id, org_id, name, scopes, token_hash, hint, created_by)"
            f" VALUES ('tok_{org}', '{org}', 'old', ARRAY['runs:read'], 'hash-{org}', 'ifo_', 'x')",
        )
    yield database
    database.drop()


async def test_what_was_there_before_is_sealed_and_tokens_go_on_working(populated: Database) -> None:
    await anyio.to_thread.run_sync(migrate, populated.url(OWNER))
    connections = Connections(populated.url("incidentfox_config"), 2)
    try:
        assert await Sealer(connections).seal_all() == 6
        async with connections.transaction(ByProof("incidentfox.token_hash", "hash-acme")) as connection:
            token = await store.token_in_force(connection, TokenKind.ORG_ADMIN, "hash-acme")
    finally:
        await connections.close()
    assert token is not None
    assert (token.org_id, token.scopes, token.role, token.user) == ("acme", (Permission.RUNS_READ,), None, None)
    with psycopg.connect(populated.superuser_url) as connection:
        seals = connection.execute("SELECT org_id, max(seq) FROM config_audit_seals GROUP BY 1 ORDER BY 1").fetchall()
        forced = "SELECT relforcerowsecurity FROM pg_class WHERE relname = 'config_audit_events'"
        assert connection.execute(forced).fetchone() == (True,)
    assert seals == [("acme", 3), ("globex", 3)]
