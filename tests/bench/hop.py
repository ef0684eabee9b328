"""Decision 003's hop: from the commit of an accepted delivery until the Agent has its run.

Both moments are the database's clock: when the delivery was received, and when the run was put on the Agent's queue.
Light load: one delivery at a time, at moments that have nothing to do with the worker's looks into its queue. An idle
worker looks once per poll interval, which therefore is the reference.
"""

from __future__ import annotations

import asyncio
import random

from tests.acceptance.product import PAGERDUTY_SERVICE, TEAM, Product, Tenancy, running_product
from tests.acceptance.sender import pagerduty_event
from tests.bench.load import percentile
from tests.bench.rows import Row, at_most

from incidentfox.agent.workflow import workflow_id
from incidentfox.orchestrator.settings import OrchestratorSettings

DELIVERIES = 100
WARM_UP = 5
BEYOND_POLL_MS = 50.0
POLL_MS = float(OrchestratorSettings.model_fields["dispatch_poll_interval_s"].default) * 1000


async def measure() -> list[Row]:
    """The rows of this subject."""
    async with running_product(on_disk=True) as product:
        tenant = await product.tenant()
        hops = [await _hop(product, tenant, number) for number in range(WARM_UP + DELIVERIES)][WARM_UP:]
    most = POLL_MS + BEYOND_POLL_MS
    return [
        at_most(f"accepted → Agent called, {name}", percentile(hops, share), most, "ms", reference=POLL_MS)
        for name, share in (("p50", 0.5), ("p99", 0.99))
    ]


async def _hop(product: Product, tenant: Tenancy, number: int) -> float:
    """One delivery, all the way; its hop in milliseconds."""
    await asyncio.sleep(random.Random(number).uniform(0, 2 * POLL_MS / 1000))
    event = pagerduty_event("incident.triggered", f"PHOP{number}", PAGERDUTY_SERVICE)
    delivery = await tenant.dispatched(tenant.pagerduty, event)
    run = await tenant.finished(delivery.run_id or "")
    async with product.superuser() as connection:
        called_ms: int = await connection.fetchval(
            "SELECT created_at FROM agent_dbos.workflow_status WHERE workflow_uuid = $1",
            workflow_id(tenant.org_id, TEAM, run.run_id),
        )
    return called_ms - delivery.received_at.timestamp() * 1000
