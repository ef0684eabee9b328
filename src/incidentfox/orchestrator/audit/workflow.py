"""The durable workflow `append_audit`: from a committed change to its event in the audit, however long that is away."""

from __future__ import annotations

from incidentfox.kernel.durable import FOR_EVER, Engine
from incidentfox.orchestrator.audit.service import QUEUE, WORKFLOW, Outbox


def declare_audit(engine: Engine, outbox: Outbox) -> None:
    """Declares the queue of audit events and the workflow that takes them; called by the worker before it launches."""
    engine.queue(QUEUE, concurrency_per_partition=2, worker_concurrency=4)

    @engine.workflow(WORKFLOW)
    async def append_audit(event_id: str, org_id: str) -> None:
        await engine.step("deliver", lambda: outbox.deliver(event_id, org_id), retry=FOR_EVER)
