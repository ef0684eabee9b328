"""The SQL of the hot path, on a small asyncpg pool of its own: find the endpoint, take from the limit, record.

Each of the two writes is one statement, hence one round trip and one transaction. The first common table expression
sets the tenant for row-level security; the rows come *from* it, so that no row is checked before the tenant is set.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from incidentfox.kernel.durable import DATABASE_AWAY, Job, enqueue_statement
from incidentfox.kernel.errors import Unavailable
from incidentfox.orchestrator.settings import SERVICE

QUEUE = "deliveries"
WORKFLOW = "deliver"
QUEUED = "orchestrator_deliveries_queued"
"""The channel on which workers hear that deliveries were committed."""
SAMPLES_KEPT = 5

_TENANT = (
    "tenant AS MATERIALIZED (SELECT set_config('incidentfox.org_id', $1, true),"
    " set_config('incidentfox.team_node_id', '*', true))"
)

# GCRA (the virtual scheduling form of ITU-T I.371): `full_at` is when the bucket is full again. Takes as many of $3 as
# there are. The database's clock decides, since all processes share the row.
_TAKE = f"""
WITH {_TENANT}
INSERT INTO orchestrator_rate_limits AS l (org_id, endpoint_id, seen_at, granted, full_at)
SELECT $1, $2, now.s, least($3::int, $5::int), now.s + least($3::int, $5::int) * $4::float8
FROM tenant, (SELECT extract(epoch FROM clock_timestamp())::float8 AS s) AS now
ON CONFLICT (endpoint_id) DO UPDATE SET
    seen_at = excluded.seen_at,
    granted = greatest(0, least($3::int,
        floor(($5::int * $4::float8 - greatest(l.full_at - excluded.seen_at, 0)) / $4::float8 + 1e-6)))::int,
    full_at = greatest(l.full_at, excluded.seen_at) + $4::float8 * greatest(0, least($3::int,
        floor(($5::int * $4::float8 - greatest(l.full_at - excluded.seen_at, 0)) / $4::float8 + 1e-6)))::int
RETURNING granted, full_at - seen_at - ($5::int - 1) * $4::float8 AS wait_s
"""


def _enqueue_sql(expressions: dict[str, str]) -> str:
    """The durable queue's own statement, with columns of ours in the place of its parameters."""
    sql, _ = enqueue_statement(Job(service=SERVICE, queue=QUEUE, workflow=WORKFLOW, workflow_id="-"))
    return re.sub(r"\$\d", lambda parameter: expressions[parameter.group()], sql)


_RECORD = f"""
WITH {_TENANT},
offered AS MATERIALIZED (
    SELECT u.* FROM tenant, unnest(
        $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[], $9::text[], $10::text[], $11::text[])
        AS u(delivery_id, delivery_key, event_type, event, body_sha256, correlation_id, traceparent, partition)),
inserted AS (
    INSERT INTO orchestrator_deliveries (delivery_id, org_id, endpoint_id, source, delivery_key, event_type, event,
        body_sha256, correlation_id, traceparent)
    SELECT delivery_id, $1, $2, $3, delivery_key, event_type, event::jsonb, body_sha256, correlation_id, traceparent
    FROM offered
    ON CONFLICT (endpoint_id, delivery_key) DO NOTHING
    RETURNING delivery_id),
jobs AS MATERIALIZED (
    SELECT delivery_id, ({
    _enqueue_sql(
        {
            "$1": f"'{WORKFLOW}'",
            "$2": f"'{QUEUE}'",
            "$3": "ARRAY[delivery_id, $1]",
            "$4": "delivery_id",
            "$5": "partition",
            "$6": f"'{SERVICE}'",
        }
    )
}) AS job FROM inserted JOIN offered USING (delivery_id))
SELECT delivery_id, job FROM jobs
"""


@dataclass(frozen=True)
class EndpointRow:
    """An endpoint as it stands, with its sealed secrets that have not expired: (id, ciphertext, expiry)."""

    endpoint_id: str
    org_id: str
    source: str
    rate_per_minute: int
    burst: int
    disabled: bool
    secrets: tuple[tuple[str, bytes, datetime | None], ...]


@dataclass(frozen=True)
class NewDelivery:
    """One verified delivery to be recorded. `event` is the parsed event as JSON."""

    delivery_id: str
    delivery_key: str
    event_type: str
    event: str
    body_sha256: bytes
    correlation_id: str
    traceparent: str | None
    partition: str


@dataclass(frozen=True)
class RefusalCount:
    """How often one endpoint refused for one reason since the last count, with a few samples (no bodies)."""

    endpoint_id: str
    org_id: str
    day: date
    reason: str
    count: int
    last_at: datetime
    samples: Sequence[dict[str, Any]]


class IngressStore:
    """The statements. Everything it raises while the database is away is Unavailable."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def endpoint(self, endpoint_id: str) -> EndpointRow | None:
        """The endpoint with this id: read by proof of knowing it; its secrets then as its tenant."""
        with _reachable():
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute("SELECT set_config('incidentfox.endpoint_id', $1, true)", endpoint_id)
                row = await connection.fetchrow(
                    "SELECT org_id, source, rate_per_minute, burst, disabled_at IS NOT NULL AS disabled"
                    " FROM orchestrator_webhook_endpoints WHERE endpoint_id = $1",
                    endpoint_id,
                )
                if row is None:
                    return None
                await connection.execute("SELECT set_config('incidentfox.org_id', $1, true)", row["org_id"])
                secrets = await connection.fetch(
                    "SELECT secret_id, ciphertext, expires_at FROM orchestrator_webhook_secrets"
                    " WHERE endpoint_id = $1 AND (expires_at IS NULL OR expires_at > now()) ORDER BY secret_id DESC",
                    endpoint_id,
                )
        return EndpointRow(endpoint_id, **dict(row), secrets=tuple(tuple(secret) for secret in secrets))

    async def take(self, endpoint: EndpointRow, count: int) -> tuple[int, float]:
        """Takes up to `count` deliveries from the endpoint's limit: how many it got, and seconds until the next."""
        interval_s = 60.0 / endpoint.rate_per_minute
        with _reachable():
            row = await self._pool.fetchrow(
                _TAKE, endpoint.org_id, endpoint.endpoint_id, count, interval_s, endpoint.burst
            )
        return row["granted"], max(0.0, row["wait_s"])

    async def record(self, endpoint: EndpointRow, deliveries: Sequence[NewDelivery]) -> frozenset[str]:
        """Records and enqueues, all or nothing. Returns the ids that are new; the others repeat a key."""
        ordered = sorted(deliveries, key=lambda delivery: delivery.delivery_key)  # one order everywhere: no deadlock
        columns = zip(*(_columns(delivery) for delivery in ordered), strict=True)
        with _reachable():
            rows = await self._pool.fetch(
                _RECORD, endpoint.org_id, endpoint.endpoint_id, endpoint.source, *(list(column) for column in columns)
            )
        return frozenset(row["delivery_id"] for row in rows)

    async def announce(self) -> None:
        """Tells the workers that there is work, so that they need not wait for their next poll.

        A transaction of its own: commits that notify wait for one another, and these write nothing to disk.
        """
        with _reachable():
            await self._pool.execute("SELECT pg_notify($1, '')", QUEUED)

    async def recorded_as(self, endpoint: EndpointRow, delivery_key: str) -> str | None:
        """The delivery that has this key already."""
        with _reachable():
            async with self._pool.acquire() as connection, connection.transaction():
                await _enter(connection, endpoint.org_id)
                found: str | None = await connection.fetchval(
                    "SELECT delivery_id FROM orchestrator_deliveries WHERE endpoint_id = $1 AND delivery_key = $2",
                    endpoint.endpoint_id,
                    delivery_key,
                )
        return found

    async def add_refusals(self, org_id: str, counts: Sequence[RefusalCount], keep_days: int = 90) -> None:
        """Adds to the counters of one tenant and keeps the newest samples; forgets what is old."""
        with _reachable():
            async with self._pool.acquire() as connection, connection.transaction():
                await _enter(connection, org_id)
                for count in counts:
                    await connection.execute(
                        f"""
                        INSERT INTO orchestrator_refusals AS r
                            (endpoint_id, day, reason, org_id, count, last_at, samples)
                        VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb)
                        ON CONFLICT (endpoint_id, day, reason) DO UPDATE SET
                            count = r.count + excluded.count, last_at = greatest(r.last_at, excluded.last_at),
                            samples = (SELECT coalesce(jsonb_agg(s ORDER BY n), '[]') FROM
                                jsonb_array_elements(excluded.samples || r.samples) WITH ORDINALITY AS e(s, n)
                                WHERE n <= {SAMPLES_KEPT})
                        """,
                        count.endpoint_id,
                        count.day,
                        count.reason,
                        org_id,
                        count.count,
                        count.last_at,
                        json.dumps(list(count.samples)),
                    )
                    await connection.execute(
                        "DELETE FROM orchestrator_refusals WHERE endpoint_id = $1 AND day < $2::date - $3::int",
                        count.endpoint_id,
                        count.day,
                        keep_days,
                    )

    async def ping(self) -> None:
        """Raises Unavailable unless the database answers."""
        with _reachable():
            await self._pool.fetchval("SELECT 1")


async def open_pool(database_url: str, size: int) -> asyncpg.Pool:
    """The pool of the hot path. Connects lazily, so that a service starts while its database is still away."""
    return await asyncpg.create_pool(
        database_url,
        min_size=0,
        max_size=size,
        timeout=5,
        command_timeout=15,
        max_inactive_connection_lifetime=300,
        reset=_nothing_to_reset,
        server_settings={"application_name": "incidentfox-ingress"},
    )


async def _nothing_to_reset(_: asyncpg.Connection) -> None:
    """Every setting of the session ends with its transaction, so that the usual reset would be a round trip in vain."""


def _columns(delivery: NewDelivery) -> tuple[object, ...]:
    return (
        delivery.delivery_id,
        delivery.delivery_key,
        delivery.event_type,
        delivery.event,
        delivery.body_sha256,
        delivery.correlation_id,
        delivery.traceparent,
        delivery.partition,
    )


async def _enter(connection: asyncpg.Connection, org_id: str) -> None:
    await connection.execute(
        "SELECT set_config('incidentfox.org_id', $1, true), set_config('incidentfox.team_node_id', '*', true)", org_id
    )


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except DATABASE_AWAY as error:
        raise Unavailable("The database is not reachable.", code="database_unavailable") from error
