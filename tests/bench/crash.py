"""The crash test of the suite, with 1,000 deliveries: nothing accepted is lost, nothing is done twice."""

from __future__ import annotations

from functools import partial

from tests.acceptance.product import running_product
from tests.acceptance.storm import Accident, Storm, moments
from tests.bench.rows import Row

DELIVERIES = 1000
KILLS = 10
SEEDS = {"orchestrator": 101, "worker": 202, "agent": 303}
_WITHIN_S = 3600.0


async def measure() -> list[Row]:
    """The rows of this subject."""
    async with running_product(on_disk=True) as product:
        tenant = await product.tenant()
        accidents = [
            Accident(process, after, partial(product.kill, process))
            for process, seed in SEEDS.items()
            for after in moments(seed, DELIVERIES, KILLS)
        ]
        outcome = await Storm(product, tenant, DELIVERIES, senders=8).rage(accidents, _WITHIN_S)
    lost = outcome.deliveries - outcome.accepted + outcome.deliveries_without_run + outcome.never_posted
    doubled = outcome.runs_without_delivery + outcome.posted_more_than_once
    return [
        Row(f"{DELIVERIES:,} deliveries under {len(accidents)} × kill -9: lost", lost, "", None, "0", lost == 0),
        Row(
            f"{DELIVERIES:,} deliveries under {len(accidents)} × kill -9: done twice",
            doubled,
            "",
            None,
            "0",
            doubled == 0,
        ),
        Row(
            "  answered by the right run and posted once", outcome.posts, "", float(DELIVERIES), "1,000", outcome.holds
        ),
        Row("  deliveries that their sender had to repeat", outcome.repeats, ""),
        Row("  time", outcome.seconds, "s"),
    ]
