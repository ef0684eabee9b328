"""The shared Postgres of a local installation: owner role, database, migrations, a password for each service's role."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from incidentfox.migrations import SERVICE_ROLES, migrate

OWNER = "incidentfox_owner"
DATABASE = "incidentfox"
ROLES = (OWNER, *SERVICE_ROLES.values())


def prepare_embedded(superuser_url: str, passwords: Mapping[str, str]) -> str:
    """Makes the owner role and the database on the embedded server; the owner's URL. Safe to run at every start."""
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        if not _exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", OWNER):
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEROLE").format(sql.Identifier(OWNER)))
        _set_password(connection, OWNER, passwords[OWNER])
        if not _exists(connection, "SELECT 1 FROM pg_database WHERE datname = %s", DATABASE):
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(OWNER))
            )
    return url_as(superuser_url, OWNER, passwords[OWNER], DATABASE)


def prepare_schema(owner_url: str, passwords: Mapping[str, str]) -> None:
    """Migrates to the newest revision and gives each service's role its password."""
    migrate(owner_url)
    with psycopg.connect(owner_url, autocommit=True) as connection:
        for role in SERVICE_ROLES.values():
            _set_password(connection, role, passwords[role])


def url_as(url: str, role: str, password: str, database: str | None = None) -> str:
    """The same server as another role, and in another database when one is named."""
    parts = urlsplit(url)
    location = parts.netloc.rpartition("@")[2]
    path = f"/{database}" if database else parts.path
    return urlunsplit(parts._replace(netloc=f"{role}:{password}@{location}", path=path))


def _exists(connection: psycopg.Connection[tuple[object, ...]], query: str, name: str) -> bool:
    return connection.execute(query.encode(), (name,)).fetchone() is not None


def _set_password(connection: psycopg.Connection[tuple[object, ...]], role: str, password: str) -> None:
    # The server logs failed statements in full, so the literal is kept out of anything that can fail by its syntax.
    connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(password)))
