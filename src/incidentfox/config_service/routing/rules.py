"""What a team claims, and which claim decides about an event. Pure. The order is `RouteRule`'s."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from incidentfox.config_service.routing.normal_forms import MAX_VALUE, NormalIdentifier, normalise
from incidentfox.config_service.routing.patterns import MAX_PATTERN, best, normalise_pattern, prefixes
from incidentfox.contracts.configuration import RoutingConfiguration
from incidentfox.contracts.problem import FieldError
from incidentfox.contracts.routing import (
    Attempt,
    Identifier,
    IdentifierKind,
    OwnedIdentifier,
    OwnedKind,
    Route,
    RouteRule,
)
from incidentfox.kernel.errors import Invalid

MAX_CLAIMS = 1000
"""Identifiers and patterns of one team."""

DEFAULT_TEAM = NormalIdentifier(RouteRule.DEFAULT_TEAM, "", "*")
"""What the default team owns: whatever nobody owns."""

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
class Claim:
    """An identifier that a team's configuration claims: its normal form, as given, and where it stands."""

    identifier: NormalIdentifier
    given: str
    pointer: str


@dataclass(frozen=True)
class Question:
    """What the look-up of an event needs to know: who owns these, and which patterns begin like this."""

    identifiers: frozenset[NormalIdentifier]
    prefixes: frozenset[str]


def claims(routing: RoutingConfiguration) -> tuple[list[Claim], list[FieldError]]:
    """What a team's configuration claims, each normal form once, and the values that are no identifiers."""
    found: dict[NormalIdentifier, Claim] = {}
    errors: list[FieldError] = []
    for identifier, given, pointer, form in _listed(routing):
        if identifier is None:
            errors.append(FieldError(pointer=pointer, message=f"{given!r} is not a {form}."))
        else:
            found.setdefault(identifier, Claim(identifier, given, pointer))
    if len(found) > MAX_CLAIMS:
        errors.append(FieldError(pointer="/routing", message=f"A team may own {MAX_CLAIMS} identifiers at most."))
    return list(found.values()), errors


def claim_of_default(team_node_id: str) -> Claim:
    """The claim of the team that the organisation's configuration names as its default."""
    return Claim(DEFAULT_TEAM, team_node_id, "/routing/default_team")


def by_precedence(identifiers: tuple[Identifier, ...]) -> tuple[Identifier, ...]:
    """Most specific kind first; within a kind, as the event gave them."""
    return tuple(sorted(identifiers, key=lambda identifier: _PRECEDENCE[identifier.kind]))


def question(identifiers: tuple[Identifier, ...]) -> Question:
    """What has to be looked up to route an event with these identifiers."""
    normal = {found for identifier in identifiers if (found := _normal(identifier)) is not None}
    services = (found.value for found in normal if found.kind is IdentifierKind.SERVICE)
    return Question(
        identifiers=frozenset(normal | {DEFAULT_TEAM}),
        prefixes=frozenset(prefix for service in services for prefix in prefixes(service)),
    )


def choose(identifiers: tuple[Identifier, ...], owners: Mapping[NormalIdentifier, str]) -> Route:
    """The team of the first attempt that found one, in words, with everything that was tried.

    `owners` answers the `question` about these identifiers.
    """
    tried = tuple(_attempts(by_precedence(identifiers), owners))
    found = [attempt for attempt in tried if attempt.team_node_id is not None]
    if not found:
        return Route(team_node_id=None, matched=None, reason=_nobody(identifiers), tried=tried)
    first = found[0]
    reason = _because(first)
    if first.rule is RouteRule.DEFAULT_TEAM:
        reason = f"{_nobody(identifiers)}; {reason}"
    other = next((attempt for attempt in found if attempt.team_node_id != first.team_node_id), None)
    if other is not None and other.rule is not RouteRule.DEFAULT_TEAM:
        reason += f"; {_because(other)}, but {_decider(first)} decides before it"
    return Route(
        team_node_id=first.team_node_id,
        rule=first.rule,
        matched=first.identifier,
        pattern=first.pattern,
        reason=reason,
        tried=tried,
    )


def place(owned: OwnedIdentifier) -> str:
    """Where an identifier stands in the list of all, as the text of a cursor: its kind, name and normal form."""
    prefix = owned.value.partition("*")[0] if owned.kind is OwnedKind.SERVICE_PATTERN else ""
    return json.dumps([owned.kind, owned.name or prefix, owned.value])


def place_in(cursor: str) -> tuple[str, str, str]:
    """The place that the text of a cursor names; Invalid for anything that we did not make."""
    try:
        kind, name, value = json.loads(cursor)
        "".join((kind, name, value)).encode()
    except (ValueError, TypeError) as error:
        raise Invalid("`cursor` must be the `next_cursor` of an earlier page.", code="invalid_cursor") from error
    if "\0" in kind + name + value:
        raise Invalid("`cursor` must be the `next_cursor` of an earlier page.", code="invalid_cursor")
    return kind, name, value


def describe(identifier: Identifier) -> str:
    """An identifier in a sentence: `pagerduty_service P123`."""
    kind = f"custom {identifier.name}" if identifier.name else identifier.kind.value
    return f"{kind} {identifier.value.strip()}"


def _attempts(identifiers: tuple[Identifier, ...], owners: Mapping[NormalIdentifier, str]) -> Iterator[Attempt]:
    normal = [(identifier, _normal(identifier)) for identifier in identifiers]
    for identifier, found in normal:
        yield Attempt(
            rule=RouteRule.IDENTIFIER,
            identifier=identifier,
            compared_as=found.value if found is not None else None,
            team_node_id=owners.get(found) if found is not None else None,
        )
    patterns = [owned for owned in owners if owned.kind is RouteRule.SERVICE_PATTERN]
    for identifier, found in normal:
        if found is not None and found.kind is IdentifierKind.SERVICE:
            pattern = best(found.value, patterns)
            yield Attempt(
                rule=RouteRule.SERVICE_PATTERN,
                identifier=identifier,
                compared_as=found.value,
                pattern=pattern.value if pattern is not None else None,
                team_node_id=owners[pattern] if pattern is not None else None,
            )
    yield Attempt(rule=RouteRule.DEFAULT_TEAM, team_node_id=owners.get(DEFAULT_TEAM))


def _because(attempt: Attempt) -> str:
    if attempt.identifier is None:
        return f"{attempt.team_node_id} is the organisation's default team"
    if attempt.pattern is not None:
        return f"{describe(attempt.identifier)} matches {attempt.pattern}, which belongs to {attempt.team_node_id}"
    return f"{describe(attempt.identifier)} belongs to {attempt.team_node_id}"


def _decider(attempt: Attempt) -> str:
    if attempt.pattern is not None:
        return attempt.pattern
    return attempt.identifier.kind.value if attempt.identifier is not None else "the default team"


def _nobody(identifiers: tuple[Identifier, ...]) -> str:
    if not identifiers:
        return "the event carries no identifier"
    return "no team owns " + ", ".join(describe(identifier) for identifier in by_precedence(identifiers))


def _normal(identifier: Identifier) -> NormalIdentifier | None:
    return normalise(identifier.kind, identifier.value, identifier.name)


def _listed(routing: RoutingConfiguration) -> Iterator[tuple[NormalIdentifier | None, str, str, str]]:
    for field, kind in _FIELDS:
        for index, value in enumerate(getattr(routing, field)):
            yield normalise(kind, value), value, f"/routing/{field}/{index}", _form(kind)
    for index, value in enumerate(routing.service_patterns):
        form = f"service pattern (1 to {MAX_PATTERN} characters with at least one `*`, and not `*` alone)"
        yield normalise_pattern(value), value, f"/routing/service_patterns/{index}", form
    for name, values in routing.custom.items():
        for index, value in enumerate(values):
            custom = normalise(IdentifierKind.CUSTOM, value, name)
            yield custom, value, f"/routing/custom/{name}/{index}", _form(IdentifierKind.CUSTOM)


def _form(kind: IdentifierKind) -> str:
    return {
        IdentifierKind.GITHUB_REPOSITORY: "GitHub repository (owner/name)",
        IdentifierKind.PAGERDUTY_SERVICE: "PagerDuty service id (letters and digits)",
        IdentifierKind.SLACK_CHANNEL: "Slack channel (id or #name)",
    }.get(kind, f"{kind.value.replace('_', ' ')} (1 to {MAX_VALUE} characters)")
