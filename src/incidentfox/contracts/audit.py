"""Audit events: append-only, one for each mutation, denial, secret resolution, routing decision, run transition."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from incidentfox.contracts.model import NodeId, OrgId, WireModel


class AppendAuditEvent(WireModel):
    """What a service puts on record. `event_key` makes the call idempotent within the organisation."""

    event_key: str
    team_node_id: NodeId | None = None
    action: str
    target: str
    correlation_id: str | None = None
    source_address: str | None = None
    before_hash: str | None = None
    after_hash: str | None = None
    detail: dict[str, Any] = {}


class AuditEvent(WireModel):
    """One event on record. `actor` is the subject of the credential that caused it."""

    event_id: str
    org_id: OrgId
    team_node_id: NodeId | None
    at: datetime
    actor: str
    action: str
    target: str
    correlation_id: str | None
    source_address: str | None
    before_hash: str | None
    after_hash: str | None
    detail: dict[str, Any]
