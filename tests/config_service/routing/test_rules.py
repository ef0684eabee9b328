"""Normal forms and precedence."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from incidentfox.config_service.routing.normal_forms import MAX_BYTES, NormalIdentifier, normalise
from incidentfox.config_service.routing.patterns import matches, normalise_pattern
from incidentfox.config_service.routing.rules import DEFAULT_TEAM, MAX_CLAIMS, choose, claims, question
from incidentfox.contracts.configuration import RoutingConfiguration
from incidentfox.contracts.routing import Identifier, IdentifierKind, RouteRule

K = IdentifierKind


@pytest.mark.parametrize(
    ("kind", "spellings"),
    [
        (
            K.GITHUB_REPOSITORY,
            [
                "acme/shop",
                " Acme/Shop ",
                "ACME/SHOP.git",
                "https://github.com/acme/shop/",
                "github.com/Acme/shop",
                "git@github.com:acme/shop.git",
                "ssh://git@github.com/acme/shop.git",
            ],
        ),
        (K.SLACK_CHANNEL, ["C024BE91L", "c024be91l", " C024BE91L\n", "#C024BE91L"]),
        (K.SLACK_CHANNEL, ["#checkout-alerts", "checkout-alerts", " #Checkout-Alerts", "# checkout-alerts"]),
        (K.PAGERDUTY_SERVICE, ["PIJ90N7", "pij90n7", "\tpij90N7 "]),
        (K.SERVICE, ["Checkout API", " checkout  api ", "CHECKOUT\tAPI"]),
        (K.SERVICE, ["Straße", "STRASSE"]),
        (K.SERVICE, ["caf\u00e9", "cafe\u0301"]),
        (K.INCIDENTIO_TEAM, ["01FCNDV6P870EA6S7TK1DSYDG0", "01fcndv6p870ea6s7tk1dsydg0"]),
    ],
)
def test_spellings_of_one_identifier_are_one(kind: IdentifierKind, spellings: list[str]) -> None:
    assert len({normalise(kind, spelling) for spelling in spellings}) == 1
    assert normalise(kind, spellings[0]) is not None


@pytest.mark.parametrize(
    ("kind", "value", "name"),
    [
        (K.GITHUB_REPOSITORY, "shop", None),
        (K.GITHUB_REPOSITORY, "acme/shop/extra", None),
        (K.GITHUB_REPOSITORY, "https://gitlab.com/acme/shop", None),
        (K.PAGERDUTY_SERVICE, "P-1", None),
        (K.SLACK_CHANNEL, "#", None),
        (K.SERVICE, " \t ", None),
        (K.SERVICE, "x" * 513, None),
        (K.SERVICE, "\U00020000" * 512, None),
        (K.SERVICE, "\ufdfa" * 60, None),
        (K.CUSTOM, "x", None),
        (K.CUSTOM, "x", " "),
    ],
)
def test_what_is_no_identifier_has_no_normal_form(kind: IdentifierKind, value: str, name: str | None) -> None:
    assert normalise(kind, value, name) is None


def test_custom_kinds_keep_apart() -> None:
    assert normalise(K.CUSTOM, "EU", "region") == normalise(K.CUSTOM, "eu", "Region")
    assert normalise(K.CUSTOM, "eu", "region") != normalise(K.CUSTOM, "eu", "zone")


_TRICKY = st.text(
    alphabet="#/.: gitCDG012cdg*\u0130\u0131\u0390\u0345\u0323\u00df\u1e9e\u017f\ufb03\u2122\u3000K", max_size=16
)


@given(st.sampled_from(list(K)), st.one_of(st.text(max_size=40), _TRICKY))
@example(K.SLACK_CHANNEL, "#c0abcdefg")
@example(K.SLACK_CHANNEL, "# #x")
@example(K.GITHUB_REPOSITORY, "a/b.git/.git")
def test_a_normal_form_is_its_own(kind: IdentifierKind, value: str) -> None:
    once = normalise(kind, value, "region")
    if once is not None:
        assert normalise(kind, once.value, once.name) == once
        assert len(once.value.encode(errors="replace")) <= MAX_BYTES


def test_a_team_claims_each_normal_form_once_and_hears_of_what_is_none() -> None:
    routing = RoutingConfiguration(
        github_repositories=("Acme/Shop", "acme/shop", "nonsense"), custom={"region": ("EU", "eu")}
    )
    found, errors = claims(routing)
    assert [claim.pointer for claim in found] == ["/routing/github_repositories/0", "/routing/custom/region/0"]
    assert [error.pointer for error in errors] == ["/routing/github_repositories/2"]


def test_a_team_owns_a_thousand_identifiers_at_most() -> None:
    names = tuple(f"s{number}" for number in range(MAX_CLAIMS + 1))
    assert claims(RoutingConfiguration(services=names[:-1]))[1] == []
    assert claims(RoutingConfiguration(services=names))[1] != []


def identifier(kind: IdentifierKind, value: str) -> Identifier:
    return Identifier(kind=kind, value=value)


def owner(kind: IdentifierKind, value: str, team: str) -> dict[NormalIdentifier, str]:
    normal = normalise(kind, value)
    assert normal is not None
    return {normal: team}


def test_the_most_specific_identifier_decides_and_the_other_owner_is_named() -> None:
    asked = (identifier(K.SERVICE, "Cart"), identifier(K.PAGERDUTY_SERVICE, "p1"))
    owners = owner(K.SERVICE, "cart", "shop") | owner(K.PAGERDUTY_SERVICE, "P1", "checkout")
    route = choose(asked, owners)
    assert route.team_node_id == "checkout"
    assert route.matched == asked[1]
    assert route.reason == (
        "pagerduty_service p1 belongs to checkout;"
        " service Cart belongs to shop, but pagerduty_service decides before it"
    )
    assert [(tried.identifier, tried.compared_as, tried.team_node_id) for tried in route.tried] == [
        (asked[1], "P1", "checkout"),
        (asked[0], "cart", "shop"),
        (asked[0], "cart", None),
        (None, None, None),
    ]


def test_within_a_kind_the_events_order_decides() -> None:
    asked = (identifier(K.SERVICE, "b"), identifier(K.SERVICE, "a"))
    assert choose(asked, owner(K.SERVICE, "a", "x") | owner(K.SERVICE, "b", "y")).team_node_id == "y"


@given(st.permutations(list(K)))
def test_precedence_is_the_order_of_the_kinds_whatever_the_events_order(kinds: list[IdentifierKind]) -> None:
    asked = tuple(Identifier(kind=kind, value="a/b", name="n" if kind is K.CUSTOM else None) for kind in kinds)
    tried = [attempt for attempt in choose(asked, {}).tried if attempt.rule is RouteRule.IDENTIFIER]
    assert [attempt.identifier.kind for attempt in tried if attempt.identifier] == list(K)


def test_nothing_found_says_what_was_tried() -> None:
    assert choose((), {}).reason == "the event carries no identifier"
    route = choose((identifier(K.SERVICE, "x"), Identifier(kind=K.CUSTOM, name="region", value="eu")), {})
    assert (route.team_node_id, route.matched) == (None, None)
    assert route.reason == "no team owns service x, custom region eu"


def test_the_rules_are_tried_in_their_order() -> None:
    asked = (identifier(K.SERVICE, "Checkout API"), identifier(K.SLACK_CHANNEL, "#alerts"))
    route = choose(asked, {})
    assert [attempt.rule for attempt in route.tried] == [
        RouteRule.IDENTIFIER,
        RouteRule.IDENTIFIER,
        RouteRule.SERVICE_PATTERN,
        RouteRule.DEFAULT_TEAM,
    ]


def test_an_exact_match_of_any_kind_decides_before_a_pattern_and_a_pattern_before_the_default() -> None:
    pattern = normalise_pattern("checkout-*")
    assert pattern is not None
    service = identifier(K.SERVICE, "Checkout-API")
    region = Identifier(kind=K.CUSTOM, name="region", value="eu")
    custom = normalise(K.CUSTOM, "eu", "region")
    assert custom is not None
    owners = {DEFAULT_TEAM: "fallback", pattern: "checkout", custom: "europe"}
    exact = choose((service, region), owners)
    assert (exact.team_node_id, exact.rule) == ("europe", RouteRule.IDENTIFIER)
    assert exact.reason == (
        "custom region eu belongs to europe;"
        " service Checkout-API matches checkout-*, which belongs to checkout, but custom decides before it"
    )
    by_pattern = choose((service,), owners)
    assert (by_pattern.team_node_id, by_pattern.rule, by_pattern.pattern, by_pattern.matched) == (
        "checkout",
        RouteRule.SERVICE_PATTERN,
        "checkout-*",
        service,
    )
    assert by_pattern.reason == "service Checkout-API matches checkout-*, which belongs to checkout"
    by_default = choose((identifier(K.SERVICE, "cart"),), owners)
    assert (by_default.team_node_id, by_default.rule, by_default.matched) == ("fallback", RouteRule.DEFAULT_TEAM, None)
    assert by_default.reason == "no team owns service cart; fallback is the organisation's default team"


@given(st.lists(st.text(alphabet="ab-", min_size=1, max_size=5), min_size=1, max_size=4), st.text("ab*-", max_size=6))
def test_the_question_asks_for_every_pattern_that_could_match(services: list[str], text: str) -> None:
    pattern = normalise_pattern(text)
    asked = question(tuple(identifier(K.SERVICE, service) for service in services))
    if pattern is not None and any(matches(pattern.value, service) for service in services):
        assert pattern.name in asked.prefixes
