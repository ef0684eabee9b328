"""Routing: which team owns an event (decision 002)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from incidentfox.contracts.model import NodeId, WireModel


class IdentifierKind(StrEnum):
    """The kinds of identifier that an event can carry, most specific first: this is the order of precedence."""

    INCIDENTIO_ALERT_SOURCE = "incidentio_alert_source"
    PAGERDUTY_SERVICE = "pagerduty_service"
    INCIDENTIO_TEAM = "incidentio_team"
    GITHUB_REPOSITORY = "github_repository"
    SLACK_CHANNEL = "slack_channel"
    SERVICE = "service"
    CUSTOM = "custom"


class Identifier(WireModel):
    """One identifier found in an event. For `custom`, `name` says which custom kind it is."""

    kind: IdentifierKind
    value: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    name: str | None = None


class RoutingLookup(WireModel):
    """Asks whose event this is, with every identifier that was found in it."""

    identifiers: tuple[Identifier, ...] = Field(max_length=64)


class Route(WireModel):
    """The answer: at most one team, and why. `tried` lists all identifiers in the order of precedence."""

    team_node_id: NodeId | None
    matched: Identifier | None
    reason: str
    tried: tuple[Identifier, ...]
