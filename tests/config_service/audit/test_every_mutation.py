"""Every route that changes something leaves an event: generated from the route table, so that a new one cannot forget.

The routes are called in an order in which each finds what it needs. Each call carries a correlation id of its own; an
event with that id must be on record, by the subject of the call, from its address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

import pytest
from tests.config_service.surroundings import Service, Tenants, new_run, query, tenant_settings
from tests.config_service.test_isolation import BODIES, filled, route_table

from incidentfox.clients.config_service import AUDIENCE
from incidentfox.contracts.permissions import SERVICE_PERMISSIONS, Role
from incidentfox.contracts.tokens import CreateToken
from incidentfox.contracts.tree import CreateNode, NodeKind
from incidentfox.kernel.crypto import Keyring
from incidentfox.kernel.ids import new_id

pytestmark = pytest.mark.anyio

CHANGES_NOTHING = {
    "POST /api/v1/orgs/{org_id}/routing/lookup": "asks; the decision on a delivery is recorded by the Orchestrator",
    "POST /api/v1/internal/routing/lookup": "asks; the decision on a delivery is recorded by the Orchestrator",
    "POST /api/v1/internal/tokens/introspect": "asks",
}
RECORDS_OF_THEIR_OWN = {
    "POST /api/v1/internal/runs/{run_id}/events": "the timeline is append-only itself",
    "POST /api/v1/internal/runs/{run_id}/captures": "what a run read; kept by its hash",
    "POST /api/v1/internal/runs/{run_id}/budget/reserve": "the ledger of budgets is a record itself",
    "POST /api/v1/internal/runs/{run_id}/budget/settle": "the ledger of budgets is a record itself",
}
ABOUT_THE_CALLER = {
    "DELETE /api/v1/me/token",
    "POST /api/v1/sign-in-codes",
    "POST /api/v1/sign-in-codes/exchange",
}
"""They sign in and out. Every other write of people can be rehearsed."""
LATER = ("archive", "restore", "DELETE", "finish", "settle", "sign-in-codes/exchange", "approve", "me/token")
"""What needs something that another route has made, or ends it, comes after the others in this order."""

BODIES_OF_A_SUCCESS: dict[str, Any] = {
    "POST /api/v1/orgs": {"org_id": "{new_org}", "name": "New"},
    "POST /api/v1/orgs/{org_id}/nodes": {"node_id": "new", "parent_id": "shops", "kind": "team", "name": "New"},
    "POST /api/v1/orgs/{org_id}/nodes/{node_id}/configuration/rollback": {"version": 1},
    "POST /api/v1/orgs/{org_id}/nodes/{node_id}/change-requests": {
        "title": "Give more",
        "change": {"kind": "patch", "patch": {"budgets": {"run_tokens": 4}}},
    },
    "POST /api/v1/internal/audit-events": {"event_key": "e", "action": "a", "target": "t"},
    "POST /api/v1/sign-in-codes/exchange": {"code": "{code}"},
}


@dataclass
class Caller:
    """The ids that the calls are about, and the credentials with which they are made."""

    service: Service
    tenants: Tenants
    values: dict[str, str]
    people: dict[str, str] = field(default_factory=dict)

    async def call(self, route: str, token: str | None, *, dry_run: bool = False, **more: str) -> Any:
        """A call that succeeds."""
        method, path = route.split(" ")
        values = {**self.values, **more}
        address = re.sub(r"\{(\w+)(:path)?\}", lambda match: quote(values[match[1]], safe=":"), path)
        body = filled({**BODIES, **BODIES_OF_A_SUCCESS}.get(route), values) if method != "DELETE" else None
        if route == "POST /api/v1/internal/runs":
            body = new_run().model_dump(mode="json")
        headers = {"X-Correlation-Id": values["correlation"]}
        sent: dict[str, Any] = {"json": body} if body is not None else {}
        if dry_run:
            sent["params"] = {"dry_run": "true"}
        answer = await self.service.call(method, address, token, headers=headers, **sent)
        assert answer.is_success, (route, answer.text)
        return answer.json() if answer.content else None

    def token_for(self, route: str) -> str | None:
        """The least surprising credential for a route."""
        if route.endswith("/exchange"):
            return None
        if " /api/v1/internal/" in route:
            team = None if route.endswith("/audit-events") else "checkout"
            name = "orchestrator" if route.endswith(("/internal/runs", "/audit-events")) else "agent"
            return self.service.trusted.identity(name).token(
                AUDIENCE, SERVICE_PERMISSIONS[name], self.tenants.org, team
            )
        if route == "POST /api/v1/orgs":
            platform = self.service.trusted.identity("platform")
            return platform.token(AUDIENCE, SERVICE_PERMISSIONS["platform"], None)
        return self.people["bo" if route.endswith(("/approve", "/reject")) else "ana"]


@pytest.fixture
async def caller(service: Service, tenants: Tenants) -> Caller:
    """Two administrators, a team to reshape, a run, and whatever else the paths name."""
    admin, platform = service.with_token(tenants.admin), service.as_service("platform")
    spare = CreateNode(node_id="spare", parent_id="shops", kind=NodeKind.TEAM, name="Spare")
    await platform.create_node(tenants.org, spare)
    for team in ("spare", "checkout"):
        await admin.put_configuration(tenants.org, team, {"budgets": {"run_tokens": 3}})
    await admin.put_secret(tenants.org, "checkout", "stripe", "x")
    run = await service.as_service("orchestrator").create_run(tenants.org, new_run())
    people = {
        user: (await admin.create_token(tenants.org, CreateToken(name=user, role=Role.ORG_ADMIN, user=user))).secret
        for user in ("ana", "bo")
    }
    old = await admin.create_token(tenants.org, CreateToken(name="old"))
    values = {
        "org_id": tenants.org,
        "new_org": f"new-{tenants.org}",
        "node_id": "spare",
        "run_id": run.run_id,
        "token_id": old.token.token_id,
        "name": "stripe",
        "effect_key": "slack/answer",
    }
    return Caller(service, tenants, values, people)


def in_order(routes: list[str]) -> list[str]:
    """What makes things before what ends them."""
    return sorted(
        routes, key=lambda route: (max((n for n, part in enumerate(LATER) if part in route), default=-1), route)
    )


async def test_every_route_that_changes_something_leaves_an_event(caller: Caller) -> None:
    exempt = {**CHANGES_NOTHING, **RECORDS_OF_THEIR_OWN}
    routes = [route for route in route_table(caller.service) if not route.startswith("GET ")]
    assert set(exempt) <= set(routes)
    for route in in_order([route for route in routes if route not in exempt]):
        correlation = new_id("cor")
        more = await prepared(caller, route)
        if route not in ABOUT_THE_CALLER and "/internal/" not in route:
            rehearsed = await caller.call(route, caller.token_for(route), dry_run=True, correlation=correlation, **more)
            assert not (rehearsed or {}).get("secret"), "a token that is not there has no secret"
            assert not events(caller, correlation, caller.tenants.org), f"{route} leaves an event of a dry run"
        await caller.call(route, caller.token_for(route), correlation=correlation, **more)
        org = caller.values["new_org"] if route == "POST /api/v1/orgs" else caller.tenants.org
        recorded = events(caller, correlation, org)
        assert recorded, f"{route} left no event"
        for action, actor, address in recorded:
            assert action != "access.denied"
            assert actor.startswith(("user:", "token:", "service:")), route
            assert address is not None or route.endswith("/internal/audit-events"), route


def events(caller: Caller, correlation: str, org: str) -> list[tuple[Any, ...]]:
    """Action, actor and address of what a call left."""
    return query(
        caller.service.database,
        f"SELECT action, actor, source_address FROM config_audit_events WHERE correlation_id = '{correlation}'",
        tenant_settings(org),
    )


async def prepared(caller: Caller, route: str) -> dict[str, str]:
    """What this one call needs beyond the rest."""
    setup = new_id("cor")
    ana, more = caller.people["ana"], {}
    if "{request_id}" in route:
        made = await caller.call(
            "POST /api/v1/orgs/{org_id}/nodes/{node_id}/change-requests", ana, correlation=setup, node_id="checkout"
        )
        more = {"request_id": made["request_id"], "node_id": "checkout"}
    if route.endswith("/rebase"):
        admin = caller.service.with_token(ana)
        await admin.patch_configuration(caller.tenants.org, "checkout", {"budgets": {"run_tokens": 5}})
    if route.endswith("/secrets/reencrypt"):
        parts = caller.service.app.state.parts
        keys = {**parts.keyring.keys, "k2": bytes(32)}
        caller.service.app.state.parts = replace(parts, keyring=Keyring("k2", keys))
    if route.endswith(("/exchange", "/me/token")):
        code = (await caller.call("POST /api/v1/sign-in-codes", ana, correlation=setup))["code"]
        more = {"code": code}
    if route.endswith(("/secrets/resolve", "DELETE /api/v1/orgs/{org_id}/nodes/{node_id}/secrets/{name}")):
        more = {"node_id": "checkout"}
    if route.endswith("/cancel"):
        run = await caller.service.as_service("orchestrator").create_run(caller.tenants.org, new_run())
        more = {"run_id": run.run_id}
    if route == "DELETE /api/v1/orgs/{org_id}/tokens/{token_id}":
        created = await caller.service.with_token(ana).create_token(caller.tenants.org, CreateToken(name="to revoke"))
        more = {"token_id": created.token.token_id}
    return more
