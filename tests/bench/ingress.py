"""How many deliveries a second the door acknowledges with all checks on, beside the floor; how long senders wait.

Dispatch is paused: the worker, the Agent and everything else that is not needed to acknowledge is stopped, for both
sides alike. Rounds of ours and of the floor alternate, so that a machine that slows down slows both.
"""

from __future__ import annotations

import os
import secrets
import statistics
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.acceptance.product import Product, free_ports, running_product
from tests.bench import floor
from tests.bench.load import Load, Target, send
from tests.bench.rows import Row, at_most, ratio_at_least

from incidentfox.local.processes import ProcessSpec
from incidentfox.local.stack import SERVICES
from incidentfox.orchestrator.settings import OrchestratorSettings

ENDPOINTS = 4
ROUNDS = 5
SECONDS = 4.0
WARM_UP_S = 1.5
CONNECTIONS = 64
PAUSED = " (dispatch paused)"
_MOST_PER_S = 20_000
"""More than the floor takes on any machine: so many messages are signed beforehand."""


async def measure() -> list[Row]:
    """The rows of this subject."""
    async with running_product(on_disk=True) as product:
        tenant = await product.tenant()
        senders = [await product.sender(tenant.org_id, "pagerduty") for _ in range(ENDPOINTS)]
        ours = [Target(sender.url, sender.secret) for sender in senders]
        for service in SERVICES:
            if service.name != "orchestrator":
                await product.take_away(service.name)
        async with _floor(product) as raw:
            for targets in (ours, [raw]):  # connections, plans and caches are warm afterwards
                await send(Load(targets, WARM_UP_S, int(_MOST_PER_S * WARM_UP_S), CONNECTIONS))
            rates = [(await _most(ours), await _most([raw])) for _ in range(ROUNDS)]
        most = statistics.median(rate for rate, _ in rates)
        half = await send(Load(ours, 2 * SECONDS, int(most * SECONDS) + 1, CONNECTIONS, most / 2))
    return [
        ratio_at_least(
            "deliveries acknowledged, all checks on" + PAUSED,
            most,
            statistics.median(rate for _, rate in rates),
            0.5,
            "/s",
        ),
        Row("wait of a sender at half of that load, p50" + PAUSED, half.p50_ms, "ms"),
        at_most("wait of a sender at half of that load, p99" + PAUSED, half.p99_ms, 50, "ms"),
    ]


async def _most(targets: list[Target]) -> float:
    return (await send(Load(targets, SECONDS, int(_MOST_PER_S * SECONDS), CONNECTIONS))).per_s


@asynccontextmanager
async def _floor(product: Product) -> AsyncIterator[Target]:
    """The floor on the product's database, as the Orchestrator's role."""
    async with product.superuser() as connection:
        await connection.execute(floor.TABLE)
        await connection.execute("GRANT INSERT ON bench_floor TO incidentfox_orchestrator")
        await connection.execute("GRANT USAGE ON SEQUENCE bench_floor_id_seq TO incidentfox_orchestrator")
    [port] = free_ports(1)
    secret = secrets.token_hex(32)
    url = f"http://127.0.0.1:{port}"
    orchestrator = next(service for service in SERVICES if service.name == "orchestrator")
    spec = ProcessSpec(
        name="floor",
        command=(sys.executable, "-m", "tests.bench.floor"),
        environment={
            "FLOOR_DATABASE_URL": product.stack.spec(orchestrator).environment["INCIDENTFOX_DATABASE_URL"],
            "FLOOR_POOL_SIZE": str(OrchestratorSettings.model_fields["ingress_pool_size"].default),
            "FLOOR_SECRET": secret,
            "FLOOR_PORT": str(port),
            "PYTHONPATH": os.environ.get("PYTHONPATH", "."),
        },
        log_file=product.stack.installation.logs / "floor.log",
        ready_url=f"{url}{floor.READY}",
    )
    await product.stack.supervisor.start(spec)
    try:
        yield Target(url + floor.PATH, secret)
    finally:
        await product.take_away("floor")
