"""A running Config Service, and for each test two organisations of its own with teams and tokens."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest
from tests.config_service.surroundings import TEAMS, Service, Tenants, running
from tests.environment import Trusted, create_database

from incidentfox.contracts.tokens import CreateToken
from incidentfox.contracts.tree import CreateNode, CreateOrganisation, NodeKind
from incidentfox.local.postgres import EmbeddedPostgres


@pytest.fixture(scope="module")
async def service(cluster: EmbeddedPostgres, trusted: Trusted) -> AsyncIterator[Service]:
    """A running Config Service for the tests of one module; they keep apart by organisation, as tenants do."""
    database = create_database(cluster, f"config_{secrets.token_hex(6)}")
    async with running(database, trusted) as service:
        yield service
    database.drop()


@pytest.fixture
async def tenants(service: Service) -> Tenants:
    """An organisation (unit `shops` with the teams checkout and payments) and another (team checkout)."""
    platform = service.as_service("platform")
    org, other = (f"{name}-{secrets.token_hex(4)}" for name in ("acme", "globex"))
    for organisation in (org, other):
        await platform.create_organisation(CreateOrganisation(org_id=organisation, name=organisation))
    await platform.create_node(org, CreateNode(node_id="shops", parent_id=org, kind=NodeKind.UNIT, name="Shops"))
    for team in TEAMS:
        await platform.create_node(org, CreateNode(node_id=team, parent_id="shops", kind=NodeKind.TEAM, name=team))
    alone = CreateNode(node_id="checkout", parent_id=other, kind=NodeKind.TEAM, name="Checkout")
    await platform.create_node(other, alone)

    async def token(org_id: str, team: str | None) -> str:
        request = CreateToken(name=team or "admin", team_node_id=team)
        return (await platform.create_token(org_id, request)).secret

    return Tenants(
        org=org,
        other=other,
        admin=await token(org, None),
        teams={team: await token(org, team) for team in TEAMS},
        other_admin=await token(other, None),
        other_team=await token(other, "checkout"),
    )
