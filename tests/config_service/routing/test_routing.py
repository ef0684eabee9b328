"""Identifiers have one owner, says the database; the look-up finds it and says why."""

from __future__ import annotations

from typing import Any

import anyio
import psycopg
import pytest
from tests.config_service.surroundings import Service, Tenants, query, tenant_settings

from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.contracts.permissions import Role
from incidentfox.contracts.routing import Identifier, IdentifierKind, OwnedKind, Route, RouteRule, RoutingLookup
from incidentfox.contracts.tokens import CreateToken
from incidentfox.contracts.tree import CreateNode, NodeKind
from incidentfox.kernel.errors import Conflict, Invalid, Unprocessable
from incidentfox.kernel.web.pagination import encode_cursor

pytestmark = pytest.mark.anyio


def asking(kind: IdentifierKind, value: str, name: str | None = None) -> RoutingLookup:
    return RoutingLookup(identifiers=(Identifier(kind=kind, value=value, name=name),))


async def lookup(service: Service, org: str, kind: IdentifierKind, value: str) -> Route:
    return await service.as_service("orchestrator").lookup_route(org, asking(kind, value))


async def test_saving_moves_identifiers_in_and_out(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    await admin.put_configuration(tenants.org, "checkout", {"routing": {"services": ["a", "b"]}})
    await admin.put_configuration(tenants.org, "checkout", {"routing": {"services": ["B", "c"]}})
    owned = {value: (await lookup(service, tenants.org, IdentifierKind.SERVICE, value)).team_node_id for value in "abc"}
    assert owned == {"a": None, "b": "checkout", "c": "checkout"}
    await admin.put_configuration(tenants.org, "payments", {"routing": {"services": ["a"]}})
    assert (await lookup(service, tenants.org, IdentifierKind.SERVICE, "A")).team_node_id == "payments"


async def test_every_kind_is_found_in_another_spelling(service: Service, tenants: Tenants) -> None:
    routing = {
        "slack_channels": ["#Alerts"],
        "github_repositories": ["Acme/Shop"],
        "pagerduty_services": ["pij90n7"],
        "incidentio_teams": ["01FCND"],
        "incidentio_alert_sources": ["01FCNE"],
        "services": ["Checkout API"],
        "custom": {"region": ["EU"]},
    }
    await service.with_token(tenants.admin).put_configuration(tenants.org, "checkout", {"routing": routing})
    spellings = {
        IdentifierKind.SLACK_CHANNEL: "alerts",
        IdentifierKind.GITHUB_REPOSITORY: "https://github.com/acme/shop",
        IdentifierKind.PAGERDUTY_SERVICE: "PIJ90N7",
        IdentifierKind.INCIDENTIO_TEAM: "01fcnd",
        IdentifierKind.INCIDENTIO_ALERT_SOURCE: " 01FCNE",
        IdentifierKind.SERVICE: "checkout  api",
    }
    for kind, spelling in spellings.items():
        assert (await lookup(service, tenants.org, kind, spelling)).team_node_id == "checkout", kind
    custom = asking(IdentifierKind.CUSTOM, "eu", "region")
    assert (await service.with_token(tenants.admin).who_would_get(tenants.org, custom)).team_node_id == "checkout"


async def test_two_spellings_of_one_identifier_conflict(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    await admin.put_configuration(tenants.org, "checkout", {"routing": {"github_repositories": ["acme/shop"]}})
    with pytest.raises(Conflict, match="'checkout'") as refusal:
        await admin.put_configuration(tenants.org, "payments", {"routing": {"github_repositories": ["ACME/Shop.git"]}})
    assert refusal.value.code == "identifier_taken"
    assert (await admin.configuration(tenants.org, "payments")).version == 0


async def test_of_concurrent_claims_one_wins(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    refused: list[str] = []

    async def claim(team: str) -> None:
        try:
            await admin.put_configuration(tenants.org, team, {"routing": {"services": ["hot"]}})
        except Conflict:
            refused.append(team)

    async with anyio.create_task_group() as group:
        group.start_soon(claim, "checkout")
        group.start_soon(claim, "payments")
    [loser] = refused
    winner = (await lookup(service, tenants.org, IdentifierKind.SERVICE, "hot")).team_node_id
    assert {loser, winner} == {"checkout", "payments"}


async def test_the_database_itself_refuses_a_second_owner(service: Service, tenants: Tenants) -> None:
    settings = tenant_settings(tenants.org)
    insert = (
        "INSERT INTO config_routing_identifiers (org_id, kind, name, value, team_node_id, given)"
        f" VALUES ('{tenants.org}', 'service', '', 'x', '%s', 'x')"
    )
    query(service.database, insert % "checkout", settings)
    with pytest.raises(psycopg.errors.UniqueViolation):
        query(service.database, insert % "payments", settings)


async def test_organisations_may_own_the_same_identifier(service: Service, tenants: Tenants) -> None:
    for org, token, team in (
        (tenants.org, tenants.admin, "payments"),
        (tenants.other, tenants.other_admin, "checkout"),
    ):
        await service.with_token(token).put_configuration(org, team, {"routing": {"services": ["same"]}})
    assert (await lookup(service, tenants.org, IdentifierKind.SERVICE, "same")).team_node_id == "payments"
    assert (await lookup(service, tenants.other, IdentifierKind.SERVICE, "same")).team_node_id == "checkout"


async def test_malformed_identifiers_are_refused_by_place(service: Service, tenants: Tenants) -> None:
    with pytest.raises(Unprocessable) as refusal:
        await service.with_token(tenants.admin).put_configuration(
            tenants.org, "checkout", {"routing": {"pagerduty_services": ["P1", "not an id"]}}
        )
    assert [error.pointer for error in refusal.value.errors] == ["/routing/pagerduty_services/1"]


async def test_a_look_up_of_nonsense_finds_nothing(service: Service, tenants: Tenants) -> None:
    for value in ("'; DROP TABLE org_nodes; --", "../../etc/passwd", "%", "🦊" * 100):
        assert (await lookup(service, tenants.org, IdentifierKind.SERVICE, value)).team_node_id is None


async def test_patterns_have_one_owner_and_give_way_to_exact_names(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    await admin.put_configuration(tenants.org, "checkout", {"routing": {"service_patterns": ["Checkout-*", "c*"]}})
    await admin.put_configuration(tenants.org, "payments", {"routing": {"services": ["checkout-pay"]}})
    route = await lookup(service, tenants.org, IdentifierKind.SERVICE, "checkout-api")
    assert (route.team_node_id, route.rule, route.pattern) == ("checkout", RouteRule.SERVICE_PATTERN, "checkout-*")
    assert (await lookup(service, tenants.org, IdentifierKind.SERVICE, "Checkout-Pay")).team_node_id == "payments"
    with pytest.raises(Conflict, match="'checkout'") as refusal:
        await admin.put_configuration(tenants.org, "payments", {"routing": {"service_patterns": ["CHECKOUT-**"]}})
    assert [error.pointer for error in refusal.value.errors] == ["/routing/service_patterns/0"]
    with pytest.raises(Unprocessable) as malformed:
        await admin.put_configuration(tenants.org, "payments", {"routing": {"service_patterns": ["pay-*", "*"]}})
    assert [error.pointer for error in malformed.value.errors] == ["/routing/service_patterns/1"]


async def test_what_nobody_owns_goes_to_the_default_team(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    await admin.put_configuration(tenants.org, tenants.org, {"routing": {"default_team": "payments"}})
    route = await lookup(service, tenants.org, IdentifierKind.SERVICE, "unheard-of")
    assert (route.team_node_id, route.rule) == ("payments", RouteRule.DEFAULT_TEAM)
    empty = await service.as_service("orchestrator").lookup_route(tenants.org, RoutingLookup(identifiers=()))
    assert empty.team_node_id == "payments"
    # Whatever the default team writes itself, it stays the default until the organisation says otherwise.
    await service.with_token(tenants.teams["payments"]).put_configuration(
        tenants.org, "payments", {"routing": None, "budgets": {"run_tokens": 5}}
    )
    assert (await lookup(service, tenants.org, IdentifierKind.SERVICE, "unheard-of")).team_node_id == "payments"
    await admin.put_configuration(tenants.org, tenants.org, {"routing": {"default_team": "checkout"}})
    assert (await lookup(service, tenants.org, IdentifierKind.SERVICE, "unheard-of")).team_node_id == "checkout"
    await admin.put_configuration(tenants.org, tenants.org, {})
    assert (await lookup(service, tenants.org, IdentifierKind.SERVICE, "unheard-of")).team_node_id is None


async def test_the_default_team_must_be_a_team_in_service(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    for wanted in ("nobody", "shops", tenants.org):
        with pytest.raises(Unprocessable) as refusal:
            await admin.put_configuration(tenants.org, tenants.org, {"routing": {"default_team": wanted}})
        assert refusal.value.errors[0].pointer == "/routing/default_team", wanted
    for node, routing in (
        ("checkout", {"default_team": "checkout"}),
        ("checkout", {"default_team": None}),
        ("shops", {"default_team": "checkout"}),
        (tenants.org, {"services": ["a"]}),
    ):
        with pytest.raises(Unprocessable):
            await admin.put_configuration(tenants.org, node, {"routing": routing})


async def test_a_preview_of_an_organisations_write_judges_its_default_team(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    preview = await admin.preview_put(tenants.org, tenants.org, {"routing": {"default_team": "nobody"}})
    assert [refusal.code for refusal in preview.refusals] == ["unknown_default_team"]


ROUTING = {
    "checkout": {
        "github_repositories": ["Acme/Shop"],
        "services": ["a", "B"],
        "service_patterns": ["shop-*"],
        "custom": {"region": ["EU", "👩‍💻 …"]},
    },
    "payments": {"services": ["pay"]},
}
LISTED = [
    ("custom", "region", "eu", "checkout"),
    ("custom", "region", "👩‍💻 ...", "checkout"),
    ("default_team", None, "*", "payments"),
    ("github_repository", None, "acme/shop", "checkout"),
    ("service", None, "a", "checkout"),
    ("service", None, "b", "checkout"),
    ("service", None, "pay", "payments"),
    ("service_pattern", None, "shop-*", "checkout"),
]


async def owned(client: ConfigServiceClient, org: str, limit: int = 3, **wanted: Any) -> list[tuple[Any, ...]]:
    """Everything of the list, page by page."""
    found: list[tuple[Any, ...]] = []
    cursor = None
    while True:
        page = await client.owned_identifiers(org, cursor=cursor, limit=limit, **wanted)
        found += [(one.kind, one.name, one.value, one.team_node_id) for one in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return found


async def all_owned(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    for team, routing in ROUTING.items():
        await admin.put_configuration(tenants.org, team, {"routing": routing})
    await admin.put_configuration(tenants.org, tenants.org, {"routing": {"default_team": "payments"}})


async def test_the_list_names_each_identifier_and_its_owner_once(service: Service, tenants: Tenants) -> None:
    await all_owned(service, tenants)
    admin = service.with_token(tenants.admin)
    for limit in (1, 3, 8, 100):
        assert await owned(admin, tenants.org, limit) == LISTED
    [repository] = (await admin.owned_identifiers(tenants.org, kind=OwnedKind.GITHUB_REPOSITORY)).items
    assert repository.given == "Acme/Shop"
    services = [one for one in LISTED if one[0] == "service"]
    assert await owned(admin, tenants.org, 1, kind=OwnedKind.SERVICE) == services
    assert await owned(admin, tenants.org, team="payments") == [one for one in LISTED if one[3] == "payments"]
    assert await owned(admin, tenants.org, team="payments", kind=OwnedKind.CUSTOM) == []


async def test_the_list_of_a_node_is_what_is_owned_there_and_below(service: Service, tenants: Tenants) -> None:
    await all_owned(service, tenants)
    platform = service.as_service("platform")
    beside = CreateNode(node_id="beside", parent_id=tenants.org, kind=NodeKind.TEAM, name="Beside")
    await platform.create_node(tenants.org, beside)
    await service.with_token(tenants.admin).put_configuration(
        tenants.org, "beside", {"routing": {"services": ["elsewhere"]}}
    )
    for team in ("checkout", "payments"):
        own = [one for one in LISTED if one[3] == team]
        client = service.with_token(tenants.teams[team])
        assert await owned(client, tenants.org) == own
        for other in {"checkout", "payments", "beside"} - {team}:
            assert await owned(client, tenants.org, team=other) == []
    unit = await platform.create_token(tenants.org, CreateToken(name="unit", node_id="shops", role=Role.VIEWER))
    assert await owned(service.with_token(unit.secret), tenants.org) == LISTED
    assert await owned(service.with_token(tenants.other_admin), tenants.other) == []


async def test_a_cursor_of_the_list_that_we_did_not_make_is_refused(service: Service, tenants: Tenants) -> None:
    client = service.with_token(tenants.admin)
    for key in ("x", "[]", '["service","a"]', "[1,2,3]", '["service","","\\u0000"]', '["service","","\\ud800"]', "{}"):
        with pytest.raises(Invalid) as refusal:
            await client.owned_identifiers(tenants.org, cursor=encode_cursor(key))
        assert refusal.value.code == "invalid_cursor"


async def test_the_longest_identifiers_have_cursors(service: Service, tenants: Tenants) -> None:
    values = [f"{number}{'é' * 511}" for number in range(3)]
    custom = {"routing": {"custom": {"x" * 60: values}}}
    await service.with_token(tenants.admin).put_configuration(tenants.org, "checkout", custom)
    found = await owned(service.with_token(tenants.admin), tenants.org, 1)
    assert [value for _, _, value, _ in found] == values


def test_what_can_be_owned_are_the_identifiers_and_the_other_rules() -> None:
    others = set(RouteRule) - {RouteRule.IDENTIFIER}
    assert {kind.value for kind in OwnedKind} == {kind.value for kind in IdentifierKind} | {
        rule.value for rule in others
    }
