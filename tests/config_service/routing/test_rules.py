"""Normal forms and precedence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incidentfox.config_service.routing.rules import MAX_CLAIMS, NormalIdentifier, choose, claims, normalise
from incidentfox.contracts.configuration import RoutingConfiguration
from incidentfox.contracts.routing import Identifier, IdentifierKind

K = IdentifierKind


@pytest.mark.parametrize(
    ("kind", "spellings"),
    [
        (
            K.GITHUB_REPOSITORY,
            ["acme/shop", " Acme/Shop ", "ACME/SHOP.git", "https://github.com/acme/shop/", "github.com/Acme/shop"],
        ),
        (K.SLACK_CHANNEL, ["C024BE91L", "c024be91l", " C024BE91L\n"]),
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
        (K.CUSTOM, "x", None),
        (K.CUSTOM, "x", " "),
    ],
)
def test_what_is_no_identifier_has_no_normal_form(kind: IdentifierKind, value: str, name: str | None) -> None:
    assert normalise(kind, value, name) is None


def test_custom_kinds_keep_apart() -> None:
    assert normalise(K.CUSTOM, "EU", "region") == normalise(K.CUSTOM, "eu", "Region")
    assert normalise(K.CUSTOM, "eu", "region") != normalise(K.CUSTOM, "eu", "zone")


@given(st.sampled_from([kind for kind in K if kind is not K.CUSTOM]), st.text(min_size=1, max_size=40))
def test_a_normal_form_is_its_own(kind: IdentifierKind, value: str) -> None:
    once = normalise(kind, value)
    if once is not None:
        assert normalise(kind, once.value) == once


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
    assert route.tried == (asked[1], asked[0])


def test_within_a_kind_the_events_order_decides() -> None:
    asked = (identifier(K.SERVICE, "b"), identifier(K.SERVICE, "a"))
    assert choose(asked, owner(K.SERVICE, "a", "x") | owner(K.SERVICE, "b", "y")).team_node_id == "y"


@given(st.permutations(list(K)))
def test_precedence_is_the_order_of_the_kinds_whatever_the_events_order(kinds: list[IdentifierKind]) -> None:
    asked = tuple(Identifier(kind=kind, value="a/b", name="n" if kind is K.CUSTOM else None) for kind in kinds)
    assert [tried.kind for tried in choose(asked, {}).tried] == list(K)


def test_nothing_found_says_what_was_tried() -> None:
    assert choose((), {}).reason == "the event carries no identifier"
    route = choose((identifier(K.SERVICE, "x"), Identifier(kind=K.CUSTOM, name="region", value="eu")), {})
    assert (route.team_node_id, route.matched) == (None, None)
    assert route.reason == "no team owns service x, custom region eu"
