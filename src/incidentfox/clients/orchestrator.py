"""The client of the Orchestrator: webhook endpoints, deliveries, incidents. Used by console, CLI and `local`."""

from __future__ import annotations

from typing import Any

from incidentfox.clients.transport import Call, Credential, Transport, segment
from incidentfox.contracts.master_keys import Reencryption
from incidentfox.contracts.page import Page
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.webhooks import (
    CreatedEndpoint,
    CreateEndpoint,
    Delivery,
    DryRunDelivery,
    DryRunResult,
    Endpoint,
    Incident,
    RotateSecret,
)
from incidentfox.kernel.tenant import Tenant

AUDIENCE = "orchestrator"


class OrchestratorClient:
    """Every call of the Orchestrator's API. Webhooks themselves are sent by the outside systems, not through here."""

    def __init__(self, base_url: str, credential: Credential | None) -> None:
        self._transport = Transport(AUDIENCE, base_url, credential)

    async def close(self) -> None:
        """Closes the connections."""
        await self._transport.close()

    async def ready(self) -> None:
        """Raises Unavailable unless the service and its database answer."""
        await self._transport.json(Call("GET", "/readyz", Permission.PUBLIC))

    async def create_endpoint(self, org_id: str, request: CreateEndpoint) -> CreatedEndpoint:
        """A new webhook endpoint; its secret is in this answer and nowhere else."""
        call = self._call("POST", org_id, "/webhook-endpoints", Permission.WEBHOOKS_WRITE, request, repeatable=False)
        return await self._transport.model(call, CreatedEndpoint)

    async def endpoints(self, org_id: str, *, cursor: str | None = None, limit: int = 100) -> Page[Endpoint]:
        """The organisation's endpoints."""
        query = {"cursor": cursor, "limit": limit}
        call = self._call("GET", org_id, "/webhook-endpoints", Permission.WEBHOOKS_READ, query=query)
        return await self._transport.model(call, Page[Endpoint])

    async def endpoint(self, org_id: str, endpoint_id: str) -> Endpoint:
        """One endpoint."""
        path = f"/webhook-endpoints/{segment(endpoint_id)}"
        return await self._transport.model(self._call("GET", org_id, path, Permission.WEBHOOKS_READ), Endpoint)

    async def rotate_secret(self, org_id: str, endpoint_id: str, request: RotateSecret) -> CreatedEndpoint:
        """Adds a secret; the old ones expire after the overlap."""
        path = f"/webhook-endpoints/{segment(endpoint_id)}/secrets"
        call = self._call("POST", org_id, path, Permission.WEBHOOKS_WRITE, request, repeatable=False)
        return await self._transport.model(call, CreatedEndpoint)

    async def reencrypt_secrets(self, org_id: str) -> Reencryption:
        """Seals a batch of webhook secrets under the current master key; to be called until nothing remains."""
        call = self._call("POST", org_id, "/webhook-endpoints/reencrypt", Permission.WEBHOOKS_WRITE)
        return await self._transport.model(call, Reencryption)

    async def disable_endpoint(self, org_id: str, endpoint_id: str) -> Endpoint:
        """Shuts an endpoint: every delivery to it is refused from then on."""
        path = f"/webhook-endpoints/{segment(endpoint_id)}"
        return await self._transport.model(self._call("DELETE", org_id, path, Permission.WEBHOOKS_WRITE), Endpoint)

    async def dry_run_delivery(self, org_id: str, source: str, delivery: DryRunDelivery) -> DryRunResult:
        """Who would get this payload, and why. Nothing is recorded and nothing runs."""
        path = f"/webhook-sources/{segment(source)}/dry-run"
        call = self._call("POST", org_id, path, Permission.WEBHOOKS_WRITE, delivery)
        return await self._transport.model(call, DryRunResult)

    async def deliveries(self, org_id: str, *, cursor: str | None = None, limit: int = 50) -> Page[Delivery]:
        """Accepted deliveries, newest first."""
        query = {"cursor": cursor, "limit": limit}
        call = self._call("GET", org_id, "/deliveries", Permission.INCIDENTS_READ, query=query)
        return await self._transport.model(call, Page[Delivery])

    async def delivery(self, org_id: str, delivery_id: str) -> Delivery:
        """One delivery."""
        path = f"/deliveries/{segment(delivery_id)}"
        return await self._transport.model(self._call("GET", org_id, path, Permission.INCIDENTS_READ), Delivery)

    async def incidents(self, org_id: str, *, cursor: str | None = None, limit: int = 50) -> Page[Incident]:
        """Incidents, newest first."""
        query = {"cursor": cursor, "limit": limit}
        call = self._call("GET", org_id, "/incidents", Permission.INCIDENTS_READ, query=query)
        return await self._transport.model(call, Page[Incident])

    async def incident(self, org_id: str, incident_id: str) -> Incident:
        """One incident."""
        path = f"/incidents/{segment(incident_id)}"
        return await self._transport.model(self._call("GET", org_id, path, Permission.INCIDENTS_READ), Incident)

    @staticmethod
    def _call(method: str, org_id: str, path: str, permission: Permission, body: Any = None, **rest: Any) -> Call:
        return Call(method, f"/api/v1/orgs/{segment(org_id)}{path}", permission, Tenant(org_id), body, **rest)
