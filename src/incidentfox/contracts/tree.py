"""The organisation tree: organisations, units and teams."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from incidentfox.contracts.configuration import JsonObject
from incidentfox.contracts.model import Name, NodeId, OrgId, WireModel


class NodeKind(StrEnum):
    """What a node is. An organisation is the root; units nest; teams are leaves and own runs."""

    ORG = "org"
    UNIT = "unit"
    TEAM = "team"


class CreateOrganisation(WireModel):
    """Creates an organisation and its root node (whose id is the organisation's id)."""

    org_id: OrgId
    name: Name


class CreateNode(WireModel):
    """Creates a unit or a team below `parent_id`."""

    node_id: NodeId
    parent_id: NodeId
    kind: NodeKind
    name: Name
    configuration: JsonObject | None = Field(
        default=None, description="The node's first document, where policies above require values of a team."
    )


class UpdateNode(WireModel):
    """Renames a node, moves it with everything below it, or both. What is left out stays."""

    name: Name | None = None
    parent_id: NodeId | None = None


class Removal(WireModel):
    """What falls with a node, or what would (`dry_run`). Runs, audit events and the history of documents stay."""

    org_id: OrgId
    node_id: NodeId
    dry_run: bool
    units: tuple[NodeId, ...] = Field(description="The units that go, topmost first.")
    teams: tuple[NodeId, ...] = Field(description="The teams that go. Their ids are never given out again.")
    identifiers: int = Field(description="Routing identifiers that become free.")
    secrets: int
    tokens: int = Field(description="Tokens of these teams that are revoked.")
    change_requests: int = Field(description="Open change requests that are withdrawn.")


class Node(WireModel):
    """One node of the tree. `version` grows with each write and is the node's ETag."""

    org_id: OrgId
    node_id: NodeId
    parent_id: NodeId | None
    kind: NodeKind
    name: str
    version: int
    created_at: datetime
    archived_at: datetime | None = None
