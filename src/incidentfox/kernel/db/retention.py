"""Purges what is older than its retention, in batches and in the background. Each service has one for its own tables.

What goes is decided by a function of the tables' owner (migration 0011): the services themselves may not delete it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError

from incidentfox.kernel.db.session import Database
from incidentfox.kernel.logging import get_logger

log = get_logger(__name__)

_INTERVAL_S = 600.0


class Retention:
    """Started and stopped by the composition root; any number of replicas may run one at the same time."""

    def __init__(self, database: Database, statement: str, *arguments: object) -> None:
        """`statement` purges one batch, in a transaction of its own, and returns how many rows that were."""
        self._database = database
        self._statement = statement
        self._arguments = arguments
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to purge from time to time, the first time after the interval."""
        self._task = asyncio.create_task(self._run(), name="retention")

    async def stop(self) -> None:
        """Ends; a batch that is under way is rolled back."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def purge(self) -> int:
        """Purges until nothing is left that is old enough; how many rows that were."""
        purged = 0
        while batch := await self._purge_batch():
            purged += batch
        return purged

    async def _purge_batch(self) -> int:
        async with self._database.engine.begin() as connection:
            batch: int = (await connection.exec_driver_sql(self._statement, self._arguments)).scalar_one()
            return batch

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_INTERVAL_S)
            try:
                if purged := await self.purge():
                    log.info("purged what is older than its retention", rows=purged)
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                # A loop that ended without a word would keep everything for ever.
                log.warning("purging failed, trying again", error=repr(error))
