"""Puts a change on record in the transaction of the change, and hands the record to the Config Service later.

A call inside of the transaction would hold its locks and its connection for as long as the Config Service takes.
"""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.contracts.audit import AppendAuditEvent
from incidentfox.kernel.db.session import Database
from incidentfox.kernel.durable import Job
from incidentfox.kernel.durable import enqueue_sqlalchemy as enqueue
from incidentfox.kernel.ids import new_id
from incidentfox.kernel.tenant import Tenant
from incidentfox.orchestrator.audit import store
from incidentfox.orchestrator.peers import peer
from incidentfox.orchestrator.settings import SERVICE

QUEUE = "audit"
WORKFLOW = "append_audit"


async def record(connection: AsyncConnection, org_id: str, event: AppendAuditEvent) -> None:
    """Commits the event with whatever else the transaction holds; a worker appends it to the audit."""
    event_id = new_id("evt")
    await store.insert_event(connection, event_id, org_id, event.model_dump(mode="json"))
    job = Job(
        service=SERVICE,
        queue=QUEUE,
        workflow=WORKFLOW,
        workflow_id=event_id,
        args=(event_id, org_id),
        partition=org_id,
    )
    await enqueue(connection, job)


class Outbox:
    """Hands events over. One per worker process."""

    def __init__(self, database: Database, config_service: ConfigServiceClient) -> None:
        self._database = database
        self._config_service = config_service

    async def deliver(self, event_id: str, org_id: str) -> None:
        """Appends one event to the audit, once however often it is tried: its key makes it one."""
        async with self._database.transaction(Tenant(org_id)) as connection:
            event = await store.read_event(connection, event_id)
        if event is None:
            return
        with peer("config-service"):
            await self._config_service.append_audit_event(org_id, AppendAuditEvent.model_validate(event))
        async with self._database.transaction(Tenant(org_id)) as connection:
            await store.delete_event(connection, event_id)
