"""Audit events: append-only, one for each mutation, denial, secret resolution, routing decision, run transition."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import AwareDatetime

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


class AuditFilters(WireModel):
    """Which events a search wants; None: whichever. Each value is compared whole; `since` counts, `until` does not."""

    action: str | None = None
    actor: str | None = None
    target: str | None = None
    team_node_id: NodeId | None = None
    correlation_id: str | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None


class ChainPoint(WireModel):
    """A place in the chain: the hash of link `seq`. 0 is the beginning, before the first event."""

    seq: int
    hash: str


class AuditChain(WireModel):
    """The organisation's chain, or the part of it that an export holds: the links after `start` up to `end`.

    `start` lies beyond 0 where retention has dropped what came before. `unsealed` events are on record and not in the
    chain yet; they are sealed within seconds.
    """

    org_id: OrgId
    start: ChainPoint
    end: ChainPoint
    unsealed: int


class SealedAuditEvent(WireModel):
    """One link of the chain. `event` None: the link is there and the event is gone, which is tampering."""

    seq: int
    previous_hash: str
    hash: str
    event: AuditEvent | None


class ExportFormat(StrEnum):
    """The form of an export of the audit."""

    NDJSON = "ndjson"
    CSV = "csv"
