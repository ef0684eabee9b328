"""Puts a workflow on a service's queue inside the caller's own transaction, so that job and rows commit together.

Called by request handlers (the webhook door) with whatever connection they already hold; nothing here opens one, and
nothing here needs an engine or imports its library. A workflow id that is already known starts nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from incidentfox.kernel.durable.options import schema_name


class AsyncpgConnection(Protocol):
    """What is used of an asyncpg connection (or one of its pool)."""

    async def fetchval(self, query: str, *args: Any) -> Any:
        """Runs one statement and returns the first column of its first row."""


class SqlalchemyConnection(Protocol):
    """What is used of SQLAlchemy's AsyncConnection on the asyncpg driver."""

    async def exec_driver_sql(self, statement: str, parameters: Any = None) -> Any:
        """Runs a statement in the driver's own parameter style."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One workflow to be run: `workflow(*args)` of `service`, through `queue`.

    `args` are ids, never secrets and never payloads: they are kept in plain text. `partition` is the key whose
    concurrency and rate are limited (team, organisation, endpoint): required by a partitioned queue, and None for any
    other; a mismatch would leave the job in the queue for ever.
    """

    service: str
    queue: str
    workflow: str
    workflow_id: str
    args: Sequence[str] = ()
    partition: str | None = None


def enqueue_statement(job: Job) -> tuple[str, tuple[str, str, list[str], str, str | None, str]]:
    """The statement and its parameters, in Postgres's own style (`$1`), which both drivers take as they are.

    May be used as a common table expression of a larger statement; the parameters are then the caller's to renumber.
    Raises TypeError for an argument that is not a string, ValueError for an empty id or a NUL in any of them.
    """
    for value in (
        job.workflow_id,
        job.workflow,
        job.queue,
        *job.args,
        *(() if job.partition is None else (job.partition,)),
    ):
        if not isinstance(value, str):
            raise TypeError(f"Workflow inputs are ids, hence strings; got {type(value).__name__}.")
        if "\0" in value:
            raise ValueError("Workflow inputs must not contain a NUL character.")
    if not job.workflow_id.strip():
        raise ValueError("The workflow id must not be empty.")
    sql = (
        f"SELECT {schema_name(job.service)}.enqueue_workflow("
        "workflow_name => $1, queue_name => $2, "
        "positional_args => (SELECT coalesce(array_agg(to_json(a) ORDER BY n), ARRAY[]::json[])"
        " FROM unnest($3::text[]) WITH ORDINALITY AS u(a, n)), "
        "workflow_id => $4, queue_partition_key => $5, application_name => $6)"
    )
    return sql, (job.workflow, job.queue, list(job.args), job.workflow_id, job.partition, job.service)


async def enqueue(connection: AsyncpgConnection, job: Job) -> None:
    """Enqueues on an asyncpg connection, in its current transaction (or its own, if none is open)."""
    sql, parameters = enqueue_statement(job)
    await connection.fetchval(sql, *parameters)


async def enqueue_sqlalchemy(connection: SqlalchemyConnection, job: Job) -> None:
    """Enqueues on a SQLAlchemy AsyncConnection (asyncpg driver), in its current transaction."""
    sql, parameters = enqueue_statement(job)
    await connection.exec_driver_sql(sql, parameters)
