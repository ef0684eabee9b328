"""Normalises identifiers and weighs them. Pure.

An identifier is compared in one normal form per kind, in the configuration and in the event alike, so that spelling
decides nothing: GitHub's names are case-insensitive, Slack's ids are upper-case and its channel names lower-case,
PagerDuty's ids are upper-case, names of people's making differ only by more than case and white space.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from incidentfox.contracts.configuration import RoutingConfiguration
from incidentfox.contracts.problem import FieldError
from incidentfox.contracts.routing import Identifier, IdentifierKind, Route

MAX_VALUE = 512
"""Characters of one identifier."""

MAX_CLAIMS = 1000
"""Identifiers of one team."""

_GITHUB_PREFIX = re.compile(r"^(?:https?://)?(?:www\.)?github\.com/", re.IGNORECASE)
_GITHUB_NAME = re.compile(r"^[a-z0-9](?:[a-z0-9-]{0,38})/[a-z0-9._-]{1,100}$")
_SLACK_ID = re.compile(r"^[CGD][0-9][A-Z0-9]{6,}$")
_SLACK_ID_AS_WRITTEN = re.compile(r"^[CGD][A-Z0-9]{7,}$")
_PAGERDUTY_ID = re.compile(r"^[A-Z0-9]+$")
_PRECEDENCE = {kind: place for place, kind in enumerate(IdentifierKind)}

_FIELDS: tuple[tuple[str, IdentifierKind], ...] = (
    ("incidentio_alert_sources", IdentifierKind.INCIDENTIO_ALERT_SOURCE),
    ("pagerduty_services", IdentifierKind.PAGERDUTY_SERVICE),
    ("incidentio_teams", IdentifierKind.INCIDENTIO_TEAM),
    ("github_repositories", IdentifierKind.GITHUB_REPOSITORY),
    ("slack_channels", IdentifierKind.SLACK_CHANNEL),
    ("services", IdentifierKind.SERVICE),
)


@dataclass(frozen=True)
class NormalIdentifier:
    """An identifier in its normal form. `name` is the custom kind, empty for the others."""

    kind: IdentifierKind
    name: str
    value: str


@dataclass(frozen=True)
class Claim:
    """An identifier that a team's configuration claims: its normal form, as given, and where it stands."""

    identifier: NormalIdentifier
    given: str
    pointer: str


def normalise(kind: IdentifierKind, value: str, name: str | None = None) -> NormalIdentifier | None:
    """The normal form; None for a value that cannot be an identifier of this kind."""
    text = " ".join(unicodedata.normalize("NFKC", value).split())
    custom = (name or "").strip().casefold() if kind is IdentifierKind.CUSTOM else ""
    if not text or len(text) > MAX_VALUE or (kind is IdentifierKind.CUSTOM and not custom):
        return None
    match kind:
        case IdentifierKind.GITHUB_REPOSITORY:
            text = _github(text)
        case IdentifierKind.SLACK_CHANNEL:
            text = _slack(text)
        case IdentifierKind.PAGERDUTY_SERVICE:
            text = text.upper() if _PAGERDUTY_ID.match(text.upper()) else ""
        case _:
            text = text.casefold()
    return NormalIdentifier(kind, custom, text) if text else None


def claims(routing: RoutingConfiguration) -> tuple[list[Claim], list[FieldError]]:
    """What a team's configuration claims, each normal form once, and the values that are no identifiers."""
    found: dict[NormalIdentifier, Claim] = {}
    errors: list[FieldError] = []
    for kind, name, value, pointer in _listed(routing):
        identifier = normalise(kind, value, name)
        if identifier is None:
            errors.append(FieldError(pointer=pointer, message=f"{value!r} is not a {_form(kind)}."))
        else:
            found.setdefault(identifier, Claim(identifier, value, pointer))
    if len(found) > MAX_CLAIMS:
        errors.append(FieldError(pointer="/routing", message=f"A team may own {MAX_CLAIMS} identifiers at most."))
    return list(found.values()), errors


def by_precedence(identifiers: tuple[Identifier, ...]) -> tuple[Identifier, ...]:
    """Most specific kind first; within a kind, as the event gave them."""
    return tuple(sorted(identifiers, key=lambda identifier: _PRECEDENCE[identifier.kind]))


def choose(identifiers: tuple[Identifier, ...], owners: Mapping[NormalIdentifier, str]) -> Route:
    """The team of the most specific identifier that has an owner, in words, with everything that was tried."""
    tried = by_precedence(identifiers)
    owned = [(identifier, owner) for identifier in tried if (owner := _owner(identifier, owners)) is not None]
    if not owned:
        reason = "the event carries no identifier"
        if tried:
            reason = "no team owns " + ", ".join(describe(identifier) for identifier in tried)
        return Route(team_node_id=None, matched=None, reason=reason, tried=tried)
    matched, team = owned[0]
    reason = f"{describe(matched)} belongs to {team}"
    other = next(((identifier, owner) for identifier, owner in owned if owner != team), None)
    if other is not None:
        reason += f"; {describe(other[0])} belongs to {other[1]}, but {matched.kind.value} decides before it"
    return Route(team_node_id=team, matched=matched, reason=reason, tried=tried)


def describe(identifier: Identifier) -> str:
    """An identifier in a sentence: `pagerduty_service P123`."""
    kind = f"custom {identifier.name}" if identifier.name else identifier.kind.value
    return f"{kind} {identifier.value.strip()}"


def _owner(identifier: Identifier, owners: Mapping[NormalIdentifier, str]) -> str | None:
    normal = normalise(identifier.kind, identifier.value, identifier.name)
    return owners.get(normal) if normal is not None else None


def _listed(routing: RoutingConfiguration) -> Iterator[tuple[IdentifierKind, str | None, str, str]]:
    for field, kind in _FIELDS:
        for index, value in enumerate(getattr(routing, field)):
            yield kind, None, value, f"/routing/{field}/{index}"
    for name, values in routing.custom.items():
        for index, value in enumerate(values):
            yield IdentifierKind.CUSTOM, name, value, f"/routing/custom/{name}/{index}"


def _github(text: str) -> str:
    name = _GITHUB_PREFIX.sub("", text).rstrip("/").removesuffix(".git").lower()
    return name if _GITHUB_NAME.match(name) else ""


def _slack(text: str) -> str:
    if _SLACK_ID.match(text.upper()) or _SLACK_ID_AS_WRITTEN.match(text):
        return text.upper()
    return text.removeprefix("#").strip().lower()


def _form(kind: IdentifierKind) -> str:
    return {
        IdentifierKind.GITHUB_REPOSITORY: "GitHub repository (owner/name)",
        IdentifierKind.PAGERDUTY_SERVICE: "PagerDuty service id (letters and digits)",
        IdentifierKind.SLACK_CHANNEL: "Slack channel (id or #name)",
    }.get(kind, f"{kind.value.replace('_', ' ')} (1 to {MAX_VALUE} characters)")
