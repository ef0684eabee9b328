"""Every route × every role × {own, below, sibling, parent, other organisation}, read off the route table.

What may come of a call follows from three things alone: whether the role holds the route's permission, how the target
lies to the node that the credential is bound to, and whether the route reads or writes. Every call is a rehearsal: its
transaction is rolled back, so that no call stands in the way of the next.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from urllib.parse import quote

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection
from tests.config_service.surroundings import Service, Tenants, new_run
from tests.config_service.test_isolation import BODIES, filled, route_table
from tests.house.services import routes_of

from incidentfox.contracts.configuration import ResolveSecrets
from incidentfox.contracts.permissions import ROLE_PERMISSIONS, Permission, Role
from incidentfox.contracts.tokens import CreateToken
from incidentfox.contracts.tree import CreateNode, NodeKind
from incidentfox.kernel.db.session import Database
from incidentfox.kernel.db.tenancy import Scope
from incidentfox.kernel.tenant import Tenant
from incidentfox.kernel.web.openapi import permission_of

pytestmark = pytest.mark.anyio


class Lies(StrEnum):
    """How the target of a call lies to the node that the credential is bound to."""

    OWN = "own"
    BELOW = "below"
    SIBLING = "sibling"
    PARENT = "parent"
    ELSEWHERE = "other organisation"


# The node that a credential is bound to, and how each target lies to it. `shops` is a unit above `checkout` and
# `payments`; `beside` is a team beside it; None is the organisation.
TARGETS: dict[str | None, dict[Lies, str]] = {
    None: {Lies.OWN: "{org}", Lies.BELOW: "checkout", Lies.ELSEWHERE: "checkout"},
    "shops": {
        Lies.OWN: "shops",
        Lies.BELOW: "checkout",
        Lies.SIBLING: "beside",
        Lies.PARENT: "{org}",
        Lies.ELSEWHERE: "checkout",
    },
    "checkout": {Lies.OWN: "checkout", Lies.SIBLING: "payments", Lies.PARENT: "shops", Lies.ELSEWHERE: "checkout"},
}

# Nothing that belongs to a node is asked for or written: a list of the caller's own, a directory of the organisation,
# what every team may add to its organisation.
OF_THE_ORGANISATION = {
    "GET /api/v1/orgs/{org_id}/nodes",
    "GET /api/v1/orgs/{org_id}/tokens",
    "GET /api/v1/orgs/{org_id}/audit-events",
    "GET /api/v1/orgs/{org_id}/runs",
    "GET /api/v1/orgs/{org_id}/change-requests",
    "POST /api/v1/orgs/{org_id}/routing/lookup",
    "GET /api/v1/orgs/{org_id}/routing/identifiers",
    "POST /api/v1/orgs/{org_id}/recordings",
}
# For whoever holds the whole organisation.
WHOLE_ORGANISATION = {
    "GET /api/v1/orgs/{org_id}/audit-chain",
    "GET /api/v1/orgs/{org_id}/audit-chain/export",
    "POST /api/v1/orgs/{org_id}/secrets/reencrypt",
    "POST /api/v1/orgs/{org_id}/nodes",
}
GIVE_A_ROLE = {"POST /api/v1/orgs/{org_id}/tokens": {"name": "t", "node_id": "{node_id}", "role": "viewer"}}
QUERIES = {"GET /api/v1/orgs/{org_id}/nodes/{node_id}/configuration/diff": {"from": "0", "to": "1"}}
REFUSED = {403, 404}
ABSENT = {"run_id": f"run_{'0' * 26}", "request_id": f"crq_{'0' * 26}", "document_hash": f"sha256:{'0' * 64}"}
"""Well-formed ids of nothing, for what not every node has."""


class _Undo(Exception):
    """Raised at the end of a rehearsed transaction, and seen by nobody."""


class Rehearsal(Database):
    """A database on which every transaction is rolled back."""

    @asynccontextmanager
    async def transaction(self, scope: Scope) -> AsyncIterator[AsyncConnection]:
        try:
            async with super().transaction(scope) as connection:
                yield connection
                raise _Undo
        except _Undo:
            return


@dataclass
class Stage:
    """The service in rehearsal, and what belongs to each node: ids by the names of path parameters."""

    service: Service
    tenants: Tenants
    belongs: dict[str, dict[str, str]]
    permissions: dict[str, Permission | None]

    def routes(self) -> list[str]:
        """Every route of people, with the organisation in its path."""
        return [route for route in route_table(self.service) if "/orgs/{org_id}" in route]

    async def call(self, route: str, token: str, lies: Lies, target: str) -> httpx2.Response:
        """Calls a route about a target."""
        org = self.tenants.other if lies is Lies.ELSEWHERE else self.tenants.org
        node = target.format(org=org)
        values = {**ABSENT, "org_id": org, "node_id": node, **self.belongs[f"{org}/{node}"]}
        method, path = route.split(" ")
        address = re.sub(r"\{(\w+)(:path)?\}", lambda match: quote(values.get(match[1], "1"), safe=":"), path)
        body = filled({**BODIES, **GIVE_A_ROLE}.get(route), values) if method in ("POST", "PUT", "PATCH") else None
        sent = {"json": body} if body is not None else {}
        return await self.service.call(method, address, token, params=QUERIES.get(route, {}), **sent)

    def owned(self, route: str, lies: Lies, target: str) -> bool:
        """Whether the path names things that the target really has: only then is a refusal a refusal."""
        org = self.tenants.other if lies is Lies.ELSEWHERE else self.tenants.org
        values = self.belongs[f"{org}/{target.format(org=org)}"]
        return set(re.findall(r"\{(\w+)", route)) <= {"org_id", "node_id", *values}


@pytest.fixture
async def stage(service: Service, tenants: Tenants) -> AsyncIterator[Stage]:
    """Nodes with a configuration, a secret, a token and (teams) a run each; from then on, nothing is kept."""
    admin, platform = service.with_token(tenants.admin), service.as_service("platform")
    beside = CreateNode(node_id="beside", parent_id=tenants.org, kind=NodeKind.TEAM, name="Beside")
    await platform.create_node(tenants.org, beside)
    belongs = {}
    for org, nodes in (
        (tenants.org, (tenants.org, "shops", "checkout", "payments", "beside")),
        (tenants.other, (tenants.other, "checkout")),
    ):
        for node in nodes:
            await platform.put_configuration(org, node, {"budgets": {"run_tokens": 9}})
            await platform.put_secret(org, node, "stripe", "x")
            token = await platform.create_token(org, CreateToken(name="t", node_id=node, role=Role.VIEWER))
            values = {"token_id": token.token.token_id, "name": "stripe", "version": "1"}
            if node in ("checkout", "payments", "beside"):
                run = await service.as_service("orchestrator").create_run(org, new_run(node))
                resolve = ResolveSecrets(run_id=run.run_id, names=("stripe",))
                await service.as_service("agent").resolve_secrets(Tenant(org, node), resolve)
                values |= {"run_id": run.run_id}
            belongs[f"{org}/{node}"] = values
    permissions = {
        f"{method} {route.path}": permission_of(route)
        for route in routes_of(service.app)
        for method in (route.methods or ())
    }
    assert (await admin.me()).org_id == tenants.org
    kept = service.app.state.parts
    rehearsal = Rehearsal(service.database.url("incidentfox_config"), 4)
    service.app.state.parts = replace(kept, database=rehearsal)
    yield Stage(service, tenants, belongs, permissions)
    service.app.state.parts = kept
    await rehearsal.close()


@pytest.mark.parametrize("role", Role)
async def test_what_a_role_may_do_follows_from_permission_and_place(stage: Stage, role: Role) -> None:
    platform = stage.service.as_service("platform")
    calls = 0
    for bound_to, targets in TARGETS.items():
        if role is Role.ORG_ADMIN and bound_to is not None:
            continue
        kept = stage.service.app.state.parts
        stage.service.app.state.parts = replace(kept, database=kept.tokens._database)
        request = CreateToken(name=role, node_id=bound_to, role=role)
        token = (await platform.create_token(stage.tenants.org, request)).secret
        stage.service.app.state.parts = kept
        for route in stage.routes():
            # The permission is judged before anything else, so that without it the place makes no difference.
            held = stage.permissions[route] in ROLE_PERMISSIONS[role]
            for lies, target in targets.items() if held else ((Lies.OWN, targets[Lies.OWN]),):
                answer = await stage.call(route, token, lies, target)
                judge(stage, role, bound_to, route, lies, target, answer)
                calls += 1
    assert calls > 100


def judge(
    stage: Stage, role: Role, bound_to: str | None, route: str, lies: Lies, target: str, answer: httpx2.Response
) -> None:
    """Fails unless the answer is one that may come of this call."""
    said = (role, bound_to, route, lies, answer.status_code, answer.text[:300])
    code = answer.json().get("code") if answer.status_code >= 400 else None
    permission = stage.permissions[route]
    assert answer.status_code < 500, said
    assert answer.status_code != 401, said
    if permission not in ROLE_PERMISSIONS[role]:
        assert (answer.status_code, code) == (403, "permission_required"), said
    elif lies is Lies.ELSEWHERE:
        assert (answer.status_code, code) == (404, "org_not_found"), said
    elif route in WHOLE_ORGANISATION:
        assert (answer.status_code == 403) == (bound_to is not None), said
    elif route in OF_THE_ORGANISATION:
        assert answer.is_success, said
    elif lies is Lies.SIBLING or (lies is Lies.PARENT and not route.startswith("GET ")):
        assert answer.status_code in REFUSED, said
    elif lies is Lies.PARENT:
        # What is above is inherited, so it may be read: but not what belongs to the parent alone.
        assert answer.status_code in {200, 404, 422}, said
        assert answer.status_code == 404 or "{node_id}" in route, said
    elif permission is Permission.NODES_WRITE and bound_to is not None:
        assert answer.status_code in REFUSED, said
    elif stage.owned(route, lies, target):
        assert answer.status_code not in REFUSED, said
