"""Three services with a victim behind them, and the credentials of everybody else: what the isolation tests attack."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx2
from tests.agent.twins import serve
from tests.console.conftest import console_settings
from tests.environment import Database, Trusted, create_database
from tests.house.services import routes_of
from tests.orchestrator.conftest import ORG
from tests.orchestrator.platform import Platform, running_platform

from incidentfox.agent.main import create_app as create_agent
from incidentfox.agent.settings import AgentSettings
from incidentfox.console.main import create_app as create_console
from incidentfox.contracts.change_requests import OpenChangeRequest, PatchChange
from incidentfox.contracts.permissions import SERVICE_PERMISSIONS, Permission, Role
from incidentfox.contracts.tokens import CreateToken
from incidentfox.contracts.tree import CreateNode, CreateOrganisation, NodeKind
from incidentfox.kernel.tls import trust
from incidentfox.kernel.web.openapi import permission_of
from incidentfox.local.postgres import EmbeddedPostgres

MARKER = "zebra-7731"
OTHER = "globex"

# What each route that takes a body is sent; {names} are the victim's ids. A new route without an entry fails the test.
BODIES: dict[str, dict[str, Any]] = {
    "POST /api/v1/orgs/{org_id}/webhook-endpoints": {"source": "custom", "name": "evil"},
    "POST /api/v1/orgs/{org_id}/webhook-endpoints/{endpoint_id}/secrets": {"overlap_s": 0},
    "POST /api/v1/orgs/{org_id}/webhook-endpoints/reencrypt": {},
    "POST /api/v1/orgs/{org_id}/webhook-sources/{source}/dry-run": {"body": "evil"},
    "POST /api/v1/run": {"org_id": ORG, "team_node_id": "payments", "run_id": "{run_id}"},
    "POST /api/v1/orgs/{org_id}/runs/{run_id}/replay": {},
    "POST /sign-out": {},
    **{
        f"POST /configuration/{{node_id}}/{step}": {"document": MARKER, "base": "0", "version": "0", "title": "evil"}
        for step in ("edit", "preview", "save", "ask", "carry", "rollback")
    },
    **{
        f"POST /configuration/{{parent_id}}/create{step}": {"kind": "team", "name": "evil", "id": "evil"}
        for step in ("", "/review", "/confirm")
    },
    **{
        f"POST /configuration/{{node_id}}/{step}": {"base": "1", "name": "evil", "parent": ORG, "typed": "{node_id}"}
        for step in ("rename", "move", "move/ask", "archive", "restore", "delete")
    },
    "POST /configuration/{node_id}/secrets": {"name": "evil", "value": "evil"},
    **{
        f"POST /configuration/{{node_id}}/secrets/{{name}}/{step}": {"value": "evil", "seen": "{written_at}"}
        for step in ("replace", "delete")
    },
    "POST /runs/{run_id}/cancel": {"reason": "evil"},
    "POST /tokens": {"name": "evil", "role": "viewer", "node": "payments", "key": "evil-evil"},
    "POST /tokens/{token_id}/rotate": {"overlap": "0"},
    "POST /tokens/{token_id}/revoke": {},
    **{
        f"POST /change-requests/{{node_id}}/{{request_id}}/{step}": {"seen": "0", "comment": "evil"}
        for step in ("approve", "reject", "withdraw", "rebase", "comments")
    },
}
OWN_FORM = {"Origin": "http://console.test", "Sec-Fetch-Site": "same-origin"}


@dataclass
class Doors:
    """The running services, the victim's ids, and the credentials of everybody else."""

    platform: Platform
    apps: dict[str, Any]
    https: dict[str, httpx2.AsyncClient]
    victim: dict[str, str]
    people: dict[str, str]

    def credentials(self, service: str) -> dict[str, str]:
        """Every foreign credential that one service might accept, each with the most that it may carry."""
        found = dict(self.people)
        for name, permissions in SERVICE_PERMISSIONS.items():
            identity = self.platform.trusted.identity(name)
            found[f"{name} for the sibling"] = identity.token(service, permissions, ORG, "checkout")
            found[f"{name} for the other organisation"] = identity.token(service, permissions, OTHER)
        return found

    def routes(self, service: str) -> list[str]:
        """`METHOD /path` of every route that needs a permission."""
        return sorted(
            f"{method} {route.path}"
            for route in routes_of(self.apps[service])
            if permission_of(route) not in (Permission.PUBLIC, None)
            for method in (route.methods or ())
            if method != "HEAD"
        )

    async def attempt(self, service: str, route: str, token: str | None) -> httpx2.Response:
        """Calls a route about the victim."""
        method, path = route.split(" ")
        address = re.sub(r"\{(\w+)\}", lambda match: self.victim[match[1]], path)
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        body = None
        if method in ("POST", "PUT", "PATCH"):
            assert route in BODIES, f"give {route} an entry in BODIES"
            body = {key: value.format(**self.victim) for key, value in _texts(BODIES[route])} | _others(BODIES[route])
        if service == "console":
            return await self.https[service].request(method, address, headers=headers | OWN_FORM, data=body)
        return await self.https[service].request(method, address, headers=headers, json=body)


def _texts(body: dict[str, Any]) -> list[tuple[str, str]]:
    return [(key, value) for key, value in body.items() if isinstance(value, str)]


def _others(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if not isinstance(value, str)}


@asynccontextmanager
async def open_doors(cluster: EmbeddedPostgres, trusted: Trusted) -> AsyncIterator[Doors]:
    """`payments` with an endpoint, a delivery, an incident and a run; and three services to attack."""
    async with AsyncExitStack() as stack:
        database = create_database(cluster, f"isolation_{secrets.token_hex(6)}")
        stack.callback(database.drop)
        owner = await asyncpg.connect(database.superuser_url)
        stack.push_async_callback(owner.close)
        platform = await stack.enter_async_context(running_platform(database, trusted, owner))
        people = await _credentials(platform)
        victim = await _victim(platform)
        agent = create_agent(_agent_settings(database, trusted, platform.config.url))
        orchestrator = await stack.enter_async_context(serve(platform.door.app, started=True))
        settings = console_settings(trusted, platform.config.url, "http://console.test", orchestrator)
        console = create_console(settings)
        urls = {
            "agent": await stack.enter_async_context(serve(agent)),
            "console": await stack.enter_async_context(serve(console)),
        }
        https = {
            name: await stack.enter_async_context(httpx2.AsyncClient(base_url=url, verify=trust()))
            for name, url in urls.items()
        }
        https["orchestrator"] = platform.door.http
        apps = {"orchestrator": platform.door.app, "agent": agent, "console": console}
        yield Doors(platform, apps, https, victim, people)


async def _credentials(platform: Platform) -> dict[str, str]:
    admin = platform.platform
    await admin.create_organisation(CreateOrganisation(org_id=OTHER, name="Globex"))
    await admin.create_node(OTHER, CreateNode(node_id="other", parent_id=OTHER, kind=NodeKind.TEAM, name="Other"))
    sibling = await admin.create_token(ORG, CreateToken(name="sibling", team_node_id="checkout"))
    other_admin = await admin.create_token(OTHER, CreateToken(name="admin"))
    other_team = await admin.create_token(OTHER, CreateToken(name="team", team_node_id="other"))
    found = {
        "sibling team": sibling.secret,
        "other organisation's admin": other_admin.secret,
        "other organisation's team": other_team.secret,
    }
    for role in Role:
        if role is not Role.ORG_ADMIN:
            request = CreateToken(name=role, node_id="checkout", role=role)
            found[f"{role} of the sibling"] = (await admin.create_token(ORG, request)).secret
        request = CreateToken(name=role, role=role)
        found[f"{role} of the other organisation"] = (await admin.create_token(OTHER, request)).secret
    return found


async def _victim(platform: Platform) -> dict[str, str]:
    endpoint = await platform.door.endpoint("custom")
    data = {"title": MARKER, "service": "payments", "severity": "critical", "summary": MARKER}
    answer = await platform.door.custom(endpoint, {"type": "alert.triggered", "data": data}, key=MARKER)
    assert answer.status_code == 202, answer.text
    async with platform.worker():
        [delivery] = await platform.settled()
    assert delivery["team_node_id"] == "payments"
    token = await platform.platform.create_token(ORG, CreateToken(name=MARKER, team_node_id="payments"))
    change = PatchChange(patch={"privacy": {"redact_emails": True}})
    secret = await platform.platform.put_secret(ORG, "payments", "stripe", MARKER)
    opened = await platform.platform.open_change_request(
        ORG, "payments", OpenChangeRequest(title=MARKER, change=change)
    )
    return {
        "org_id": ORG,
        "node_id": "payments",
        "parent_id": "payments",
        "name": secret.name,
        "written_at": secret.updated_at.isoformat(),
        "request_id": opened.request_id,
        "token_id": token.token.token_id,
        "endpoint_id": endpoint.endpoint.endpoint_id,
        "source": "custom",
        "delivery_id": delivery["delivery_id"],
        "incident_id": delivery["incident_id"],
        "run_id": delivery["run_id"],
    }


def _agent_settings(database: Database, trusted: Trusted, config_url: str) -> AgentSettings:
    return AgentSettings(
        identity_key_file=trusted.folder / "agent.jwk",
        trusted_keys_file=trusted.folder / "trusted.json",
        database_url=database.url("incidentfox_agent"),
        config_service_url=config_url,
        console_url="https://console.test",
        drain_s=0.5,
    )
