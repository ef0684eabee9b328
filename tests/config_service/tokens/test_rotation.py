"""Rotation with overlap: the new token has the rights of the old, and the old one ends when it was said to."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.config_service.surroundings import Service, Tenants, as_superuser

from incidentfox.contracts.permissions import Permission, Role
from incidentfox.contracts.tokens import CreatedToken, CreateToken
from incidentfox.kernel.clock import utc_now
from incidentfox.kernel.errors import Conflict, Forbidden, NotFound, Unauthenticated

pytestmark = pytest.mark.anyio


async def made(service: Service, tenants: Tenants, **request: object) -> CreatedToken:
    admin = service.with_token(tenants.admin)
    return await admin.create_token(tenants.org, CreateToken(name="ci", **request))  # type: ignore[arg-type]


async def test_both_work_during_the_overlap_with_the_same_rights(service: Service, tenants: Tenants) -> None:
    old = await made(service, tenants, team_node_id="checkout", role=Role.EDITOR, user="ana@example.com")
    admin = service.with_token(tenants.admin)
    new = await admin.rotate_token(tenants.org, old.token.token_id, 3600)
    for secret in (old.secret, new.secret):
        me = await service.with_token(secret).me()
        assert (me.subject, me.team_node_id, set(me.scopes)) == (
            "user:ana@example.com",
            "checkout",
            set(old.token.scopes),
        )
    listed = {token.token_id: token for token in (await admin.tokens(tenants.org)).items}
    ends = listed[old.token.token_id].expires_at
    assert ends is not None
    assert abs(ends - utc_now() - timedelta(hours=1)) < timedelta(seconds=10)
    assert listed[old.token.token_id].rotated_to == new.token.token_id
    assert (new.token.name, new.token.role, new.token.expires_at) == ("ci", Role.EDITOR, None)


async def test_without_overlap_the_old_one_and_its_sessions_end_at_once(service: Service, tenants: Tenants) -> None:
    old = await made(service, tenants)
    code = await service.with_token(old.secret).create_sign_in_code()
    session = await service.client(None).exchange_sign_in_code(code.code)
    new = await service.with_token(tenants.admin).rotate_token(tenants.org, old.token.token_id, 0)
    for secret in (old.secret, session.secret):
        with pytest.raises(Unauthenticated):
            await service.with_token(secret).me()
    await service.with_token(new.secret).me()


async def test_an_overlap_never_prolongs_and_the_lifetime_begins_anew(service: Service, tenants: Tenants) -> None:
    old = await made(service, tenants, expires_in_s=600)
    admin = service.with_token(tenants.admin)
    new = await admin.rotate_token(tenants.org, old.token.token_id, 86400)
    listed = {token.token_id: token for token in (await admin.tokens(tenants.org)).items}
    assert listed[old.token.token_id].expires_at == old.token.expires_at
    assert new.token.expires_at is not None
    assert abs(new.token.expires_at - utc_now() - timedelta(seconds=600)) < timedelta(seconds=10)


async def test_what_is_no_longer_in_force_is_not_rotated(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    old = await made(service, tenants)
    new = await admin.rotate_token(tenants.org, old.token.token_id, 3600)
    with pytest.raises(Conflict, match=new.token.token_id) as refusal:
        await admin.rotate_token(tenants.org, old.token.token_id, 3600)
    assert refusal.value.code == "token_already_rotated"
    await admin.revoke_token(tenants.org, new.token.token_id)
    expired = await made(service, tenants)
    as_superuser(
        service.database, f"UPDATE org_admin_tokens SET expires_at = now() WHERE token_id = '{expired.token.token_id}'"
    )
    for token_id in (new.token.token_id, expired.token.token_id):
        with pytest.raises(Conflict) as refusal:
            await admin.rotate_token(tenants.org, token_id, 0)
        assert refusal.value.code == "token_not_in_force"


async def test_nobody_rotates_their_way_up(service: Service, tenants: Tenants) -> None:
    strong = await made(service, tenants)
    weak = await made(service, tenants, scopes=(Permission.TOKENS_WRITE,))
    with pytest.raises(Forbidden) as refusal:
        await service.with_token(weak.secret).rotate_token(tenants.org, strong.token.token_id, 0)
    assert refusal.value.code == "scope_not_held"
    with pytest.raises(NotFound):
        await service.with_token(tenants.other_admin).rotate_token(tenants.other, strong.token.token_id, 0)
    await service.with_token(strong.secret).me()


async def test_a_rotation_is_on_record_without_the_secret(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    old = await made(service, tenants)
    new = await admin.rotate_token(tenants.org, old.token.token_id, 60)
    [event] = (await admin.audit_events(tenants.org, action="token.rotated")).items
    assert (event.target, event.detail["rotated_to"]) == (old.token.token_id, new.token.token_id)
    assert event.before_hash != event.after_hash
    assert new.secret not in event.model_dump_json()
