"""The tables in the code are the tables that the migration makes."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil

import psycopg
from sqlalchemy import MetaData, Table
from sqlalchemy.dialects import postgresql
from tests.environment import Database

import incidentfox.config_service as package
from incidentfox.config_service.idempotency import idempotency_keys

NAMES = {"org_nodes", "node_configurations", "team_tokens", "org_admin_tokens", "agent_runs"}
TYPES = {
    "timestamptz": "TIMESTAMP WITH TIME ZONE",
    "int4": "INTEGER",
    "int8": "BIGINT",
    "float8": "DOUBLE PRECISION",
    "_text": "TEXT[]",
}


def tables_in_code() -> dict[str, Table]:
    found = {idempotency_keys.name: idempotency_keys}
    for domain in pkgutil.iter_modules(package.__path__):
        if domain.ispkg and importlib.util.find_spec(f"{package.__name__}.{domain.name}.tables"):
            metadata: MetaData = importlib.import_module(f"{package.__name__}.{domain.name}.tables").metadata
            found |= metadata.tables
    return found


def test_code_and_database_have_the_same_tables_and_columns(database: Database) -> None:
    with psycopg.connect(database.url("incidentfox_owner")) as connection:
        rows = connection.execute(
            "SELECT table_name, column_name, udt_name, is_nullable = 'YES' FROM information_schema.columns"
            " WHERE table_schema = 'public'"
        ).fetchall()
    made = {
        (table, column): (TYPES.get(kind, kind.upper()), nullable)
        for table, column, kind, nullable in rows
        if table in NAMES or (table.startswith("config_") and table != "config_schema_version")
    }
    dialect = postgresql.dialect()
    coded = {
        (table.name, column.name): (str(column.type.compile(dialect)), bool(column.nullable))
        for table in tables_in_code().values()
        for column in table.columns
    }
    assert coded == made
