"""A revocation is in force at once where tokens are kept, and within a second wherever they are asked about."""

from __future__ import annotations

import pytest
from tests.config_service.surroundings import Service, Tenants

from incidentfox.clients.introspection import IntrospectingAuthenticator
from incidentfox.contracts.tokens import CreateToken

pytestmark = pytest.mark.anyio


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_what_another_service_keeps_is_forgotten_after_a_second(service: Service, tenants: Tenants) -> None:
    admin, clock = service.with_token(tenants.admin), Clock()
    created = await admin.create_token(tenants.org, CreateToken(name="t"))
    elsewhere = IntrospectingAuthenticator(service.as_service("orchestrator"), clock)
    assert await elsewhere.authenticate(created.secret) is not None
    await admin.revoke_token(tenants.org, created.token.token_id)
    clock.now += 0.99
    assert await elsewhere.authenticate(created.secret) is not None  # kept; what follows is therefore a change
    clock.now += 0.01
    assert await elsewhere.authenticate(created.secret) is None


async def test_the_second_counts_from_the_question_and_not_from_its_answer(service: Service, tenants: Tenants) -> None:
    admin, clock = service.with_token(tenants.admin), Clock()
    created = await admin.create_token(tenants.org, CreateToken(name="t"))
    asked = service.as_service("orchestrator")
    introspect = asked.introspect

    async def slow(token: str) -> object:
        """Answered before the revocation, and on its way for 0.9 seconds."""
        answer = await introspect(token)
        await admin.revoke_token(tenants.org, created.token.token_id)
        clock.now += 0.9
        return answer

    asked.introspect = slow  # type: ignore[method-assign,assignment]
    elsewhere = IntrospectingAuthenticator(asked, clock)
    assert await elsewhere.authenticate(created.secret) is not None
    asked.introspect = introspect  # type: ignore[method-assign]
    clock.now += 0.1
    assert await elsewhere.authenticate(created.secret) is None
