"""The Config Service in this process, on a real Postgres, with an organisation and its teams."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from incidentfox.clients.config_service import AUDIENCE, ConfigServiceClient
from incidentfox.clients.transport import Credential, ServiceCredential, TokenCredential, Transport
from incidentfox.config_service.main import create_app
from incidentfox.config_service.settings import ConfigServiceSettings
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.tokens import CreateToken
from incidentfox.contracts.tree import CreateNode, CreateOrganisation, NodeKind
from tests.environment import Database, Trusted

ORG = "acme"
OTHER_ORG = "globex"
TEAMS = ("checkout", "payments")


@dataclass
class Service:
    """A running Config Service and the ways to call it."""

    app: FastAPI
    http: httpx2.AsyncClient
    trusted: Trusted
    database: Database

    def client(self, credential: Credential | None) -> ConfigServiceClient:
        """The product's own client over this process's application."""
        client = ConfigServiceClient("http://config", credential, attempts=1)
        client._transport = Transport(AUDIENCE, "http://config", credential, http=self.http, attempts=1)
        return client

    def as_service(self, name: str) -> ConfigServiceClient:
        """The client of a service identity."""
        return self.client(ServiceCredential(self.trusted.identity(name)))

    def with_token(self, secret: str) -> ConfigServiceClient:
        """The client of a bearer token."""
        return self.client(TokenCredential(secret))

    def service_token(self, name: str, permission: Permission, org: str | None = ORG, team: str | None = None) -> str:
        """A raw service token, for calls that the client does not make."""
        return self.trusted.identity(name).token(AUDIENCE, frozenset({permission}), org, team)

    async def call(self, method: str, path: str, token: str | None = None, **rest: Any) -> httpx2.Response:
        """A raw request."""
        headers = dict(rest.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return await self.http.request(method, path, headers=headers, **rest)


@dataclass
class Tenants:
    """Two organisations; the first has a unit with two teams. Tokens as their secrets."""

    admin: str
    teams: dict[str, str]
    other_admin: str
    other_team: str


def settings_for(database: Database, trusted: Trusted) -> ConfigServiceSettings:
    """The settings as the environment would give them."""
    return ConfigServiceSettings(
        database_url=database.url("incidentfox_config"),  # type: ignore[arg-type]
        database_pool_size=8,
        identity_key_file=trusted.folder / "config-service.jwk",
        trusted_keys_file=trusted.folder / "trusted.json",
        master_keys_file=trusted.folder / "master.json",
        token_pepper_file=trusted.folder / "pepper",
    )


@asynccontextmanager
async def running(database: Database, trusted: Trusted) -> AsyncIterator[Service]:
    """Runs the application's lifespan and a client to it."""
    app = create_app(settings_for(database, trusted))
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://config") as http,
    ):
        yield Service(app, http, trusted, database)


@pytest.fixture
async def service(database: Database, trusted: Trusted) -> AsyncIterator[Service]:
    """A running Config Service on an empty database."""
    async with running(database, trusted) as service:
        yield service


@pytest.fixture
async def tenants(service: Service) -> Tenants:
    """acme (unit `shops` with the teams checkout and payments) and globex (team checkout), with tokens."""
    platform = service.as_service("platform")
    for org in (ORG, OTHER_ORG):
        await platform.create_organisation(CreateOrganisation(org_id=org, name=org.title()))
    unit = CreateNode(node_id="shops", parent_id=ORG, kind=NodeKind.UNIT, name="Shops")
    await platform.create_node(ORG, unit)
    for team in TEAMS:
        await platform.create_node(ORG, CreateNode(node_id=team, parent_id="shops", kind=NodeKind.TEAM, name=team))
    await platform.create_node(
        OTHER_ORG, CreateNode(node_id="checkout", parent_id=OTHER_ORG, kind=NodeKind.TEAM, name="Checkout")
    )

    async def token(org: str, team: str | None) -> str:
        created = await platform.create_token(org, CreateToken(name=f"{team or 'admin'}", team_node_id=team))
        return created.secret

    return Tenants(
        admin=await token(ORG, None),
        teams={team: await token(ORG, team) for team in TEAMS},
        other_admin=await token(OTHER_ORG, None),
        other_team=await token(OTHER_ORG, "checkout"),
    )
