"""Whether the queue drains as fast from under a backlog of 200,000 deliveries as when it is next to empty.

The backlog is put in by SQL as the door puts deliveries in. Measured is dispatch by itself (the runs go to an agent
that does nothing), between two deliveries well after the start, so that starting the worker does not count. It is the
backlog of several organisations: one alone is held to its share of the worker's time, behind which a slow queue could
hide.
"""

from __future__ import annotations

from tests.acceptance.product import Product, running_product, until
from tests.acceptance.sender import custom_alert
from tests.bench import null_agent
from tests.bench.rows import Row, ratio_at_least

ORGANISATIONS = 8
SERVICES = 5
"""What the deliveries of each are about: as many partitions of the queue."""
BACKLOG = 200_000
FIRST, LAST = 200, 1200
_SPARE = 400
_UNDER_WAY = 50
"""More than are dispatched at any moment: so many incidents later, the one that is meant has been settled."""

# As the door does: the delivery and its job; $2 is a recorded event, whose key and incident are made distinct.
_FILL = """
WITH made AS (
    INSERT INTO orchestrator_deliveries
        (delivery_id, org_id, endpoint_id, source, delivery_key, event_type, event, body_sha256, correlation_id)
    SELECT format('dlv_%s%s', $3::text, lpad(n::text, 26 - length($3::text), '0')), org_id, endpoint_id, source,
        format('%s-%s', $3::text, n), event_type,
        event || jsonb_build_object('delivery_key', format('%s-%s', $3::text, n),
            'incident', event->'incident' || jsonb_build_object('external_id', format('%s-%s', $3::text, n)),
            'identifiers', jsonb_build_array(
                jsonb_build_object('kind', 'service', 'value', format('service-%s', n % $4)))),
        body_sha256, format('cor_%s%s', $3::text, n)
    FROM orchestrator_deliveries, generate_series(1, $1::int) AS n WHERE delivery_id = $2
    RETURNING delivery_id, org_id, event->'identifiers'->0->>'value' AS service)
SELECT count(orchestrator_dbos.enqueue_workflow(workflow_name => 'deliver', queue_name => 'deliveries',
    positional_args => ARRAY[to_json(delivery_id), to_json(org_id)], workflow_id => delivery_id,
    queue_partition_key => format('%s/%s', org_id, service), application_name => 'orchestrator'))
FROM made
"""

# Every dispatched delivery has an incident. Counted there, because counting among the deliveries would weigh on them.
_INCIDENTS = "SELECT count(*) FROM orchestrator_incidents WHERE external_id LIKE $1 || '%-%'"
_MOMENTS = """
SELECT extract(epoch FROM processed_at)::float8 FROM orchestrator_deliveries
WHERE delivery_key LIKE $1 || '%-%' AND processed_at IS NOT NULL ORDER BY processed_at LIMIT $2
"""


async def measure() -> list[Row]:
    """The rows of this subject."""
    async with running_product(on_disk=True) as product:
        services = [f"service-{number}" for number in range(SERVICES)]
        null = await null_agent.start(product)
        patterns = []
        for _ in range(ORGANISATIONS):
            tenant = await product.tenant(**null, routing={"services": [*services, "orders"]})
            patterns.append((await tenant.dispatched(tenant.custom, custom_alert(service="orders"))).delivery_id)
        await product.take_away("agent")
        alone = await _drain(product, patterns, "a", LAST + _SPARE)
        behind = await _drain(product, patterns, "b", BACKLOG)
    return [ratio_at_least(f"queue drain under a backlog of {BACKLOG:,}", behind, alone, 0.8, "/s")]


async def _drain(product: Product, patterns: list[str], label: str, count: int) -> float:
    """Fills the queue while the worker is away, and measures how fast it then takes deliveries from it."""
    await product.take_away("worker")
    async with product.superuser() as connection:
        for number, pattern in enumerate(patterns):
            await connection.execute(_FILL, count // len(patterns), pattern, f"{label}{number}", SERVICES)
        await product.bring_back("worker")

        async def dispatched() -> bool:
            return bool(await connection.fetchval(_INCIDENTS, label) >= LAST + _UNDER_WAY)

        await until(dispatched, within_s=600)
        moments = [row[0] for row in await connection.fetch(_MOMENTS, label, LAST)]
    return (LAST - FIRST) / (moments[LAST - 1] - moments[FIRST - 1])
