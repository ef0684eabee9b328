"""Service identity and permissions: each way in that should be shut is tried."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx2
import pytest
import time_machine
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey
from tests.environment import Trusted

from incidentfox.clients.transport import ServiceCredential
from incidentfox.contracts.permissions import SERVICE_PERMISSIONS, Permission
from incidentfox.kernel.tenant import Tenant
from incidentfox.kernel.web.app import AppParts, create_app
from incidentfox.kernel.web.auth import Authenticator, Principal, requires


@asynccontextmanager
async def no_lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield


async def always_ready() -> None:
    return None


@pytest.fixture
def client(trusted: Trusted) -> httpx2.AsyncClient:
    authenticator = Authenticator("config-service", trusted.public_keys(), None)
    app = create_app(AppParts("config-service", "Test", authenticator, no_lifespan, always_ready))

    @app.get("/lookup")
    async def lookup(principal: Annotated[Principal, requires(Permission.ROUTING_LOOKUP)]) -> dict[str, Any]:
        return {"subject": principal.subject, "org": principal.org_id, "team": principal.team_node_id}

    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test")


async def status(client: httpx2.AsyncClient, token: str) -> int:
    answer = await client.get("/lookup", headers={"Authorization": f"Bearer {token}"})
    if answer.is_error:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"]
    return answer.status_code


LOOKUP = frozenset({Permission.ROUTING_LOOKUP})


@pytest.mark.anyio
async def test_a_service_is_known_by_its_key(client: httpx2.AsyncClient, trusted: Trusted) -> None:
    token = trusted.identity("orchestrator").token("config-service", LOOKUP, "acme", "checkout")
    answer = await client.get("/lookup", headers={"Authorization": f"Bearer {token}"})
    assert answer.json() == {"subject": "service:orchestrator", "org": "acme", "team": "checkout"}


@pytest.mark.anyio
async def test_no_credential_is_401_with_a_challenge(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/lookup")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.anyio
async def test_a_token_for_another_service_is_refused(client: httpx2.AsyncClient, trusted: Trusted) -> None:
    assert await status(client, trusted.identity("orchestrator").token("agent", LOOKUP, "acme")) == 401


@pytest.mark.anyio
async def test_an_expired_token_is_refused(client: httpx2.AsyncClient, trusted: Trusted) -> None:
    with time_machine.travel(time.time() - 120):
        token = trusted.identity("orchestrator").token("config-service", LOOKUP, "acme")
    assert await status(client, token) == 401


@pytest.mark.anyio
async def test_a_key_that_nobody_trusts_is_refused(client: httpx2.AsyncClient, tmp_path_factory: Any) -> None:
    stranger = Trusted(tmp_path_factory.mktemp("stranger"))
    assert await status(client, stranger.identity("orchestrator").token("config-service", LOOKUP, "acme")) == 401


@pytest.mark.anyio
async def test_one_service_cannot_speak_for_another(client: httpx2.AsyncClient, trusted: Trusted) -> None:
    forged = forge(trusted, kid="agent", issuer="orchestrator")
    assert await status(client, forged) == 401


@pytest.mark.anyio
async def test_a_long_lived_token_is_refused(client: httpx2.AsyncClient, trusted: Trusted) -> None:
    assert await status(client, forge(trusted, lifetime_s=3600)) == 401


@pytest.mark.anyio
async def test_an_unsigned_or_symmetric_token_is_refused(client: httpx2.AsyncClient, trusted: Trusted) -> None:
    public = trusted.public_keys()["orchestrator"]["x"]
    claims = {"iss": "orchestrator", "aud": "config-service", "iat": int(time.time()), "exp": int(time.time()) + 60}
    symmetric = jwt.encode({"alg": "HS256", "kid": "orchestrator"}, claims, OctKey.import_key(public))
    assert await status(client, symmetric) == 401
    assert await status(client, "eyJhbGciOiJub25lIn0.eyJpc3MiOiJvcmNoZXN0cmF0b3IifQ.") == 401


@pytest.mark.anyio
@pytest.mark.parametrize("odd", [{"crit": 5}, {"crit": ["b64"], "b64": False}, {"kid": {}}, {"kid": None}, {"alg": []}])
async def test_a_header_of_odd_types_is_a_refusal_and_no_failure(
    client: httpx2.AsyncClient, odd: dict[str, Any]
) -> None:
    header = json.dumps({"alg": "Ed25519", "kid": "orchestrator", **odd}).encode()
    assert await status(client, f"{base64.urlsafe_b64encode(header).rstrip(b'=').decode()}.e30.AAAA") == 401


@pytest.mark.anyio
async def test_a_permission_beyond_the_services_grant_is_not_given(
    client: httpx2.AsyncClient, trusted: Trusted
) -> None:
    assert Permission.ROUTING_LOOKUP not in SERVICE_PERMISSIONS["agent"]
    assert await status(client, trusted.identity("agent").token("config-service", LOOKUP, "acme")) == 403


def forge(trusted: Trusted, *, kid: str = "orchestrator", issuer: str = "orchestrator", lifetime_s: int = 60) -> str:
    key = OKPKey.import_key(json.loads((trusted.folder / f"{kid}.jwk").read_text()))
    now = int(time.time())
    claims = {
        "iss": issuer,
        "sub": f"service:{issuer}",
        "aud": "config-service",
        "iat": now,
        "exp": now + lifetime_s,
        "scope": "routing:lookup",
    }
    return jwt.encode({"alg": "Ed25519", "kid": kid}, claims, key, algorithms=["Ed25519"])


@pytest.mark.anyio
async def test_a_token_that_was_verified_before_still_ends(client: httpx2.AsyncClient, trusted: Trusted) -> None:
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        token = trusted.identity("orchestrator").token("config-service", LOOKUP, "acme")
        assert [await status(client, token) for _ in range(2)] == [200, 200]
        assert await status(client, token[:-2] + ("AA" if not token.endswith("AA") else "BB")) == 401
        clock.shift(66)
        assert await status(client, token) == 401


def test_a_client_signs_one_token_for_many_calls_of_a_kind(trusted: Trusted) -> None:
    credential = ServiceCredential(trusted.identity("orchestrator"))

    def bearer(permission: Permission = Permission.ROUTING_LOOKUP, tenant: Tenant | None = Tenant("acme")) -> str:
        return credential.bearer("config-service", permission, tenant)

    with time_machine.travel(1_800_000_000, tick=False) as clock:
        first = bearer()
        assert bearer() == first
        others = {bearer(Permission.RUNS_READ), bearer(tenant=Tenant("globex")), bearer(tenant=None)}
        assert len(others | {first}) == 4
        clock.shift(21)
        assert bearer() != first
