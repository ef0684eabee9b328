"""Identifiers have one owner, says the database; the look-up finds it and says why."""

from __future__ import annotations

import anyio
import psycopg
import pytest
from tests.config_service.surroundings import Service, Tenants, query, tenant_settings

from incidentfox.contracts.routing import Identifier, IdentifierKind, Route, RouteRule, RoutingLookup
from incidentfox.kernel.errors import Conflict, Unprocessable

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
