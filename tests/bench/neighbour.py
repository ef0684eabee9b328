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

from tests.acceptance.product import Product, Tenancy, running_product, until
from tests.acceptance.sender import custom_alert
from tests.bench.rows import Row, ratio_at_most

DELIVERIES = 12
ROUNDS = 3
AHEAD = 100
"""How many deliveries of the flood are kept waiting at any time."""
MANY = [f"service-{number}" for number in range(20)]
FLOODS = {"one service": ["orders"], f"{len(MANY)} services": MANY}


async def measure() -> list[Row]:
    """The rows of this subject."""
    async with running_product(on_disk=True) as product:
        quiet = await product.tenant()
        noisy = await product.tenant(routing={"services": ["orders", *MANY]})
        await _waits(quiet)
        alone: list[float] = []
        beside: dict[str, list[float]] = {what: [] for what in FLOODS}
        for _ in range(ROUNDS):  # in turns, so that a machine that slows down slows all of them
            alone += await _waits(quiet)
            for what, services in FLOODS.items():
                async with _flood(product, noisy, services):
                    beside[what] += await _waits(quiet)
                await _quiet_again(product)
    rows = [Row("wait of a quiet team alone, accepted → run begun, median", statistics.median(alone), "ms")]
    for what, waits in beside.items():
        name = f"the same beside a team that floods ({what})"
        rows.append(ratio_at_most(name, statistics.median(waits), statistics.median(alone), 2, "ms"))
    return rows


async def _waits(tenant: Tenancy) -> list[float]:
    """In milliseconds."""
    waits = []
    for number in range(DELIVERIES):
        await asyncio.sleep(random.Random(number).uniform(0, 0.2))
        delivery = await tenant.dispatched(tenant.custom, custom_alert())
        run = await tenant.finished(delivery.run_id or "")
        assert run.started_at is not None
        waits.append((run.started_at - delivery.received_at).total_seconds() * 1000)
    return waits


@asynccontextmanager
async def _flood(product: Product, tenant: Tenancy, services: list[str]) -> AsyncIterator[None]:
    """Keeps so many deliveries ahead of the worker for as long as the block runs."""
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


async def _quiet_again(product: Product) -> None:
    """Ends what the flood has left: it would weigh on what is measured next."""
    async with product.superuser() as connection:
        for schema in ("orchestrator_dbos", "agent_dbos"):
            await connection.execute(
                f"UPDATE {schema}.workflow_status SET status = 'CANCELLED' WHERE status = 'ENQUEUED'"
            )

        async def is_idle() -> bool:
            busy = "SELECT count(*) FROM {}.workflow_status WHERE status = 'PENDING'"
            counts = [await connection.fetchval(busy.format(one)) for one in ("orchestrator_dbos", "agent_dbos")]
            return not any(counts)

        await until(is_idle)
