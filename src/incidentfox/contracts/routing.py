"""Routing: which team owns an event (decision 002)."""

from __future__ import annotations

from datetime import datetime
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


class RouteRule(StrEnum):
    """What can decide, in the order in which it does. Nothing later counts once one of them has found a team.

    1. An identifier that a team owns: the most specific kind first (`IdentifierKind`), within a kind as the event
       lists them.
    2. A service pattern, for the services of the event as it lists them: the longest literal text before the first `*`
       wins, then the most literal text in all, then the alphabet.
    3. The organisation's default team.
    """

    IDENTIFIER = "identifier"
    SERVICE_PATTERN = "service_pattern"
    DEFAULT_TEAM = "default_team"


class OwnedKind(StrEnum):
    """What a team can own: an identifier of a kind, a pattern for services, or whatever nobody else owns."""

    INCIDENTIO_ALERT_SOURCE = IdentifierKind.INCIDENTIO_ALERT_SOURCE.value
    PAGERDUTY_SERVICE = IdentifierKind.PAGERDUTY_SERVICE.value
    INCIDENTIO_TEAM = IdentifierKind.INCIDENTIO_TEAM.value
    GITHUB_REPOSITORY = IdentifierKind.GITHUB_REPOSITORY.value
    SLACK_CHANNEL = IdentifierKind.SLACK_CHANNEL.value
    SERVICE = IdentifierKind.SERVICE.value
    CUSTOM = IdentifierKind.CUSTOM.value
    SERVICE_PATTERN = RouteRule.SERVICE_PATTERN.value
    DEFAULT_TEAM = RouteRule.DEFAULT_TEAM.value


class OwnedIdentifier(WireModel):
    """An identifier and the one team that owns it."""

    kind: OwnedKind
    name: str | None = Field(description="The custom kind of a `custom` identifier.")
    value: str = Field(description="The normal form, which events are compared with; `*` for the default team.")
    given: str = Field(description="As it stands in the configuration.")
    team_node_id: NodeId
    created_at: datetime = Field(description="Since when the team owns it.")


class Identifier(WireModel):
    """One identifier found in an event. For `custom`, `name` says which custom kind it is."""

    kind: IdentifierKind
    value: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    name: Annotated[str, StringConstraints(max_length=512)] | None = None


class RoutingLookup(WireModel):
    """Asks whose event this is, with every identifier that was found in it."""

    identifiers: tuple[Identifier, ...] = Field(max_length=64)


class Attempt(WireModel):
    """One thing that was tried. `team_node_id` None: it found nobody."""

    rule: RouteRule
    identifier: Identifier | None = Field(default=None, description="None for the default team.")
    compared_as: str | None = Field(
        default=None, description="The normal form of the value; None for a value that no team can own."
    )
    pattern: str | None = Field(default=None, description="The service pattern that matched.")
    team_node_id: NodeId | None = None


class Route(WireModel):
    """The answer: at most one team, and why. `tried` lists everything in the order of precedence, found or not."""

    team_node_id: NodeId | None
    rule: RouteRule | None = Field(default=None, description="What decided; None when nothing did.")
    matched: Identifier | None = Field(description="The identifier that decided.")
    pattern: str | None = Field(default=None, description="The service pattern that the identifier matched.")
    reason: str
    tried: tuple[Attempt, ...]
