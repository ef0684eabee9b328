"""Webhook endpoints, deliveries and incidents: what the orchestrator owns."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from incidentfox.contracts.model import Name, NodeId, OrgId, WireModel
from incidentfox.contracts.routing import Identifier, Route


class CreateEndpoint(WireModel):
    """Creates a webhook endpoint of the organisation for one source.

    `secret` is what the sender signs with: given by the source (PagerDuty shows it once) or, when absent,
    generated here in the form of Standard Webhooks (`whsec_…`).
    """

    source: str
    name: Name
    secret: str | None = Field(default=None, min_length=8, max_length=512, repr=False)
    rate_per_minute: int = Field(default=600, ge=1, le=600_000)
    burst: int = Field(default=120, ge=1, le=60_000)


class EndpointSecret(WireModel):
    """A secret of an endpoint without its value. Two may be live at once, so that rotation needs no downtime."""

    secret_id: str
    created_at: datetime
    expires_at: datetime | None


class Endpoint(WireModel):
    """A webhook endpoint. Events are sent to `path` on the orchestrator."""

    endpoint_id: str
    org_id: OrgId
    source: str
    name: str
    path: str
    rate_per_minute: int
    burst: int
    secrets: tuple[EndpointSecret, ...]
    created_at: datetime
    disabled_at: datetime | None


class CreatedEndpoint(WireModel):
    """A new endpoint with the secret to give to the sender: shown this once."""

    endpoint: Endpoint
    secret: str = Field(repr=False)


class RotateSecret(WireModel):
    """Adds a new secret; the old ones go on for `overlap_s` seconds."""

    secret: str | None = Field(default=None, min_length=8, max_length=512, repr=False)
    overlap_s: int = Field(default=86400, ge=0, le=30 * 86400)


class DeliveryStatus(StrEnum):
    """Where a delivery is on its way."""

    RECEIVED = "received"
    PROCESSED = "processed"
    UNROUTED = "unrouted"
    FAILED = "failed"


class Delivery(WireModel):
    """One accepted delivery. `delivery_key` is the sender's own id of it, unique per endpoint."""

    delivery_id: str
    org_id: OrgId
    endpoint_id: str
    source: str
    delivery_key: str
    event_type: str
    status: DeliveryStatus
    team_node_id: NodeId | None
    incident_id: str | None
    run_id: str | None
    reason: str | None
    correlation_id: str
    received_at: datetime
    processed_at: datetime | None


class AcceptedDelivery(WireModel):
    """The body of 202 (new), 200 (repeated, or of a kind that starts nothing)."""

    delivery_id: str | None
    status: str
    reason: str | None = None


class DryRunDelivery(WireModel):
    """A payload as its source would send it. Headers that carry no meaning for the route may be left out."""

    headers: dict[str, str] = Field(default={}, max_length=100)
    body: str


class DryRunResult(WireModel):
    """What would become of the payload. Nothing was recorded and nothing runs."""

    source: str
    event_type: str
    action: str
    ignored_because: str | None = None
    occurred_at: datetime
    external_id: str | None = Field(default=None, description="The incident, as its source calls it.")
    title: str = ""
    identifiers: tuple[Identifier, ...] = ()
    route: Route | None = Field(default=None, description="None for an event that is ignored.")
    starts_run: bool = Field(default=False, description="Unless its incident has a run already.")


class Incident(WireModel):
    """An incident as its source tells it: opened by a trigger, moved on by the events that follow."""

    incident_id: str
    org_id: OrgId
    team_node_id: NodeId | None
    source: str
    external_id: str
    title: str
    status: str
    url: str | None
    run_id: str | None
    opened_at: datetime
    updated_at: datetime
