"""Seals audit events into the chain of their organisation, behind the writers' backs: no request waits for it.

Every replica runs one; an advisory lock lets one of them work on an organisation at a time, and the primary key of the
seals stands behind the lock. What a writer commits late is sealed late: an event waits on a list until it has a link.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from sqlalchemy.exc import DBAPIError

from incidentfox.config_service.audit import store
from incidentfox.config_service.audit.rules import hashed_content
from incidentfox.config_service.session import Session
from incidentfox.kernel.db.session import Database
from incidentfox.kernel.db.tenancy import ByProof
from incidentfox.kernel.errors import Failure
from incidentfox.kernel.hash_chain import Link, next_link
from incidentfox.kernel.logging import get_logger
from incidentfox.kernel.tenant import Tenant
from incidentfox.kernel.web.auth import Principal

log = get_logger(__name__)

POLL_S = 0.5

_BATCH = 500
_SCOPE = ByProof("incidentfox.audit_sealer", "on")


class Sealer:
    """Started and stopped by the composition root."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to seal, in the background."""
        self._task = asyncio.create_task(self._run(), name="audit sealer")

    async def stop(self) -> None:
        """Ends; what is not sealed yet is sealed by another replica or after the next start."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def seal_all(self) -> int:
        """Seals what waits, of every organisation that no other replica is at; how many events that were."""
        async with self._database.transaction(_SCOPE) as connection:
            orgs = await store.orgs_with_unsealed(connection)
        sealed = 0
        for org_id in orgs:
            while (batch := await self._seal_batch(org_id)) > 0:
                sealed += batch
        return sealed

    async def _run(self) -> None:
        while True:
            try:
                await self.seal_all()
            except (Failure, DBAPIError) as error:
                # The events stay on the waiting list; nothing is lost but time.
                log.warning("sealing waits", error=type(error).__name__)
            await asyncio.sleep(POLL_S)

    async def _seal_batch(self, org_id: str) -> int:
        tenant = Tenant(org_id)
        sealer = Principal("service:config-service", org_id, None, frozenset(), is_service=True)
        async with self._database.transaction(tenant) as connection:
            session = Session(connection, tenant, sealer, None)
            if not await store.lock_chain(session):
                return 0
            waiting = await store.next_unsealed(session, _BATCH)
            if not waiting:
                return 0
            point = await store.chain_end(session)
            sealed: list[tuple[int, str, Link]] = []
            for position, event in waiting:
                link = next_link(point, hashed_content(event))
                sealed.append((position, event.event_id, link))
                point = link.point
            await store.seal(session, sealed)
        # A witness outside of the database: whoever keeps the logs can later show which hash the chain ran through.
        log.info("audit sealed", org_id=org_id, seq=point.seq, hash=point.hash, events=len(sealed))
        return len(sealed)
