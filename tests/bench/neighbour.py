"""Noisy neighbour: how long a quiet team's deliveries wait while another team floods, beside how long they wait alone.

The wait is from the commit of the delivery until its run has begun at the shared Agent, through both queues. The quiet
team sends one delivery at a time. The other one floods twice: about one service, and about many at once, so that it
fills as many partitions of the queue as it can.
"""

from __future__ import annotations

import asyncio
import random
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.acceptance.product import Product, Tenancy, running_product
from tests.acceptance.sender import custom_alert
from tests.bench.rows import Row, ratio_at_most

DELIVERIES = 40
AHEAD = 100
"""How many deliveries of the flood are kept waiting at any time."""
MANY = [f"service-{number}" for number in range(20)]


async def measure() -> list[Row]:
    """The rows of this subject."""
    async with running_product() as product:
        quiet = await product.tenant()
        noisy = await product.tenant(routing={"services": ["orders", *MANY]})
        await _wait(product, quiet)
        alone = await _wait(product, quiet)
        rows = [Row("wait of a quiet team alone, accepted → run begun, median", alone, "ms")]
        for what, services in (("one service", ["orders"]), (f"{len(MANY)} services", MANY)):
            async with _flood(product, noisy, services):
                beside = await _wait(product, quiet)
            rows.append(ratio_at_most(f"the same beside a team that floods ({what})", beside, alone, 2, "ms"))
    return rows


async def _wait(product: Product, tenant: Tenancy) -> float:
    """The median wait in milliseconds."""
    waits = []
    for number in range(DELIVERIES):
        await asyncio.sleep(random.Random(number).uniform(0, 0.2))
        delivery = await tenant.dispatched(tenant.custom, custom_alert())
        run = await tenant.finished(delivery.run_id or "")
        assert run.started_at is not None
        waits.append((run.started_at - delivery.received_at).total_seconds() * 1000)
    return statistics.median(waits)


@asynccontextmanager
async def _flood(product: Product, tenant: Tenancy, services: list[str]) -> AsyncIterator[None]:
    """Keeps so many deliveries ahead of the worker for as long as the block runs, then lets the queue run empty."""
    sent = 0

    async def send() -> None:
        nonlocal sent
        async with product.superuser() as connection:
            while True:
                waiting = await connection.fetchval(
                    "SELECT count(*) FROM orchestrator_deliveries WHERE org_id = $1 AND status = 'received'",
                    tenant.org_id,
                )
                for _ in range(AHEAD - waiting):
                    sent += 1
                    await tenant.custom.deliver(custom_alert(service=services[sent % len(services)]))
                await asyncio.sleep(0.05)

    flooding = asyncio.create_task(send())
    try:
        yield
    finally:
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)
