"""The Config Service in this process, on a real Postgres, and the ways to call it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx2
import psycopg
from fastapi import FastAPI
from tests.environment import Database, Trusted

from incidentfox.clients.config_service import AUDIENCE, ConfigServiceClient
from incidentfox.clients.transport import Credential, ServiceCredential, TokenCredential, Transport
from incidentfox.config_service.main import create_app
from incidentfox.config_service.settings import ConfigServiceSettings
from incidentfox.contracts.events import AppendRunEvent, RunEventType
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.runs import CreateRun, RunInput
from incidentfox.kernel.ids import new_id

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

    def service_token(self, name: str, permission: Permission, org: str | None, team: str | None = None) -> str:
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
    """Two organisations of this test; the first has a unit with two teams. Tokens as their secrets."""

    org: str
    other: str
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
async def running(database: Database, trusted: Trusted, **changed: Any) -> AsyncIterator[Service]:
    """Runs the application's lifespan and a client to it; `changed` are settings other than the usual."""
    app = create_app(settings_for(database, trusted).model_copy(update=changed))
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://config") as http,
    ):
        yield Service(app, http, trusted, database)


def new_run(team: str = "checkout", run_id: str | None = None, **rest: Any) -> CreateRun:
    """A run to create."""
    values = {"input": RunInput(prompt="Why?"), "source": "pagerduty", "correlation_id": "cor_12345678", **rest}
    return CreateRun(run_id=run_id or new_id("run"), team_node_id=team, **values)


def new_event(key: str, kind: RunEventType = RunEventType.TOOL_CALLED, **data: Any) -> AppendRunEvent:
    """An event to append."""
    return AppendRunEvent(event_key=key, type=kind, at=datetime(2026, 11, 24, 3, 0, tzinfo=UTC), data=data)


def query(database: Database, statement: str, settings: dict[str, str] | None = None) -> list[tuple[Any, ...]]:
    """Runs one statement as the service's own role, in a transaction with these settings (the tenant)."""
    with psycopg.connect(database.url("incidentfox_config")) as connection:
        for name, value in (settings or {}).items():
            connection.execute("SELECT set_config(%s, %s, true)", (name, value))
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def tenant_settings(org: str, team: str = "*") -> dict[str, str]:
    """The settings that row-level security compares with."""
    return {"incidentfox.org_id": org, "incidentfox.team_node_id": team}


def as_superuser(database: Database, statement: str) -> None:
    """Runs one statement beyond all row-level security: to move time, or to tamper."""
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        connection.execute(statement.encode())
