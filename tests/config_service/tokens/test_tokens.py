"""Tokens: what they may carry, that they are nowhere in the clear, and that a revocation is effective at once."""

from __future__ import annotations

import time
from datetime import timedelta

import anyio
import pytest
from tests.config_service.surroundings import Service, Tenants, as_superuser, query, tenant_settings

from incidentfox.contracts.permissions import ORG_ADMIN_TOKEN_PERMISSIONS, TEAM_TOKEN_PERMISSIONS, Permission
from incidentfox.contracts.tokens import CreateToken, TokenKind
from incidentfox.kernel.clock import utc_now
from incidentfox.kernel.crypto import new_token, token_hash, token_is_well_formed
from incidentfox.kernel.errors import Forbidden, NotFound, Unauthenticated, Unprocessable

pytestmark = pytest.mark.anyio


async def test_a_token_carries_all_that_its_kind_may(service: Service, tenants: Tenants) -> None:
    me = await service.with_token(tenants.admin).me()
    assert (me.org_id, me.team_node_id, set(me.scopes)) == (tenants.org, None, ORG_ADMIN_TOKEN_PERMISSIONS)
    me = await service.with_token(tenants.teams["checkout"]).me()
    assert (me.org_id, me.team_node_id, set(me.scopes)) == (tenants.org, "checkout", TEAM_TOKEN_PERMISSIONS)


async def test_a_token_is_recognisable_shown_once_and_stored_as_a_hash(service: Service, tenants: Tenants) -> None:
    created = await service.with_token(tenants.admin).create_token(tenants.org, CreateToken(name="ci"))
    secret = created.secret
    assert secret.startswith("ifo_")
    assert token_is_well_formed(secret)
    assert created.token.hint == secret[:8]
    listed = await service.call("GET", f"/api/v1/orgs/{tenants.org}/tokens", tenants.admin)
    assert secret not in listed.text
    assert created.token.token_id in listed.text
    settings = tenant_settings(tenants.org)
    rows = query(service.database, "SELECT t::text FROM org_admin_tokens t", settings)
    rows += query(service.database, "SELECT e::text FROM config_audit_events e", settings)
    assert not any(secret in row for (row,) in rows)
    assert any(token_hash(secret, service.trusted.pepper) in row for (row,) in rows)


async def test_scopes_stay_within_the_kind(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    request = CreateToken(name="t", team_node_id="checkout", scopes=(Permission.TOKENS_WRITE,))
    with pytest.raises(Unprocessable) as refusal:
        await admin.create_token(tenants.org, request)
    assert [error.pointer for error in refusal.value.errors] == ["/scopes"]
    with pytest.raises(Unprocessable):
        await admin.create_token(tenants.org, CreateToken(name="t", scopes=(Permission.SECRETS_RESOLVE,)))


async def test_nobody_grants_what_they_lack(service: Service, tenants: Tenants) -> None:
    few = (Permission.TOKENS_WRITE, Permission.RUNS_READ)
    created = await service.with_token(tenants.admin).create_token(tenants.org, CreateToken(name="few", scopes=few))
    holder = service.with_token(created.secret)
    with pytest.raises(Forbidden, match="config:write"):
        await holder.create_token(tenants.org, CreateToken(name="more", scopes=(Permission.CONFIG_WRITE,)))
    with pytest.raises(Forbidden):
        await holder.create_token(tenants.org, CreateToken(name="all"))
    await holder.create_token(tenants.org, CreateToken(name="same", scopes=few))


async def test_a_scope_that_was_not_given_is_missing(service: Service, tenants: Tenants) -> None:
    scopes = (Permission.RUNS_READ,)
    created = await service.with_token(tenants.admin).create_token(tenants.org, CreateToken(name="r", scopes=scopes))
    reader = service.with_token(created.secret)
    assert (await reader.runs(tenants.org)).items == ()
    with pytest.raises(Forbidden) as refusal:
        await reader.nodes(tenants.org)
    assert refusal.value.code == "permission_required"


async def test_a_team_token_needs_a_team(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    with pytest.raises(NotFound):
        await admin.create_token(tenants.org, CreateToken(name="t", team_node_id="nobody"))
    with pytest.raises(Unprocessable):
        await admin.create_token(tenants.org, CreateToken(name="t", team_node_id="shops"))


async def test_revocation_is_effective_at_once_and_twice_is_once(service: Service, tenants: Tenants) -> None:
    admin, team = service.with_token(tenants.admin), service.with_token(tenants.teams["checkout"])
    token_id = (await team.me()).subject.removeprefix("token:")
    first = await admin.revoke_token(tenants.org, token_id)
    with pytest.raises(Unauthenticated):
        await team.me()
    again = await admin.revoke_token(tenants.org, token_id)
    assert first.revoked_at == again.revoked_at
    assert first.revoked_at is not None
    with pytest.raises(NotFound):
        await admin.revoke_token(tenants.org, "tok_" + "0" * 26)


async def test_an_expired_token_is_nobodys(service: Service, tenants: Tenants) -> None:
    created = await service.with_token(tenants.admin).create_token(
        tenants.org, CreateToken(name="short", expires_in_s=60)
    )
    assert created.token.expires_at is not None
    assert abs(created.token.expires_at - utc_now() - timedelta(seconds=60)) < timedelta(seconds=5)
    holder = service.with_token(created.secret)
    await holder.me()
    as_superuser(
        service.database, f"UPDATE org_admin_tokens SET expires_at = now() WHERE token_id = '{created.token.token_id}'"
    )
    with pytest.raises(Unauthenticated):
        await holder.me()


@pytest.mark.parametrize(
    "token",
    ["", "x", "ifo_x", new_token("ifo"), new_token("ift"), new_token("ghp"), "ifo_" + "ü" * 49],
    ids=range(7),
)
async def test_an_unknown_token_is_nobodys(service: Service, tenants: Tenants, token: str) -> None:
    answer = await service.call("GET", "/api/v1/me", headers={"Authorization": f"Bearer {token}".encode("latin-1")})
    assert answer.status_code == 401
    with pytest.raises(NotFound):
        await service.as_service("orchestrator").introspect(token)


async def test_a_service_introspects_a_token(service: Service, tenants: Tenants) -> None:
    caller = await service.as_service("orchestrator").introspect(tenants.teams["payments"])
    assert (caller.org_id, caller.team_node_id) == (tenants.org, "payments")
    assert caller == await service.with_token(tenants.teams["payments"]).me()
    with pytest.raises(Forbidden):
        await service.with_token(tenants.admin).introspect(tenants.teams["payments"])


async def test_use_is_noted_at_most_once_a_minute(service: Service, tenants: Tenants) -> None:
    team = service.with_token(tenants.teams["checkout"])
    for _ in range(3):
        await team.me()
    settings = tenant_settings(tenants.org, "checkout")
    deadline = time.monotonic() + 5
    while (used := query(service.database, "SELECT last_used_at FROM team_tokens", settings)) == [(None,)]:
        assert time.monotonic() < deadline
        await anyio.sleep(0.02)
    await team.me()
    await service.app.state.parts.tokens.settle()
    assert query(service.database, "SELECT last_used_at FROM team_tokens", settings) == used


async def test_tokens_are_listed_in_pages_of_both_kinds(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    seen, cursor = [], None
    while True:
        found = await admin.tokens(tenants.org, limit=2, cursor=cursor)
        seen += found.items
        cursor = found.next_cursor
        if cursor is None:
            break
    assert sorted(token.kind for token in seen) == [TokenKind.ORG_ADMIN, TokenKind.TEAM, TokenKind.TEAM]
    own = await service.with_token(tenants.teams["checkout"]).tokens(tenants.org)
    assert [token.team_node_id for token in own.items] == ["checkout"]


async def test_a_repeated_key_never_shows_the_secret_again(service: Service, tenants: Tenants) -> None:
    path, headers = f"/api/v1/orgs/{tenants.org}/tokens", {"Idempotency-Key": "k-1"}
    first = await service.call("POST", path, tenants.admin, json={"name": "ci"}, headers=headers)
    again = await service.call("POST", path, tenants.admin, json={"name": "ci"}, headers=headers)
    assert (first.status_code, again.status_code) == (201, 409)
    assert again.json()["code"] == "token_already_created"
    assert first.json()["token"]["token_id"] in again.json()["detail"]
    rows = query(service.database, "SELECT k::text FROM config_idempotency_keys k", tenant_settings(tenants.org))
    assert len(rows) == 1
    assert first.json()["secret"] not in rows[0][0]


async def test_a_key_stands_for_one_request_of_one_caller(service: Service, tenants: Tenants) -> None:
    path, headers = f"/api/v1/orgs/{tenants.org}/tokens", {"Idempotency-Key": "same"}
    await service.call("POST", path, tenants.admin, json={"name": "a"}, headers=headers)
    reused = await service.call("POST", path, tenants.admin, json={"name": "b"}, headers=headers)
    assert (reused.status_code, reused.json()["code"]) == (409, "idempotency_key_reused")
    platform = service.service_token("platform", Permission.TOKENS_WRITE, tenants.org)
    other = await service.call("POST", path, platform, json={"name": "b"}, headers=headers)
    assert other.status_code == 201
