"""A change and its audit event are committed together, and the event arrives however long the audit is away."""

from __future__ import annotations

import asyncio

import pytest
from tests.orchestrator.conftest import ORG
from tests.orchestrator.dispatch.conftest import platform
from tests.orchestrator.platform import Platform, until

from incidentfox.contracts.webhooks import CreateEndpoint, RotateSecret
from incidentfox.kernel.tenant import Tenant

__all__ = ["platform"]

pytestmark = pytest.mark.anyio

WAITING = "SELECT count(*) FROM orchestrator_audit_outbox"


async def test_a_change_waits_for_nobody_and_its_event_arrives_once(platform: Platform) -> None:
    """More changes at once than the pool has connections, while the Config Service is away."""
    door, owner = platform.door, platform.owner
    await platform.config.stop()
    made = await asyncio.gather(*(door.endpoint() for _ in range(8)))
    async with door.app.state.database.transaction(Tenant(ORG)) as connection:
        rotate = RotateSecret(overlap_s=60)
        await door.app.state.endpoints.rotate(connection, ORG, made[0].endpoint.endpoint_id, rotate, "test")
    assert await owner.fetchval(WAITING) == 9
    async with platform.worker():
        await platform.config.start()
        await until(lambda: owner.fetchval(f"SELECT ({WAITING}) = 0"))
    created = await platform.audited("webhook_endpoint.created")
    assert sorted(event.target for event in created) == sorted(one.endpoint.endpoint_id for one in made)
    [rotated] = await platform.audited("webhook_endpoint.secret_rotated")
    assert rotated.target == made[0].endpoint.endpoint_id
    assert rotated.detail["on_behalf_of"] == "test"
    assert rotated.detail["changed_at"] <= rotated.at.isoformat()


async def test_a_change_that_is_rolled_back_leaves_no_event(platform: Platform) -> None:
    door = platform.door
    request = CreateEndpoint(source="custom", name="x")

    async def change_and_fail() -> None:
        async with door.app.state.database.transaction(Tenant(ORG)) as connection:
            await door.app.state.endpoints.create(connection, ORG, request, "test")
            raise RuntimeError("after all")

    with pytest.raises(RuntimeError, match="after all"):
        await change_and_fail()
    assert await platform.owner.fetchval(WAITING) == 0
    assert await platform.owner.fetchval("SELECT count(*) FROM orchestrator_dbos.workflow_status") == 0
