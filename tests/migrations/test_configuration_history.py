"""Migration 0006 on a database in use: what was configured before has a history, and answers as of then."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import psycopg
import pytest
from tests.environment import OWNER, Database, execute

from incidentfox.local.postgres import EmbeddedPostgres
from incidentfox.migrations import migrate


@pytest.fixture
def populated(cluster: EmbeddedPostgres) -> Iterator[Database]:
    """A database at revision 0005 with a tree and a document in each of two organisations."""
    name = f"before_{secrets.token_hex(6)}"
    execute(cluster.superuser_url(), f"CREATE DATABASE {name} OWNER {OWNER}")
    database = Database(name, cluster.superuser_url(name))
    migrate(database.url(OWNER), "0005")
    for org in ("acme", "globex"):
        execute(
            database.superuser_url,
            "INSERT INTO org_nodes (org_id, node_id, parent_id, kind, name, created_at, created_by) VALUES"
            f" ('{org}', '{org}', NULL, 'org', 'Org', '2026-01-01Z', 'x'),"
            f" ('{org}', 'team', '{org}', 'team', 'Team', '2026-02-01Z', 'x')",
            "INSERT INTO node_configurations (org_id, node_id, version, document, hash, created_by)"
            f" VALUES ('{org}', 'team', 1, '{{}}', 'h', 'x')",
        )
    yield database
    database.drop()


def test_each_node_begins_its_history_where_it_began(populated: Database) -> None:
    migrate(populated.url(OWNER))
    with psycopg.connect(populated.url("incidentfox_config")) as connection:
        connection.execute("SELECT set_config('incidentfox.org_id', 'acme', true)")
        connection.execute("SELECT set_config('incidentfox.team_node_id', '*', true)")
        kept = connection.execute(
            "SELECT node_id, version, parent_id, created_at = (SELECT n.created_at FROM org_nodes n"
            " WHERE n.node_id = v.node_id) FROM config_node_versions v ORDER BY node_id"
        ).fetchall()
        documents = connection.execute("SELECT version, change_request_id FROM node_configurations").fetchall()
    assert kept == [("acme", 1, None, True), ("team", 1, "acme", True)]
    assert documents == [(1, None)]


def test_the_owner_is_under_row_level_security_again(populated: Database) -> None:
    migrate(populated.url(OWNER))
    with psycopg.connect(populated.url(OWNER)) as connection:
        assert connection.execute("SELECT count(*) FROM org_nodes").fetchall() == [(0,)]
        assert connection.execute("SELECT count(*) FROM config_node_versions").fetchall() == [(0,)]
