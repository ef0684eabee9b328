"""Dry runs through the client: they answer as the write would, and nothing is there afterwards."""

from __future__ import annotations

import pytest
from tests.config_service.surroundings import Service, Tenants, new_run

from incidentfox.contracts.runs import CancelRun, RunStatus
from incidentfox.contracts.tokens import CreateToken
from incidentfox.contracts.tree import CreateOrganisation
from incidentfox.kernel.errors import Conflict, NotFound

pytestmark = pytest.mark.anyio


async def test_a_token_that_is_only_rehearsed_opens_nothing(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    before = {token.token_id for token in (await admin.tokens(tenants.org)).items}
    rehearsed = await admin.create_token(tenants.org, CreateToken(name="ci"), idempotency_key="key-1", dry_run=True)
    assert rehearsed.secret == ""
    assert {token.token_id for token in (await admin.tokens(tenants.org)).items} == before
    made = await admin.create_token(tenants.org, CreateToken(name="ci"), idempotency_key="key-1")
    assert made.secret
    assert (await admin.rotate_token(tenants.org, made.token.token_id, 60, dry_run=True)).secret == ""
    assert (await admin.revoke_token(tenants.org, made.token.token_id, dry_run=True)).revoked_at is not None
    assert (await service.with_token(made.secret).me()).org_id == tenants.org, "neither rotated nor revoked"


async def test_a_secret_and_a_cancellation_are_rehearsed(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    await admin.put_secret(tenants.org, "checkout", "slack", "x", dry_run=True)
    assert (await admin.secrets(tenants.org, "checkout")).items == ()
    run_id = (await service.as_service("orchestrator").create_run(tenants.org, new_run())).run_id
    rehearsed = await admin.cancel_run(tenants.org, run_id, CancelRun(), dry_run=True)
    assert rehearsed.status is RunStatus.CANCELLED
    assert (await admin.run(tenants.org, run_id)).status is RunStatus.QUEUED
    assert (await admin.run_events(tenants.org, run_id)).items == ()


async def test_what_would_be_refused_is_refused(service: Service, tenants: Tenants) -> None:
    admin, platform = service.with_token(tenants.admin), service.as_service("platform")
    with pytest.raises(NotFound):
        await admin.put_secret(tenants.org, "nowhere", "slack", "x", dry_run=True)
    with pytest.raises(Conflict):
        await platform.create_organisation(CreateOrganisation(org_id=tenants.org, name="x"), dry_run=True)
    free = CreateOrganisation(org_id=f"dry-{tenants.org}", name="x")
    for _ in range(2):
        assert (await platform.create_organisation(free, dry_run=True)).node_id == free.org_id
