"""A revoked token is refused by every running service within a second."""

from __future__ import annotations

import asyncio

import pytest
from tests.house.test_isolation import Doors, doors
from tests.orchestrator.conftest import ORG

from incidentfox.contracts.permissions import Role
from incidentfox.contracts.tokens import CreateToken

pytestmark = pytest.mark.anyio

__all__ = ["doors"]  # the fixture

ROUTES = {
    "orchestrator": ("GET", f"/api/v1/orgs/{ORG}/incidents"),
    "agent": ("POST", f"/api/v1/orgs/{ORG}/runs/run_{'0' * 26}/replay"),
}
"""A route of each service that takes people's tokens and that this one may call."""


async def test_a_revocation_reaches_every_service_within_a_second(doors: Doors) -> None:
    admin = doors.platform.platform
    created = await admin.create_token(ORG, CreateToken(name="t", node_id="payments", role=Role.TEAM_ADMIN))
    headers = {"Authorization": f"Bearer {created.secret}"}

    async def status(service: str) -> int:
        return (await doors.https[service].request(*ROUTES[service], headers=headers)).status_code

    for service in ROUTES:
        assert await status(service) in (200, 404), service
    await admin.revoke_token(ORG, created.token.token_id)
    async with asyncio.timeout(5):  # far beyond the second that the product keeps an answer; the machine may be busy
        for service in ROUTES:
            while await status(service) != 401:
                await asyncio.sleep(0.02)
