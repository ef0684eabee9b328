"""The organisation tree: organisations, units and teams."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

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
