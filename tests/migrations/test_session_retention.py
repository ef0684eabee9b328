"""Migration 0015 on a database in use: the sessions of before age out, the tokens of before stay."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import psycopg
import pytest
from tests.environment import OWNER, Database, execute

from incidentfox.local.postgres import EmbeddedPostgres
from incidentfox.migrations import migrate

TABLES = ("team_tokens", "org_admin_tokens")


@pytest.fixture
def populated(cluster: EmbeddedPostgres) -> Iterator[Database]:
    """A database at revision 0014; in each of two organisations, old and young sessions and an old token."""
    name = f"before_{secrets.token_hex(6)}"
    execute(cluster.superuser_url(), f"CREATE DATABASE {name} OWNER {OWNER}")
    database = Database(name, cluster.superuser_url(name))
    migrate(database.url(OWNER), "0014")
    for org in ("acme", "globex"):
        execute(
            database.superuser_url,
            "INSERT INTO org_nodes (org_id, node_id, parent_id, kind, name, created_by) VALUES"
            f" ('{org}', '{org}', NULL, 'org', 'Org', 'x'), ('{org}', 'team', '{org}', 'team', 'Team', 'x')",
        )
        for table, team in ((TABLES[0], ", 'team'"), (TABLES[1], "")):
            column = ", team_node_id" if team else ""
            for kind, issued_by, days in (("old", "'tok_x'", 31), ("young", "'tok_x'", 29), ("token", "NULL", 400)):
                token = f"{org}-{table}-{kind}"
                execute(
                    database.superuser_url,
                    f"INSERT INTO {table} (token_id, org_id{column}, name, scopes, token_hash, hint, created_by,"
                    " issued_by_token_id, expires_at)"
                    f" VALUES ('{token}', '{org}'{team}, 'n', '{{}}', '{token}', 'h', 'x', {issued_by},"
                    f" now() - interval '{days} days')",
                )
    yield database
    database.drop()


def test_sessions_of_before_age_out_and_tokens_stay(populated: Database) -> None:
    migrate(populated.url(OWNER))
    with psycopg.connect(populated.url("incidentfox_config")) as connection:
        assert connection.execute("SELECT config_purge_sessions('30 days', 100)").fetchone() == (4,)
    with psycopg.connect(populated.superuser_url) as connection:
        both = " UNION ALL ".join(f"SELECT token_id FROM {table}" for table in TABLES)
        left = {str(row[0]).rsplit("-", 1)[1] for row in connection.execute(both.encode())}
        count = connection.execute(f"SELECT count(*) FROM ({both}) b".encode()).fetchone()
    assert (left, count) == ({"young", "token"}, (8,))
