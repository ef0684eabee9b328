"""Reads who is doing what in a Postgres, and who waits for whom: `pg_stat_activity` and `pg_blocking_pids()`.

As a monitoring role: `pg_read_all_stats` (or `pg_monitor`) shows all sessions' queries, nothing else is needed. The
connection is read-only, with a statement timeout, and closed after one question.

The URL is a tenant's, and the driver's own reading of one opens files and sockets of this host: password files, keys,
service files, Unix sockets, and the host's defaults for what is left out. So it is taken apart here.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg  # type: ignore[import-untyped]

from incidentfox.analysis.signals import DatabaseSession
from incidentfox.kernel.egress import check_host
from incidentfox.kernel.errors import Permanent, Unavailable

MAX_SESSIONS = 200
MAX_QUERY_CHARACTERS = 300
_TIMEOUT_S = 5.0

_SCHEME = re.compile(r"postgres(ql)?(\+\w+)?")
_HOST = re.compile(r"[\w.:-]+", re.ASCII)
_PARAMETERS = frozenset({"sslmode", "application_name", "connect_timeout"})

# https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ACTIVITY-VIEW
_SESSIONS = """
SELECT pid,
       coalesce(nullif(application_name, ''), usename, '') AS application,
       coalesce(state, '') AS state,
       CASE WHEN wait_event IS NULL THEN NULL ELSE wait_event_type || ':' || wait_event END AS wait_event,
       coalesce(extract(epoch FROM clock_timestamp() - xact_start), 0)::float8 AS transaction_age_s,
       coalesce(extract(epoch FROM clock_timestamp() - query_start), 0)::float8 AS query_age_s,
       left(query, $1) AS query,
       pg_blocking_pids(pid) AS blocked_by
FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND datname = current_database()
ORDER BY cardinality(pg_blocking_pids(pid)) DESC, xact_start NULLS LAST, pid
LIMIT $2
"""


class DatabaseRefused(Permanent):
    """The monitored database does not let the monitoring role in, or its URL is malformed."""

    default_code = "database_refused"


async def read_sessions(url: str) -> list[DatabaseSession]:
    """The client sessions of the URL's database. Raises Unavailable when it is away, DatabaseRefused when it says no.

    AddressRefused for one where no database of a tenant's can be. The URL is a secret: neither it nor the driver's
    words, which may repeat parts of it, are in the errors.
    """
    arguments = _arguments(url)
    await check_host(arguments["host"])
    try:
        connection = await asyncpg.connect(**arguments, command_timeout=_TIMEOUT_S)
        try:
            rows = await connection.fetch(_SESSIONS, MAX_QUERY_CHARACTERS, MAX_SESSIONS)
        finally:
            await connection.close(timeout=_TIMEOUT_S)
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError, ValueError) as error:
        raise DatabaseRefused(f"The monitored database refused the connection ({type(error).__name__}).") from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise Unavailable(f"The monitored database did not answer ({type(error).__name__}).") from None
    return [
        DatabaseSession(
            pid=row["pid"],
            application=row["application"],
            state=row["state"],
            wait_event=row["wait_event"],
            transaction_age_s=round(row["transaction_age_s"], 3),
            query_age_s=round(row["query_age_s"], 3),
            query=row["query"] or "",
            blocked_by=tuple(row["blocked_by"] or ()),
        )
        for row in rows
    ]


def _arguments(url: str) -> dict[str, Any]:
    """What the driver is told, all of it explicitly: what it is not told it looks for on this host."""
    malformed = DatabaseRefused(
        "The monitored database's URL must have the form postgresql://user:password@host:port/database, with one TCP"
        f" host and no parameters but {', '.join(sorted(_PARAMETERS))}."
    )
    try:
        parts = urlsplit(url)
        port = parts.port or 5432
        given = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        timeout_s = float(given.get("connect_timeout", ["0"])[0]) or _TIMEOUT_S
    except ValueError:
        raise malformed from None
    host, user, database = parts.hostname or "", unquote(parts.username or ""), unquote(parts.path[1:])
    if not (_SCHEME.fullmatch(parts.scheme) and _HOST.fullmatch(host) and user and database):
        raise malformed
    if not given.keys() <= _PARAMETERS or parts.fragment:
        raise malformed
    return {
        "host": host,
        "port": port,
        "user": user,
        "password": unquote(parts.password or ""),
        "database": database,
        "ssl": given.get("sslmode", ["prefer"])[0],
        "timeout": max(0.1, min(timeout_s, _TIMEOUT_S)),
        "server_settings": {
            "application_name": given.get("application_name", ["incidentfox"])[0],
            "default_transaction_read_only": "on",
            "statement_timeout": str(int(_TIMEOUT_S * 1000)),
        },
    }
