"""One level of a path through the tree: a node with its own document. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from incidentfox.config_service.configuration.defaults import PLATFORM_DEFAULTS, PLATFORM_NODE, PLATFORM_VERSION
from incidentfox.contracts.configuration import JsonObject
from incidentfox.contracts.explanation import SetBy
from incidentfox.contracts.tree import NodeKind

POLICIES = "policies"
"""The key of a node's document that is not inherited: what the node demands of those below it."""


@dataclass(frozen=True)
class Level:
    """A node with its own document of some version; version 0 and an empty document where it has none."""

    node_id: str
    parent_id: str | None
    kind: NodeKind
    version: int
    document: JsonObject
    archived: bool = False
    written_at: datetime | None = None
    written_by: str | None = None
    change_request_id: str | None = None

    @property
    def settings(self) -> JsonObject:
        """What those below inherit."""
        if POLICIES not in self.document:
            return self.document
        return {key: value for key, value in self.document.items() if key != POLICIES}

    @property
    def policies(self) -> Any:
        """What the node demands of those below it, as it was written."""
        return self.document.get(POLICIES)

    @property
    def is_team(self) -> bool:
        """Whether this is a team: only what a team comes to is ever run."""
        return self.kind is NodeKind.TEAM

    def set_by(self) -> SetBy:
        """The write that this level's document came with."""
        return SetBy(
            node_id=self.node_id,
            version=self.version,
            at=self.written_at,
            by=self.written_by,
            change_request_id=self.change_request_id,
        )


PLATFORM = Level(PLATFORM_NODE, None, NodeKind.ORG, PLATFORM_VERSION, PLATFORM_DEFAULTS)
"""The level above every organisation."""
