"""Nobody is their own second person, whichever credentials they hold, hand out, rotate or are bound by."""

from __future__ import annotations

from typing import Any

import pytest
from tests.config_service.surroundings import Service, Tenants

from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.contracts.change_requests import ChangeRequestStatus, Decision, OpenChangeRequest, PatchChange
from incidentfox.contracts.permissions import Role
from incidentfox.contracts.tokens import CreateToken
from incidentfox.kernel.errors import Forbidden

pytestmark = pytest.mark.anyio

ASKED = OpenChangeRequest(title="Raise the budget", change=PatchChange(patch={"budgets": {"run_tokens": 9}}))


async def made(service: Service, by: ConfigServiceClient, org: str, **rest: Any) -> tuple[str, ConfigServiceClient]:
    """A token that `by` creates: its id, and a client that holds it."""
    created = await by.create_token(org, CreateToken(name="made", **rest))
    return created.token.token_id, service.with_token(created.secret)


async def open_and_approve(tenants: Tenants, author: ConfigServiceClient, approver: ConfigServiceClient) -> None:
    """The one asks for a change of the team, the other agrees."""
    request = await author.open_change_request(tenants.org, "checkout", ASKED)
    agreed = Decision(comment="Agreed.")
    applied = await approver.approve_change_request(tenants.org, "checkout", request.request_id, agreed)
    assert applied.status is ChangeRequestStatus.APPLIED


async def refused(tenants: Tenants, author: ConfigServiceClient, approver: ConfigServiceClient) -> None:
    with pytest.raises(Forbidden) as refusal:
        await open_and_approve(tenants, author, approver)
    assert refusal.value.code == "four_eyes_required"
    assert (await author.configuration(tenants.org, "checkout")).version == 0


async def test_a_unit_admin_is_not_two_by_a_token_of_the_unit(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    _, head = await made(service, admin, tenants.org, node_id="shops", role=Role.TEAM_ADMIN)
    _, second = await made(service, head, tenants.org, node_id="shops", role=Role.TEAM_ADMIN)
    _, third = await made(service, head, tenants.org, node_id="checkout", role=Role.TEAM_ADMIN)
    for author, approver in ((head, second), (second, head), (second, third), (third, second)):
        await refused(tenants, author, approver)


async def test_an_organisation_admin_is_not_two_by_a_team_token_of_a_token_of_theirs(
    service: Service, tenants: Tenants
) -> None:
    admin = service.with_token(tenants.admin)
    _, between = await made(service, admin, tenants.org)
    _, approver = await made(service, between, tenants.org, node_id="checkout", role=Role.TEAM_ADMIN)
    await refused(tenants, admin, approver)


@pytest.mark.parametrize("newer_first", [False, True])
async def test_a_rotated_token_is_the_one_it_was_rotated_from(
    service: Service, tenants: Tenants, newer_first: bool
) -> None:
    admin = service.with_token(tenants.admin)
    token_id, old = await made(service, admin, tenants.org, node_id="checkout", role=Role.TEAM_ADMIN)
    _, rotator = await made(service, admin, tenants.org)
    for _ in range(2):
        rotated = await rotator.rotate_token(tenants.org, token_id, 3600)
        token_id = rotated.token.token_id
    new = service.with_token(rotated.secret)
    await refused(tenants, *((new, old) if newer_first else (old, new)))


async def test_a_person_of_ones_own_naming_is_no_second_person(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    _, alice = await made(service, admin, tenants.org, role=Role.ORG_ADMIN, user="alice")
    _, invented = await made(service, alice, tenants.org, role=Role.ORG_ADMIN, user="zoe")
    _, of_invented = await made(service, invented, tenants.org, role=Role.ORG_ADMIN, user="yan")
    for second in (invented, of_invented):
        await refused(tenants, alice, second)
        await refused(tenants, second, alice)


async def test_two_people_named_by_a_third_are_two(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    _, alice = await made(service, admin, tenants.org, role=Role.ORG_ADMIN, user="alice")
    _, bob = await made(service, admin, tenants.org, node_id="shops", role=Role.APPROVER, user="bob")
    session = service.with_token((await bob.exchange_sign_in_code((await bob.create_sign_in_code()).code)).secret)
    await open_and_approve(tenants, alice, session)
