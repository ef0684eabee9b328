"""Rotation of the master key for webhook secrets: deliveries signed with them are accepted before and after."""

from __future__ import annotations

import secrets

import pytest
from tests.environment import Trusted
from tests.orchestrator.conftest import ORG, Door, incident_event

from incidentfox.kernel.crypto import Keyring
from incidentfox.kernel.errors import Conflict
from incidentfox.kernel.tenant import Tenant

pytestmark = pytest.mark.anyio

NEW_KEY = secrets.token_bytes(32)


def use_keys(door: Door, keyring: Keyring) -> None:
    """As a restart with another key file."""
    door.app.state.endpoints._keyring = keyring
    door.app.state.ingress._endpoints._keyring = keyring
    door.app.state.ingress._endpoints._kept.clear()


async def test_webhook_secrets_move_to_the_new_key_and_go_on_verifying(door: Door, trusted: Trusted) -> None:
    created = [await door.endpoint() for _ in range(3)]
    use_keys(door, Keyring("k2", {**trusted.keyring.keys, "k2": NEW_KEY}))
    assert (await door.pagerduty(created[0], incident_event())).status_code == 202
    async with door.app.state.database.transaction(Tenant(ORG)) as connection:
        moved = await door.app.state.endpoints.reencrypt(connection, ORG, "test")
    assert (moved.key_id, moved.reencrypted, moved.remaining) == ("k2", 3, 0)
    use_keys(door, Keyring("k2", {"k2": NEW_KEY}))
    for endpoint in created:
        assert (await door.pagerduty(endpoint, incident_event())).status_code == 202
    kept = await door.owner.fetch("SELECT ciphertext FROM orchestrator_webhook_secrets")
    assert all(bytes(row["ciphertext"]).startswith(b"k2.") for row in kept)


async def test_a_key_that_was_removed_too_early_is_named_and_nothing_changes(door: Door) -> None:
    await door.endpoint()
    use_keys(door, Keyring("k2", {"k2": NEW_KEY}))
    with pytest.raises(Conflict, match="k1"):
        async with door.app.state.database.transaction(Tenant(ORG)) as connection:
            await door.app.state.endpoints.reencrypt(connection, ORG, "test")
