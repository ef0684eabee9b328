"""The shared Postgres: reachable, of a version that is tested, migrated, with a role for each service. Blocking."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from incidentfox.local.checks.finding import Finding, State
from incidentfox.local.database import DATABASE, OWNER, url_as
from incidentfox.local.postgres import EmbeddedPostgres, EmbeddedPostgresError
from incidentfox.local.settings import LocalSettings
from incidentfox.migrations import SERVICE_ROLES, head_revision

TESTED_VERSION = 18
_SKEW_S = 5.0


def check_database(settings: LocalSettings) -> Iterator[Finding]:
    """The database of DATABASE_URL, else the embedded one."""
    try:
        url = settings.database_url.get_secret_value() if settings.database_url else _embedded(settings.home_dir)
    except (EmbeddedPostgresError, OSError, ValueError, KeyError, TypeError) as error:
        yield _failed("server", f"the embedded Postgres cannot be used: {error}", "See the checks of `home`.")
        return
    if url is None:
        yield Finding(
            part="database",
            check="server",
            state=State.NOTE,
            found="the embedded Postgres is not running",
            remedy="`incidentfox up` starts it.",
        )
        return
    try:
        with psycopg.connect(url, connect_timeout=3, autocommit=True) as connection:
            yield from _inspect(connection)
    except psycopg.ProgrammingError:
        # Its words quote the URL, and with it the password.
        yield _failed(
            "server", "DATABASE_URL is not a URL of a Postgres", "Write it as postgresql://ROLE:PASSWORD@HOST/NAME"
        )
    except psycopg.Error as error:
        remedy = "Check its host, port, role and password." if settings.database_url else "incidentfox down, then up"
        yield _failed("server", str(error).strip().splitlines()[0], remedy)


def _embedded(home: Path) -> str | None:
    """The owner's URL of the embedded database; None when it is down."""
    postgres = EmbeddedPostgres(home / "postgres")
    if not (home / "keys").is_dir() or not postgres.is_running():
        return None
    passwords = json.loads((home / "keys" / "database-roles.json").read_text())
    return url_as(postgres.superuser_url(), OWNER, passwords[OWNER], DATABASE)


def _inspect(connection: psycopg.Connection[tuple[object, ...]]) -> Iterator[Finding]:
    yield _version(connection)
    yield _clock(connection)
    yield _schema(connection)
    yield _roles(connection)


def _version(connection: psycopg.Connection[tuple[object, ...]]) -> Finding:
    major = connection.info.server_version // 10_000
    found = f"Postgres {connection.info.parameter_status('server_version')} at port {connection.info.port}"
    if major >= TESTED_VERSION:
        return Finding(part="database", check="server", state=State.OK, found=found)
    return Finding(
        part="database",
        check="server",
        state=State.WARNING,
        found=found,
        remedy=f"IncidentFox is tested with Postgres {TESTED_VERSION}. Upgrade the server when you can.",
    )


def _clock(connection: psycopg.Connection[tuple[object, ...]]) -> Finding:
    row = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
    skew = float(str(row[0])) - time.time() if row else 0.0
    if abs(skew) < _SKEW_S:
        return Finding(part="database", check="clock", state=State.OK, found=f"{skew:+.1f} s from this machine's")
    return _failed(
        "clock", f"{skew:+.0f} s from this machine's", "Run NTP on both: tokens and webhooks expire by the clock."
    )


def _schema(connection: psycopg.Connection[tuple[object, ...]]) -> Finding:
    head = head_revision()
    try:
        row = connection.execute("SELECT version_num FROM config_schema_version").fetchone()
    except psycopg.errors.UndefinedTable:
        row = None
    except psycopg.errors.InsufficientPrivilege:
        return _failed("schema", "this role does not own the tables", "Let DATABASE_URL name the role that migrates.")
    if row is not None and row[0] == head:
        return Finding(part="database", check="schema", state=State.OK, found=f"at revision {head}, the newest")
    found = "there are no tables yet" if row is None else f"at revision {row[0]}, and this version wants {head}"
    return _failed("schema", found, "`incidentfox up` migrates; elsewhere: incidentfox migrate")


def _roles(connection: psycopg.Connection[tuple[object, ...]]) -> Finding:
    wanted = sorted(set(SERVICE_ROLES.values()))
    rows = connection.execute(
        "SELECT rolname, rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = ANY(%s)", (wanted,)
    ).fetchall()
    missing = sorted(set(wanted) - {str(name) for name, _ in rows})
    if missing:
        return _failed(
            "roles", f"missing: {', '.join(missing)}", "incidentfox migrate, as a role that may create roles"
        )
    mighty = [str(name) for name, is_mighty in rows if is_mighty]
    if mighty:
        return _failed(
            "roles",
            f"{', '.join(mighty)} can see past row-level security",
            "; ".join(f"ALTER ROLE {name} NOSUPERUSER NOBYPASSRLS" for name in mighty),
        )
    return Finding(part="database", check="roles", state=State.OK, found=f"{len(wanted)}, none of them mighty")


def _failed(check: str, found: str, remedy: str) -> Finding:
    return Finding(part="database", check=check, state=State.FAILED, found=found, remedy=remedy)
