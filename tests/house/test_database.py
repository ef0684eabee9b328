"""Decision 005, read off the database itself: prefixes, owners, grants and forced row-level security."""

from __future__ import annotations

import psycopg
import pytest
from tests.environment import Database

from incidentfox.migrations import SERVICE_ROLES

CONFIG_SERVICE_NAMES = {"org_nodes", "node_configurations", "team_tokens", "org_admin_tokens", "agent_runs"}
PREFIXES = {
    "incidentfox_config": "config_",
    "incidentfox_orchestrator": "orchestrator_",
    "incidentfox_pipeline": "ai_pipeline_",
}
NOT_TENANT_DATA = {"config_schema_version", "orchestrator_rate_limits"}


def rows(database: Database, query: str, role: str = "incidentfox_owner") -> list[tuple[object, ...]]:
    with psycopg.connect(database.url(role)) as connection:
        return connection.execute(query.encode()).fetchall()


def tables(database: Database) -> set[str]:
    return {str(name) for (name,) in rows(database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


def owner_of(table: str) -> str:
    if table in CONFIG_SERVICE_NAMES:
        return "incidentfox_config"
    return next(role for role, prefix in PREFIXES.items() if table.startswith(prefix))


def test_every_table_carries_its_owners_prefix(database: Database) -> None:
    for table in tables(database):
        assert owner_of(table)


def test_every_tenant_table_forces_row_level_security(database: Database) -> None:
    secured = rows(
        database,
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        " AND relrowsecurity AND relforcerowsecurity",
    )
    assert tables(database) - {str(name) for (name,) in secured} <= NOT_TENANT_DATA


def test_a_role_has_rights_on_its_own_tables_only(database: Database) -> None:
    grants = rows(
        database,
        "SELECT grantee, table_name FROM information_schema.role_table_grants"
        " WHERE table_schema = 'public' AND grantee <> 'incidentfox_owner'",
    )
    assert grants
    for grantee, table in grants:
        assert owner_of(str(table)) == grantee, f"{grantee} may use {table}"


@pytest.mark.parametrize("role", SERVICE_ROLES.values())
def test_a_service_role_is_an_ordinary_one(database: Database, role: str) -> None:
    [flags] = rows(
        database,
        "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication FROM pg_roles"
        f" WHERE rolname = '{role}'",
    )
    assert flags == (False,) * 5


@pytest.mark.parametrize("role", SERVICE_ROLES.values())
def test_a_service_role_owns_nothing_and_makes_nothing(database: Database, role: str) -> None:
    assert rows(database, f"SELECT 1 FROM pg_tables WHERE tableowner = '{role}'") == []
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        rows(database, "CREATE TABLE public.sneaked_in (id int)", role)


@pytest.mark.parametrize("role", SERVICE_ROLES.values())
def test_without_a_tenant_no_role_sees_a_row(database: Database, role: str) -> None:
    for table in sorted(tables(database) - NOT_TENANT_DATA):
        if owner_of(table) == role:
            assert rows(database, f"SELECT count(*) FROM {table}", role) == [(0,)], table
        else:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                rows(database, f"SELECT 1 FROM {table}", role)


@pytest.mark.parametrize(
    ("role", "schema"), [("incidentfox_agent", "orchestrator_dbos"), ("incidentfox_orchestrator", "agent_dbos")]
)
def test_durable_state_is_readable_by_its_service_alone(database: Database, role: str, schema: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        rows(database, f"SELECT 1 FROM {schema}.workflow_status", role)
