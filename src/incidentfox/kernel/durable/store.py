"""Every SQL statement that this package sends itself, on a small asyncpg pool.

The tables are DBOS's own (3.4, `dbos/_schemas/system_database.py`); each statement mirrors one of its methods, named
beside it, or does what it has no method for. Times in the tables are Unix milliseconds of the database's clock.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import asyncpg  # type: ignore[import-untyped]

from incidentfox.kernel.durable.enqueue import Job, enqueue_statement
from incidentfox.kernel.durable.options import EngineSettings, QueueOptions, State, WorkflowStatus
from incidentfox.kernel.durable.schema import NotMigrated

_NOW_MS = "(extract(epoch FROM now()) * 1000)::bigint"
_STATES = {
    "ENQUEUED": State.QUEUED,
    "DELAYED": State.WAITING,
    "PENDING": State.RUNNING,
    "SUCCESS": State.SUCCEEDED,
    "ERROR": State.FAILED,
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": State.FAILED,
    "CANCELLED": State.CANCELLED,
}


def lock_key_sql(placeholder: str) -> str:
    """The advisory-lock key of an executor: whoever lives holds it, so a free one means a dead executor."""
    return f"hashtextextended({placeholder}, 0)"


class Store:
    """The statements, bound to one service's schema."""

    def __init__(self, settings: EngineSettings, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._schema = settings.schema
        self._service = settings.service

    @classmethod
    async def connect(cls, settings: EngineSettings) -> Store:
        """Opens the pool: two connections at most, closed again after a minute of idleness."""
        pool = await asyncpg.create_pool(
            settings.plain_url,
            min_size=0,
            max_size=2,
            max_inactive_connection_lifetime=60,
            command_timeout=30,
            server_settings={"application_name": f"{settings.service}-durable"},
        )
        return cls(settings, pool)

    async def close(self) -> None:
        """Closes the pool."""
        await self._pool.close()

    async def check_schema(self, required: int) -> None:
        """Raises NotMigrated unless the schema is there, open to this role and at least at version `required`."""
        may_use = await self._pool.fetchval(
            "SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = $1", self._schema
        )
        if may_use is None:
            raise NotMigrated(f"Schema {self._schema} does not exist: migrate the database as its owner first.")
        if not may_use:
            raise NotMigrated(f"This role may not use schema {self._schema}: migrate the database as its owner first.")
        version = await self._pool.fetchval(f"SELECT max(version) FROM {self._schema}.dbos_migrations")
        if (version or 0) < required:
            raise NotMigrated(
                f"Schema {self._schema} is at version {version or 0}, this release needs {required}: "
                "migrate the database as its owner first."
            )

    async def declare_queue(self, queue: QueueOptions, poll_interval_s: float) -> None:
        """Writes a queue's limits (upsert_queue). The worker that launched last decides them for all."""
        rate = queue.rate
        limits = (
            queue.concurrency_per_partition,
            queue.worker_concurrency,
            rate.limit if rate and not queue.partitioned else None,
            rate.period_s if rate and not queue.partitioned else None,
            rate.limit if rate and queue.partitioned else None,
            rate.period_s if rate and queue.partitioned else None,
        )
        await self._pool.execute(
            f"""
            INSERT INTO {self._schema}.queues (
                name, application_name, polling_interval_sec, partition_queue,
                partition_concurrency, worker_concurrency, rate_limit_max, rate_limit_period_sec,
                partition_rate_limit_max, partition_rate_limit_period_sec,
                priority_enabled, created_at, updated_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, true, {_NOW_MS}, {_NOW_MS})
            ON CONFLICT (name) DO UPDATE SET
                polling_interval_sec = excluded.polling_interval_sec,
                partition_queue = excluded.partition_queue,
                partition_concurrency = excluded.partition_concurrency,
                worker_concurrency = excluded.worker_concurrency,
                rate_limit_max = excluded.rate_limit_max,
                rate_limit_period_sec = excluded.rate_limit_period_sec,
                partition_rate_limit_max = excluded.partition_rate_limit_max,
                partition_rate_limit_period_sec = excluded.partition_rate_limit_period_sec,
                updated_at = excluded.updated_at
            """,
            queue.name,
            self._service,
            poll_interval_s,
            queue.partitioned,
            *limits,
        )

    async def enqueue(self, job: Job) -> None:
        """Commits one workflow to its queue, unless its id is known."""
        sql, parameters = enqueue_statement(job)
        await self._pool.fetchval(sql, *parameters)

    async def status(self, workflow_id: str) -> WorkflowStatus | None:
        """What is on record about a workflow, or None."""
        found = await self.statuses([workflow_id])
        return found.get(workflow_id)

    async def statuses(self, workflow_ids: Sequence[str]) -> dict[str, WorkflowStatus]:
        """What is on record about several workflows, by id; unknown ones are left out."""
        rows = await self._pool.fetch(
            f"""
            SELECT w.workflow_uuid, w.name, w.status, w.queue_partition_key, w.recovery_attempts,
                   w.created_at, w.completed_at, coalesce(o.error, w.error) AS error
            FROM {self._schema}.workflow_status w LEFT JOIN {self._schema}.workflow_output o USING (workflow_uuid)
            WHERE w.workflow_uuid = ANY($1::text[])
            """,
            list(workflow_ids),
        )
        return {row["workflow_uuid"]: _status(row) for row in rows}

    async def cancel(self, workflow_id: str) -> bool:
        """Ends a workflow for good unless it is over (cancel_workflows). True if this call did."""
        tag: str = await self._pool.execute(
            f"""
            UPDATE {self._schema}.workflow_status
            SET status = 'CANCELLED', owner_xid = NULL, queue_name = NULL, deduplication_id = NULL,
                started_at_epoch_ms = NULL, updated_at = {_NOW_MS}, completed_at = {_NOW_MS}
            WHERE workflow_uuid = $1 AND status IN ('ENQUEUED', 'DELAYED', 'PENDING')
            """,
            workflow_id,
        )
        return tag == "UPDATE 1"

    async def park(self, workflow_id: str, owner: str, delay_s: float, note: dict[str, object]) -> bool:
        """Gives a running workflow's place up for `delay_s` seconds and keeps `note` (a JSON object) with it.

        Only for the execution that owns it (`owner`); False if that is no longer the caller. Does not count as a
        recovery. The library puts it back into its queue (transition_delayed_workflows, once a second).
        """
        tag: str = await self._pool.execute(
            f"""
            UPDATE {self._schema}.workflow_status
            SET status = 'DELAYED', delay_until_epoch_ms = {_NOW_MS} + $3::bigint, owner_xid = NULL,
                executor_id = NULL, started_at_epoch_ms = NULL, updated_at = {_NOW_MS},
                recovery_attempts = greatest(recovery_attempts - 1, 0),
                attributes = coalesce(attributes, '{{}}'::jsonb) || $4::jsonb
            WHERE workflow_uuid = $1 AND owner_xid = $2 AND status = 'PENDING'
            """,
            workflow_id,
            owner,
            int(delay_s * 1000),
            json.dumps(note),
        )
        return tag == "UPDATE 1"

    async def note(self, workflow_id: str) -> dict[str, object]:
        """What `park` last kept with a workflow."""
        text = await self._pool.fetchval(
            f"SELECT attributes::text FROM {self._schema}.workflow_status WHERE workflow_uuid = $1", workflow_id
        )
        return dict(json.loads(text)) if text else {}

    async def recover(self, own_executor_id: str) -> list[str]:
        """Returns to their queues the running workflows of executors that no longer live (reenqueue_for_recovery).

        Dead is who no longer holds the advisory lock on its id. Holding that lock meanwhile keeps two sweepers from
        doing it twice; the change of owner keeps a sweep from ever touching what somebody has since claimed.
        """
        rows = await self._pool.fetch(
            f"""
            WITH executors AS MATERIALIZED (
                SELECT DISTINCT executor_id FROM {self._schema}.workflow_status
                WHERE status = 'PENDING' AND executor_id <> $1),
            dead AS MATERIALIZED (
                SELECT executor_id FROM executors WHERE pg_try_advisory_xact_lock({lock_key_sql("executor_id")}))
            UPDATE {self._schema}.workflow_status w
            SET status = 'ENQUEUED', owner_xid = NULL, started_at_epoch_ms = NULL, updated_at = {_NOW_MS}
            FROM dead WHERE w.executor_id = dead.executor_id AND w.status = 'PENDING'
            RETURNING w.workflow_uuid
            """,
            own_executor_id,
        )
        return [row["workflow_uuid"] for row in rows]

    async def hand_back(self, executor_id: str, running: Iterable[str], older_than_s: float) -> list[str]:
        """Returns to their queues the workflows this executor claimed at least so long ago but does not run.

        That happens to one whose claim reached a process that was stopping, or that does not know its name.
        """
        rows = await self._pool.fetch(
            f"""
            UPDATE {self._schema}.workflow_status
            SET status = 'ENQUEUED', owner_xid = NULL, started_at_epoch_ms = NULL, updated_at = {_NOW_MS}
            WHERE status = 'PENDING' AND executor_id = $1 AND workflow_uuid <> ALL($2::text[])
              AND started_at_epoch_ms <= {_NOW_MS} - $3::bigint
            RETURNING workflow_uuid
            """,
            executor_id,
            list(running),
            int(older_than_s * 1000),
        )
        return [row["workflow_uuid"] for row in rows]

    async def purge(self, older_than_s: float, batch: int = 500) -> int:
        """Deletes workflows that ended longer ago, with all they recorded (delete_workflows). Returns how many."""
        deleted = 0
        while True:
            count: int = await self._pool.fetchval(
                f"""
                WITH old AS MATERIALIZED (
                    SELECT workflow_uuid FROM {self._schema}.workflow_status
                    WHERE completed_at < {_NOW_MS} - $1::bigint
                      AND status IN ('SUCCESS', 'ERROR', 'CANCELLED', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED')
                    LIMIT $2 FOR UPDATE SKIP LOCKED),
                inputs AS (DELETE FROM {self._schema}.workflow_input USING old
                    WHERE workflow_input.workflow_uuid = old.workflow_uuid),
                outputs AS (DELETE FROM {self._schema}.workflow_output USING old
                    WHERE workflow_output.workflow_uuid = old.workflow_uuid),
                steps AS (DELETE FROM {self._schema}.operation_outputs USING old
                    WHERE operation_outputs.workflow_uuid = old.workflow_uuid),
                gone AS (DELETE FROM {self._schema}.workflow_status USING old
                    WHERE workflow_status.workflow_uuid = old.workflow_uuid RETURNING 1)
                SELECT count(*) FROM gone
                """,
                int(older_than_s * 1000),
                batch,
            )
            deleted += count
            if count < batch:
                return deleted


def _status(row: asyncpg.Record) -> WorkflowStatus:
    state = _STATES[row["status"]]
    error = _error_text(row["error"]) if state is State.FAILED else None
    if row["status"] == "MAX_RECOVERY_ATTEMPTS_EXCEEDED":
        error = f"Given up after {row['recovery_attempts']} dispatches: its workers died or lost it each time."
    return WorkflowStatus(
        workflow_id=row["workflow_uuid"],
        workflow=row["name"],
        state=state,
        partition=row["queue_partition_key"],
        dispatches=row["recovery_attempts"] or 0,
        created_at=row["created_at"] / 1000,
        completed_at=row["completed_at"] / 1000 if row["completed_at"] else None,
        error=error,
    )


def _error_text(recorded: str | None) -> str:
    try:
        error = json.loads(recorded or "{}")
    except ValueError:
        return recorded or ""
    return f"{error.get('name', 'Error')}: {error.get('message', '')}"
