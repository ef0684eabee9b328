"""Rotation of the master key: two replicas with different current keys, and runs that resolve secrets all the while."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from dataclasses import replace

import anyio
import pytest
from tests.config_service.surroundings import Service, Tenants, new_run, query, running, tenant_settings
from tests.environment import Trusted

from incidentfox.config_service.secrets.service import REENCRYPTED_AT_ONCE
from incidentfox.contracts.configuration import ResolveSecrets
from incidentfox.kernel.crypto import Keyring
from incidentfox.kernel.errors import Conflict, Failure, Forbidden
from incidentfox.kernel.tenant import Tenant

pytestmark = pytest.mark.anyio

NEW_KEY = secrets.token_bytes(32)
VALUES = {f"key-{number}": f"value-{number}" for number in range(30)}


def keyring(trusted: Trusted, current: str, *more: str) -> Keyring:
    known = {**trusted.keyring.keys, "k2": NEW_KEY}
    return Keyring(current, {key: known[key] for key in (current, *more)})


@pytest.fixture
async def after(service: Service, trusted: Trusted) -> AsyncIterator[Service]:
    """A replica that was restarted with the new key as the current one, and the old one to open with."""
    async with running(service.database, trusted) as replica:
        replica.app.state.parts = replace(replica.app.state.parts, keyring=keyring(trusted, "k2", "k1"))
        yield replica


@pytest.fixture
async def before(service: Service, trusted: Trusted) -> AsyncIterator[Service]:
    """A replica that knows the new key already, and still seals with the old one."""
    async with running(service.database, trusted) as replica:
        replica.app.state.parts = replace(replica.app.state.parts, keyring=keyring(trusted, "k1", "k2"))
        yield replica


async def resolve(service: Service, tenants: Tenants, run_id: str, names: tuple[str, ...]) -> dict[str, str]:
    request = ResolveSecrets(run_id=run_id, names=names)
    return (await service.as_service("agent").resolve_secrets(Tenant(tenants.org, "checkout"), request)).values


async def test_the_key_rotates_while_secrets_are_resolved_and_written(
    before: Service, after: Service, tenants: Tenants
) -> None:
    admin = before.with_token(tenants.admin)
    for name, value in VALUES.items():
        await admin.put_secret(tenants.org, "checkout", name, value)
    run_id = (await before.as_service("orchestrator").create_run(tenants.org, new_run())).run_id
    names, done = tuple(VALUES), anyio.Event()

    async def keep_resolving(replica: Service) -> None:
        rounds = 0
        while rounds < 3 or not done.is_set():
            assert await resolve(replica, tenants, run_id, names) == VALUES
            rounds += 1

    async def keep_writing() -> None:
        for name, value in list(VALUES.items())[:10]:
            await before.with_token(tenants.admin).put_secret(tenants.org, "checkout", name, value)

    async def rotate() -> None:
        while (await after.with_token(tenants.admin).reencrypt_secrets(tenants.org)).remaining:
            pass
        done.set()

    async with anyio.create_task_group() as group:
        for replica in (before, after):
            group.start_soon(keep_resolving, replica)
        group.start_soon(keep_writing)
        group.start_soon(rotate)
    await after.with_token(tenants.admin).reencrypt_secrets(tenants.org)  # what `before` wrote since
    rows = query(
        before.database,
        "SELECT DISTINCT key_id, substr(ciphertext, 1, 3) FROM config_secrets",
        tenant_settings(tenants.org),
    )
    assert rows == [("k2", b"k2.")]
    after.app.state.parts = replace(after.app.state.parts, keyring=Keyring("k2", {"k2": NEW_KEY}))
    assert await resolve(after, tenants, run_id, names) == VALUES


async def test_it_goes_in_batches_and_changes_nothing_but_the_key(
    after: Service, service: Service, tenants: Tenants
) -> None:
    admin = service.with_token(tenants.admin)
    for number in range(REENCRYPTED_AT_ONCE + 1):
        await admin.put_secret(tenants.org, "shops", f"s{number}", "x")
    listed = (await admin.secrets(tenants.org, "shops")).items
    rotating = after.with_token(tenants.admin)
    steps = [await rotating.reencrypt_secrets(tenants.org) for _ in range(3)]
    assert [(step.reencrypted, step.remaining) for step in steps] == [(REENCRYPTED_AT_ONCE, 1), (1, 0), (0, 0)]
    again = (await admin.secrets(tenants.org, "shops")).items
    assert [secret.model_copy(update={"key_id": "k1"}) for secret in again] == list(listed)
    events = (await admin.audit_events(tenants.org, action="secret.reencrypted")).items
    assert [event.detail["secrets"] for event in events] == [1, REENCRYPTED_AT_ONCE]


async def test_a_key_that_was_removed_too_early_is_named(after: Service, service: Service, tenants: Tenants) -> None:
    await service.with_token(tenants.admin).put_secret(tenants.org, "shops", "a", "x")
    after.app.state.parts = replace(after.app.state.parts, keyring=Keyring("k2", {"k2": NEW_KEY}))
    with pytest.raises(Conflict, match="k1") as refusal:
        await after.with_token(tenants.admin).reencrypt_secrets(tenants.org)
    assert refusal.value.code == "master_key_absent"
    run_id = (await service.as_service("orchestrator").create_run(tenants.org, new_run())).run_id
    with pytest.raises(Failure) as failure:
        await resolve(after, tenants, run_id, ("a",))
    assert failure.value.code == "integrity_failure"
    assert await resolve(service, tenants, run_id, ("a",)) == {"a": "x"}


async def test_it_is_for_the_whole_organisation(after: Service, tenants: Tenants) -> None:
    with pytest.raises(Forbidden):
        await after.with_token(tenants.teams["checkout"]).reencrypt_secrets(tenants.org)
