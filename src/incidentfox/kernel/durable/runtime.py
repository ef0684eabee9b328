"""DBOS, kept in one drawer: starting it quietly in this process, pausing it, running a step, taking it down.

The only module of the product that imports dbos, and the only one that knows its private names (each is used because
the public interface has no word for it; the pin to one minor version in pyproject.toml is what makes that safe).
Imported only when an engine is launched or a schema migrated: importing dbos costs half a second and 40 MB.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, WorkflowSerializationFormat
from dbos._context import current_owner_xid
from dbos._error import DBOSWorkflowCancelledError, DBOSWorkflowConflictIDError
from dbos._migration import get_dbos_migrations
from dbos._queue import queue_worker_thread
from dbos._utils import GlobalParams

from incidentfox.kernel.durable.bell import Bell
from incidentfox.kernel.durable.options import EngineSettings, QueueOptions
from incidentfox.kernel.durable.turns import Turns
from incidentfox.kernel.errors import Failure

WorkflowBody = Callable[..., Awaitable[None]]

_THREADS = 16
_SAY_AGAIN_S = 30.0
_LOOKS_PER_POLL = 4
"""How many looks into a queue there are in one poll interval at most, however often the bell rings."""
_SAME_PREFIX = 32
_LIBRARY_LOG = logging.getLogger("dbos")


_MISSING_S = 1.0


class Abandoned(BaseException):
    """This execution of a workflow is over though the workflow is not: it was parked, cancelled or taken over.

    A BaseException, so that no handler in a workflow takes it for a failure and nothing is recorded for it.
    """


class _Noise(logging.Filter):
    """Drops what the library says about executions that were abandoned or that failed on purpose, and its repetitions.

    The first two are in the workflow's row, and the worker logs the second in its own words. The last are what every
    poll says, ten times a second, while the database is away.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        text = str(record.msg)
        if text.startswith(("Asyncio task cancelled for workflow or step", "Current version '")):
            return False
        raised = record.exc_info[1] if record.exc_info else None
        if isinstance(raised, Failure | Abandoned):
            return False
        if record.levelno > logging.WARNING:
            return True
        key, now = text[:_SAME_PREFIX], time.monotonic()
        if now - self._said_at.get(key, -_SAY_AGAIN_S) < _SAY_AGAIN_S:
            return False
        self._said_at[key] = now
        return True


def latest_schema_version(schema: str) -> int:
    """The number of the newest schema migration that the installed library brings."""
    return len(get_dbos_migrations(schema, use_listen_notify=True))


def migrate_schema(owner_url: str, schema: str) -> None:
    """Brings the schema up to date as its owner. Blocking; safe to repeat and to run in parallel."""
    _quieten()
    DBOS.migrate(owner_url, schema=schema)


class Runtime:
    """The library's singleton, for as long as one engine is launched in this process."""

    def __init__(self, settings: EngineSettings, workflows: Mapping[str, WorkflowBody], executor_id: str) -> None:
        _quieten()
        # Read from the environment at import; nothing may switch the vendor's cloud on from outside.
        GlobalParams.dbos_cloud = False
        self._settings = settings
        self._paused = False
        self._bells: dict[str, Bell] = {}
        config: DBOSConfig = {
            "name": settings.service,
            "system_database_url": settings.plain_url,
            "dbos_system_schema": settings.schema,
            "application_version": settings.version_name,
            "executor_id": executor_id,
            "serializer": DBOSPortableJSONSerializer(),
            "run_migrations": False,
            # Only send/recv, events and streams notify, none of which is offered here: off, it saves a connection
            # and a thread that wakes a hundred times a second. Queues are polled either way.
            "use_listen_notify": False,
            # An idle loop that merely delays shutdown by up to this long.
            "notification_listener_polling_interval_sec": 0.25,
            "sys_db_pool_size": settings.pool_size,
            "max_executor_threads": _THREADS,
            "enable_otlp": False,
            "log_level": "WARNING",
        }
        DBOS(config=config)
        for name, body in workflows.items():
            DBOS.workflow(
                name=name,
                max_recovery_attempts=settings.max_recoveries,
                serialization_type=WorkflowSerializationFormat.PORTABLE,
            )(body)

    async def launch(self, queues: Iterable[QueueOptions]) -> None:
        """Starts polling. The workflows run on the loop that calls this."""
        dbos = _instance()
        # Launching blocks on the database, so it runs in a thread; the library would then take a loop of its own.
        dbos._background_event_loop._main_loop = asyncio.get_running_loop()
        DBOS.listen_queues([])  # our queues are looked into by threads of our own, which a bell can wake
        await asyncio.to_thread(DBOS.launch)
        database = dbos._sys_db
        scopes = database.dequeue_scopes
        # Asked before each claim: the one place where claiming can be held back while everything else goes on.
        database.dequeue_scopes = lambda queue_name: [] if self._paused else scopes(queue_name)  # type: ignore[method-assign]
        # By default only workers of the newest version *ever registered* take work that has not started, so that
        # rolling back would stop all work without a word. Here any worker takes it.
        database._is_latest_version = lambda *_: True  # type: ignore[method-assign]
        declared = list(queues)
        _take_turns(dbos, {queue.name: Turns(queue.worker_concurrency_per_group) for queue in declared})
        for queue in declared:
            await asyncio.to_thread(self._look_into, dbos, queue.name)

    def _look_into(self, dbos: DBOS, queue_name: str) -> None:
        """Starts the thread that takes work from a queue: the library's own, but for what it waits on."""
        bell = Bell(self._settings.poll_interval_s / _LOOKS_PER_POLL)
        queue: Any = dbos._sys_db.get_queue(queue_name)

        def look() -> None:
            while not bell.is_set():
                queue_worker_thread(bell, dbos, queue)
                bell.wait(_MISSING_S)  # it returned though it is not to stop: the queue's row is gone

        thread = threading.Thread(target=look, name=f"queue-{queue_name}", daemon=True)
        dbos.background_thread_stop_events.append(bell)
        dbos._background_threads.append(thread)
        self._bells[queue_name] = bell
        thread.start()

    def ring(self, queue_name: str) -> None:
        """Looks into the queue now, unless that has just been done."""
        if queue_name in self._bells:
            self._bells[queue_name].ring()

    def pause(self) -> None:
        """Claims no more work; what runs goes on."""
        self._paused = True

    def resume(self, executor_id: str) -> None:
        """Claims work again, under a new name."""
        GlobalParams.executor_id = executor_id
        self._paused = False

    def owner_token(self, workflow_id: str) -> str | None:
        """The token that this execution holds on its workflow's row. Call inside the workflow."""
        return current_owner_xid(workflow_id)

    async def run_step(self, name: str, body: Callable[[], Awaitable[Any]]) -> Any:
        """Runs `body` once and records its result, or returns the recorded one. Call inside a workflow.

        Takes its place in the order of steps before it first waits. Raises Abandoned when the workflow was cancelled
        or taken over by another worker.
        """

        async def step() -> Any:
            return await body()

        try:
            # Preemptible: one query a second per process notices that a workflow was cancelled, and ends its step.
            return await DBOS.run_step_async({"name": name, "preemptible": True}, step)
        except (DBOSWorkflowCancelledError, DBOSWorkflowConflictIDError) as gone:
            raise Abandoned(str(gone)) from None

    async def destroy(self) -> None:
        """Ends the library's threads and connections and forgets the workflows."""
        # A thread that waits for a database that is away would try for ever, and keep the process from ending.
        _instance()._sys_db._retry_connection_errors = False
        await asyncio.to_thread(DBOS.destroy, destroy_registry=True)
        # The library made its own pool the loop's default, and has just shut it down.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "worker"))


def current_workflow_id() -> str:
    """The id of the workflow that the caller runs in."""
    workflow_id = DBOS.workflow_id
    if workflow_id is None:
        raise RuntimeError("Not inside a workflow.")
    return workflow_id


def _instance() -> DBOS:
    from dbos._dbos import _get_dbos_instance

    return _get_dbos_instance()


def _take_turns(dbos: DBOS, turns: Mapping[str, Turns]) -> None:
    """Serves the keys of a partitioned queue in turn, where the library serves them by chance, and bounds each group.

    The library asks for the keys once per poll and then claims for one after the other.
    """
    database: Any = dbos._sys_db
    active: Any = dbos._active_workflows_set
    partitions, claim = database.get_queue_partitions, database.start_queued_workflows

    def running(queue_name: str) -> list[str]:
        with active._lock:
            buckets = [bucket for executions in active._m.values() for bucket in executions if bucket]
        return [key for name, key in buckets if name == queue_name and key is not None]

    def in_turn(queue_name: str) -> list[str]:
        if queue_name not in turns:
            return list(partitions(queue_name))
        return turns[queue_name].order(partitions(queue_name), running(queue_name))

    def claim_and_note(
        queue: Any, executor_id: str, version: str, key: str | None, load: int = 0, *args: Any, **more: Any
    ) -> Any:
        if key is None or queue.name not in turns:
            return claim(queue, executor_id, version, key, load, *args, **more)
        room = turns[queue.name].room(key)
        if not room:
            return [], None
        # How much is claimed follows from how much runs in this worker: what a group has no room for counts as that.
        load = max(load, queue._worker_concurrency - room)
        claimed = claim(queue, executor_id, version, key, load, *args, **more)
        if claimed[0]:
            turns[queue.name].served(key, len(claimed[0]))
        return claimed

    database.get_queue_partitions, database.start_queued_workflows = in_turn, claim_and_note


def _quieten() -> None:
    # With a handler present the library adds none of its own and keeps propagating: the service's logging decides.
    if not _LIBRARY_LOG.handlers:
        _LIBRARY_LOG.addHandler(logging.NullHandler())
    if not any(isinstance(known, _Noise) for known in _LIBRARY_LOG.filters):
        _LIBRARY_LOG.addFilter(_Noise())
    _LIBRARY_LOG.setLevel(logging.WARNING)
