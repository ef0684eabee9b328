"""The words of durable execution: settings, queues, retries, and what a workflow's state looks like.

Plain frozen values, shared by every module of this package and by the two services that use it
(the orchestrator's worker and the agent). Nothing here touches a database.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from enum import StrEnum

_SERVICE = re.compile(r"[a-z][a-z0-9_]{2,40}")


def schema_name(service: str) -> str:
    """The Postgres schema of a service's durable state: `agent` → `agent_dbos`.

    Raises ValueError for a name that is not a plain lower-case identifier: it is spliced into SQL.
    """
    if not _SERVICE.fullmatch(service):
        raise ValueError(f"Not a service name: {service!r} (lower-case letters, digits and underscores, 3 to 41).")
    return f"{service}_dbos"


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """How one process takes part in durable execution. Read from the environment by the service's settings.py.

    `version` is the version of the workflows' shape (order and names of their steps): raise it only when a workflow
    that is already running could not continue under the new code. A started workflow is continued only by a worker of
    the version that started it; one that has not started yet is taken by any worker.
    """

    service: str
    database_url: str
    version: int = 1
    poll_interval_s: float = 0.1
    """How often a worker looks for queued work: the mean wait of an idle worker is half of it."""
    sweep_interval_s: float = 0.5
    """How often a worker looks for work that a dead peer left behind."""
    lost_after_s: float = 15.0
    """A workflow that this worker claimed but is not running after so long is handed back."""
    heartbeat_s: float = 1.0
    """How often the lease's connection is tried; the worker fences itself after six silent seconds more."""
    park_after_s: float = 5.0
    """A wait at least this long gives up the workflow's place in its queue (state `waiting`)."""
    turn_s: float = 0.5
    """How long an execution keeps the next of its group from beginning, at most."""
    max_recoveries: int = 1000
    """After so many dispatches a workflow is failed for good: it most likely kills its workers."""
    retention_s: float | None = 7 * 86_400.0
    """Finished workflows older than this are deleted by the running workers; None keeps them."""
    purge_interval_s: float = 600.0
    pool_size: int = 8
    """Connections for checkpoints. A worker opens at most this many and three more."""

    @property
    def plain_url(self) -> str:
        """`database_url` without a SQLAlchemy driver in its scheme."""
        return re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", self.database_url)

    @property
    def schema(self) -> str:
        """The schema that `migrate()` made for this service."""
        return schema_name(self.service)

    @property
    def version_name(self) -> str:
        """How this version is named in the rows."""
        return f"{self.service}-v{self.version}"


@dataclass(frozen=True)
class Rate:
    """At most `limit` starts per `period_s` seconds: per partition in a partitioned queue, else for the queue."""

    limit: int
    period_s: float


@dataclass(frozen=True)
class QueueOptions:
    """A queue as `Engine.queue` declared it. Limits hold across all workers; `worker_…` ones within each."""

    name: str
    partitioned: bool
    concurrency_per_partition: int | None
    worker_concurrency: int
    rate: Rate | None
    worker_concurrency_per_group: int | None = None


@dataclass(frozen=True, kw_only=True)
class Retry:
    """When a step is tried again: after `Temporary` failures only, with exponential back-off and jitter.

    `attempts=None` never gives up (for a peer service that is away). The n-th wait is `base_s * 2**(n-1)`, at most
    `cap_s`, give or take 20 %; a failure's own `retry_after_s` prolongs it.
    """

    attempts: int | None = 5
    base_s: float = 0.2
    cap_s: float = 30.0

    def delay_s(self, failures: int, retry_after_s: float | None = None) -> float:
        """Seconds to wait after the given number of failures (1 is the first)."""
        # The exponent is bounded: 2**1024 does not fit a float, and a retry without end gets there.
        backoff = min(self.cap_s, self.base_s * 2.0 ** min(failures - 1, 60))
        jittered = backoff * random.uniform(0.8, 1.2)
        return max(jittered, retry_after_s or 0.0)


NO_RETRY = Retry(attempts=1)
FOR_EVER = Retry(attempts=None, base_s=0.2, cap_s=30.0)


class State(StrEnum):
    """Where a workflow is. The last three are final."""

    QUEUED = "queued"
    WAITING = "waiting"
    """Parked: a step is to be tried again later, or the workflow sleeps. Holds no place in its queue."""
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether the workflow is over."""
        return self in (State.SUCCEEDED, State.FAILED, State.CANCELLED)


@dataclass(frozen=True, kw_only=True)
class WorkflowStatus:
    """What is on record about one workflow. Times are Unix seconds."""

    workflow_id: str
    workflow: str
    state: State
    partition: str | None
    dispatches: int
    """How often a worker took it up; more than one means it was recovered."""
    created_at: float
    completed_at: float | None
    error: str | None
    """Why it failed, for people; None unless FAILED."""
