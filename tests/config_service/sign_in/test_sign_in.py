"""Sign-in codes: single use, ten minutes, and a session that lives and dies with the token behind it."""

from __future__ import annotations

from datetime import timedelta

import anyio
import pytest
from tests.config_service.surroundings import Service, Tenants, as_superuser, query, tenant_settings

from incidentfox.contracts.tokens import CreateToken
from incidentfox.kernel.clock import utc_now
from incidentfox.kernel.crypto import new_token
from incidentfox.kernel.errors import Forbidden, Gone, Unauthenticated

pytestmark = pytest.mark.anyio


async def test_a_code_becomes_a_session_with_the_same_rights_once(service: Service, tenants: Tenants) -> None:
    for secret in (tenants.admin, tenants.teams["checkout"]):
        holder = service.with_token(secret)
        code = await holder.create_sign_in_code()
        assert timedelta(minutes=9) < code.expires_at - utc_now() <= timedelta(minutes=10)
        session = await service.client(None).exchange_sign_in_code(code.code)
        me, own = await service.with_token(session.secret).me(), await holder.me()
        assert (me.org_id, me.team_node_id, me.scopes) == (own.org_id, own.team_node_id, own.scopes)
        assert me.subject != own.subject
        assert session.token.expires_at is not None
        assert timedelta(hours=11) < session.token.expires_at - utc_now() <= timedelta(hours=12)
        with pytest.raises(Gone):
            await service.client(None).exchange_sign_in_code(code.code)


async def test_of_concurrent_exchanges_one_gets_the_session(service: Service, tenants: Tenants) -> None:
    code = await service.with_token(tenants.admin).create_sign_in_code()
    outcomes: list[bool] = []

    async def exchange() -> None:
        try:
            await service.client(None).exchange_sign_in_code(code.code)
        except Gone:
            outcomes.append(False)
        else:
            outcomes.append(True)

    async with anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(exchange)
    assert sorted(outcomes) == [False] * 5 + [True]


@pytest.mark.parametrize("code", ["x", "", "ifc_ü", new_token("ifc"), new_token("ifo")], ids=range(5))
async def test_an_unknown_code_is_gone(service: Service, tenants: Tenants, code: str) -> None:
    with pytest.raises(Gone):
        await service.client(None).exchange_sign_in_code(code)


async def test_an_old_code_is_gone(service: Service, tenants: Tenants) -> None:
    code = await service.with_token(tenants.admin).create_sign_in_code()
    as_superuser(service.database, f"UPDATE config_sign_in_codes SET expires_at = now() WHERE org_id = '{tenants.org}'")
    with pytest.raises(Gone):
        await service.client(None).exchange_sign_in_code(code.code)


async def test_a_code_is_stored_as_a_hash(service: Service, tenants: Tenants) -> None:
    code = await service.with_token(tenants.admin).create_sign_in_code()
    [(row,)] = query(service.database, "SELECT c::text FROM config_sign_in_codes c", tenant_settings(tenants.org))
    assert code.code not in row


async def test_revoking_the_token_ends_its_sessions_and_its_codes(service: Service, tenants: Tenants) -> None:
    team = service.with_token(tenants.teams["checkout"])
    anonymous = service.client(None)
    session = service.with_token(
        (await anonymous.exchange_sign_in_code((await team.create_sign_in_code()).code)).secret
    )
    nested_code = await session.create_sign_in_code()
    nested = service.with_token((await anonymous.exchange_sign_in_code(nested_code.code)).secret)
    open_code = await team.create_sign_in_code()
    token_id = (await team.me()).subject.removeprefix("token:")
    await service.with_token(tenants.admin).revoke_token(tenants.org, token_id)
    for holder in (team, session, nested):
        with pytest.raises(Unauthenticated):
            await holder.me()
    with pytest.raises(Gone):
        await anonymous.exchange_sign_in_code(open_code.code)


async def test_a_session_ends_with_a_token_that_expires_sooner(service: Service, tenants: Tenants) -> None:
    short = await service.with_token(tenants.admin).create_token(tenants.org, CreateToken(name="s", expires_in_s=3600))
    code = await service.with_token(short.secret).create_sign_in_code()
    session = await service.client(None).exchange_sign_in_code(code.code)
    assert session.token.expires_at == short.token.expires_at


async def test_signing_out_revokes_the_own_token_only(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    code = await admin.create_sign_in_code()
    session = service.with_token((await service.client(None).exchange_sign_in_code(code.code)).secret)
    await session.sign_out()
    with pytest.raises(Unauthenticated):
        await session.me()
    await admin.me()


async def test_a_service_identity_signs_nobody_in_or_out(service: Service, tenants: Tenants) -> None:
    platform = service.as_service("platform")
    with pytest.raises(Forbidden):
        await platform.create_sign_in_code()
    with pytest.raises(Forbidden):
        await platform.sign_out()
    assert (await platform.me()).subject == "service:platform"
