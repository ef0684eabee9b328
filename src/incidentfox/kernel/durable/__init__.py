"""Durable execution: work that survives `kill -9`, on Postgres alone, behind a few words.

The only package that knows DBOS, and loads it only where an engine is launched or a schema migrated. See engine.py for
how it works, enqueue.py for putting work on a queue within a transaction, schema.py for the owner's migration.
"""

from incidentfox.kernel.durable.away import DATABASE_AWAY
from incidentfox.kernel.durable.engine import Engine
from incidentfox.kernel.durable.enqueue import Job, enqueue, enqueue_sqlalchemy, enqueue_statement
from incidentfox.kernel.durable.options import (
    FOR_EVER,
    NO_RETRY,
    EngineSettings,
    QueueOptions,
    Rate,
    Retry,
    State,
    WorkflowStatus,
    schema_name,
)
from incidentfox.kernel.durable.schema import NotMigrated, migrate

__all__ = [
    "DATABASE_AWAY",
    "FOR_EVER",
    "NO_RETRY",
    "Engine",
    "EngineSettings",
    "Job",
    "NotMigrated",
    "QueueOptions",
    "Rate",
    "Retry",
    "State",
    "WorkflowStatus",
    "enqueue",
    "enqueue_sqlalchemy",
    "enqueue_statement",
    "migrate",
    "schema_name",
]
