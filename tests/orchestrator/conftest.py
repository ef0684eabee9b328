"""An Orchestrator in this process on a real database, with a stand-in for nothing but the outside senders."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx2
import pytest
from fastapi import FastAPI
from tests.environment import Database, Trusted

from incidentfox.contracts.audit import AppendAuditEvent
from incidentfox.contracts.webhooks import CreatedEndpoint, CreateEndpoint
from incidentfox.kernel.tenant import Tenant
from incidentfox.orchestrator.main import create_app
from incidentfox.orchestrator.settings import OrchestratorSettings

ORG = "acme"
ORCHESTRATOR = "incidentfox_orchestrator"


class AuditRecorder:
    """The one call of the Config Service that the API makes by itself, of refusals, kept in a list."""

    def __init__(self) -> None:
        self.events: list[tuple[str, AppendAuditEvent]] = []

    async def append_audit_event(self, org_id: str, event: AppendAuditEvent) -> None:
        self.events.append((org_id, event))


@dataclass
class Door:
    """The API of an Orchestrator, with senders' keys in hand."""

    app: FastAPI
    http: httpx2.AsyncClient
    owner: asyncpg.Connection
    audit: AuditRecorder
    clock: list[float] = field(default_factory=list)

    async def endpoint(self, source: str = "pagerduty", *, org: str = ORG, **more: Any) -> CreatedEndpoint:
        """A new endpoint, made by the use case itself."""
        request = CreateEndpoint(source=source, name="test", **more)
        async with self.app.state.database.transaction(Tenant(org)) as connection:
            return await self.app.state.endpoints.create(connection, org, request, "test")

    async def post(self, path: str, body: bytes, headers: dict[str, str] | None = None) -> httpx2.Response:
        """One delivery, as it is."""
        return await self.http.post(path, content=body, headers=headers or {})

    async def pagerduty(self, created: CreatedEndpoint, event: dict[str, Any]) -> httpx2.Response:
        """One delivery, signed as PagerDuty does."""
        body = json.dumps(event).encode()
        return await self.post(
            created.endpoint.path, body, {"X-PagerDuty-Signature": pagerduty_signature(created.secret, body)}
        )

    async def custom(self, created: CreatedEndpoint, event: dict[str, Any], **more: Any) -> httpx2.Response:
        """One delivery, signed after Standard Webhooks."""
        body = json.dumps(event).encode()
        return await self.post(created.endpoint.path, body, custom_headers(created.secret, body, **more))

    async def count(self, table: str) -> int:
        """The rows of a table, as the superuser sees them."""
        return await self.owner.fetchval(f"SELECT count(*) FROM {table}")

    async def assert_nothing_could_run(self) -> None:
        """No delivery and no workflow."""
        assert await self.count("orchestrator_deliveries") == 0
        assert await self.count("orchestrator_dbos.workflow_status WHERE name = 'deliver'") == 0


def pagerduty_signature(secret: str, body: bytes) -> str:
    return "v1=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def custom_headers(secret: str, body: bytes, *, key: str | None = None, at: float | None = None) -> dict[str, str]:
    message_id = key or f"msg_{secrets.token_hex(8)}"
    timestamp = str(int(at if at is not None else time.time()))
    content = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), content, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }


def incident_event(
    event_type: str = "incident.triggered",
    *,
    event_id: str | None = None,
    incident: str = "PGR0VU2",
    at: str = "2026-11-24T03:00:00.000Z",
    service: str = "PF9KMXH",
) -> dict[str, Any]:
    """A PagerDuty V3 event in the documented form."""
    return {
        "event": {
            "id": event_id or secrets.token_hex(13).upper(),
            "event_type": event_type,
            "resource_type": "incident",
            "occurred_at": at,
            "agent": None,
            "client": None,
            "data": {
                "id": incident,
                "type": "incident",
                "html_url": f"https://acme.pagerduty.com/incidents/{incident}",
                "number": 2,
                "status": "triggered",
                "title": "A little bump in the road",
                "service": {"id": service, "type": "service_reference", "summary": "API Service"},
                "teams": [{"id": "PFCVPS0", "type": "team_reference", "summary": "Engineering"}],
                "urgency": "high",
            },
        }
    }


def settings_for(database: Database, trusted: Trusted, **more: Any) -> OrchestratorSettings:
    return OrchestratorSettings(
        identity_key_file=trusted.folder / "orchestrator.jwk",
        trusted_keys_file=trusted.folder / "trusted.json",
        master_keys_file=trusted.folder / "master.json",
        database_url=database.url(ORCHESTRATOR),
        database_pool_size=4,
        ingress_pool_size=4,
        **more,
    )


@pytest.fixture
def settings(database: Database, trusted: Trusted) -> OrchestratorSettings:
    return settings_for(database, trusted)


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection, which row-level security does not bind."""
    connection = await asyncpg.connect(database.superuser_url)
    yield connection
    await connection.close()


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """The application with its lifespan, and a client of it."""
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://orchestrator") as http:
            yield http


@pytest.fixture
async def door(settings: OrchestratorSettings, owner: asyncpg.Connection) -> AsyncIterator[Door]:
    """The API with a clock in `door.clock[0]`, which stands still unless a test moves it."""
    clock = [time.time()]
    audit = AuditRecorder()
    app = create_app(settings, config_service=audit, clock=lambda: clock[0])  # type: ignore[arg-type]
    async with running(app) as http:
        yield Door(app, http, owner, audit, clock)


Until = Callable[..., Any]
