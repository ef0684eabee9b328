"""No tenant sees another, whatever the services do: the database, asked directly as their roles."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from tests.config_service.surroundings import tenant_settings
from tests.environment import Database, Trusted
from tests.house.doors import MARKER, OTHER, Doors, open_doors
from tests.orchestrator.conftest import ORG

from incidentfox.local.postgres import EmbeddedPostgres

pytestmark = pytest.mark.anyio

Rows = Callable[[str, dict[str, str]], list[str]]


@pytest.fixture(scope="module")
async def doors(cluster: EmbeddedPostgres, trusted: Trusted) -> AsyncIterator[Doors]:
    """With something of the victim's in every table, and untouched by anybody."""
    async with open_doors(cluster, trusted) as doors:
        yield doors


@contextmanager
def _reading_as(database: Database, role: str) -> Iterator[Rows]:
    """Reads tables as a role: the rows of one under these settings, which last for a transaction."""
    with psycopg.connect(database.url(role)) as connection:

        def rows(table: str, settings: dict[str, str]) -> list[str]:
            with connection.transaction():
                for name, value in settings.items():
                    connection.execute("SELECT set_config(%s, %s, true)", (name, value))
                return [str(row) for (row,) in connection.execute(f"SELECT t::text FROM {table} t".encode()).fetchall()]

        yield rows


def _readable_tables(database: Database, role: str) -> list[str]:
    statement = (
        "SELECT DISTINCT table_name FROM information_schema.role_table_grants WHERE grantee = %s"
        " AND table_schema = 'public' AND privilege_type = 'SELECT'"
    )
    with psycopg.connect(database.url(role)) as connection:
        return sorted(table for (table,) in connection.execute(statement, (role,)).fetchall())


async def test_row_level_security_confines_each_services_role(doors: Doors) -> None:
    database = doors.platform.database
    for role in ("incidentfox_orchestrator", "incidentfox_config"):
        with _reading_as(database, role) as rows_of:
            _assert_confined(_readable_tables(database, role), rows_of)


def _assert_confined(tables: list[str], rows_of: Rows) -> None:
    seen = {table: rows_of(table, tenant_settings(ORG, "payments")) for table in tables}
    assert any(MARKER in row for rows in seen.values() for row in rows), "the victim itself sees its own"
    for table in tables:
        for settings in ({}, {"incidentfox.org_id": ""}, {"incidentfox.team_node_id": "*"}, tenant_settings(OTHER)):
            rows = rows_of(table, settings)
            assert not any(MARKER in row or ORG in row for row in rows), (table, settings)
        if table != "config_routing_identifiers":  # the directory of the organisation, by design
            rows = rows_of(table, tenant_settings(ORG, "checkout"))
            assert not any(MARKER in row or "payments" in row for row in rows), table


async def test_the_agents_role_reads_no_table_of_the_product(doors: Doors) -> None:
    assert _readable_tables(doors.platform.database, "incidentfox_agent") == []
