"""No tenant sees another: every route of the table × every foreign credential, and the database asked directly.

The victim is the team `payments` of one organisation; everything of its carries a marker. The attackers hold valid
credentials with all that their kind may carry: the sibling team's token, a service token bound to the sibling, and
the tokens of another organisation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from fastapi.routing import iter_route_contexts
from tests.config_service.surroundings import Service, Tenants, new_event, new_run, query, tenant_settings

from incidentfox.clients.config_service import AUDIENCE
from incidentfox.contracts.audit import AppendAuditEvent
from incidentfox.contracts.captures import KeepCapture
from incidentfox.contracts.change_requests import OpenChangeRequest, PatchChange
from incidentfox.contracts.events import AppendRunEvents
from incidentfox.contracts.permissions import SERVICE_PERMISSIONS
from incidentfox.contracts.recordings import UploadRecording
from incidentfox.contracts.runs import IntendEffect, RunInput
from incidentfox.kernel.tenant import Tenant

pytestmark = pytest.mark.anyio

MARKER = "zebra-7731"
OPERATIONAL = {"/healthz", "/readyz", "/metrics", "/openapi.json"}

# What each route that takes a body is sent; {names} are filled in with the victim's ids. A new route without an entry
# fails the test that walks the table.
BODIES: dict[str, Any] = {
    "POST /api/v1/orgs": {"org_id": "{org_id}", "name": "x"},
    "POST /api/v1/orgs/{org_id}/nodes": {"node_id": "evil", "parent_id": "{node_id}", "kind": "team", "name": "x"},
    "PUT /api/v1/orgs/{org_id}/nodes/{node_id}/configuration": {"budgets": {"run_tokens": 1}},
    "PATCH /api/v1/orgs/{org_id}/nodes/{node_id}/configuration": {"budgets": {"run_tokens": 1}},
    "POST /api/v1/orgs/{org_id}/nodes/{node_id}/configuration/rollback": {"version": 0},
    "PATCH /api/v1/orgs/{org_id}/nodes/{node_id}": {"name": "evil"},
    "POST /api/v1/orgs/{org_id}/nodes/{node_id}/archive": None,
    "POST /api/v1/orgs/{org_id}/nodes/{node_id}/restore": None,
    "POST /api/v1/orgs/{org_id}/nodes/{node_id}/change-requests": {
        "title": "evil",
        "change": {"kind": "patch", "patch": {"budgets": {"run_tokens": 1}}},
    },
    "POST /api/v1/orgs/{org_id}/nodes/{node_id}/change-requests/{request_id}/approve": {},
    "POST /api/v1/orgs/{org_id}/nodes/{node_id}/change-requests/{request_id}/reject": {},
    "POST /api/v1/orgs/{org_id}/nodes/{node_id}/change-requests/{request_id}/withdraw": {},
    "POST /api/v1/orgs/{org_id}/nodes/{node_id}/change-requests/{request_id}/rebase": None,
    "POST /api/v1/orgs/{org_id}/nodes/{node_id}/change-requests/{request_id}/comments": {"text": "evil"},
    "PUT /api/v1/orgs/{org_id}/nodes/{node_id}/secrets/{name}": {"value": "evil"},
    "POST /api/v1/orgs/{org_id}/secrets/reencrypt": None,
    "POST /api/v1/orgs/{org_id}/tokens": {"name": "evil", "team_node_id": "{node_id}"},
    "POST /api/v1/orgs/{org_id}/tokens/{token_id}/rotate": {"overlap_s": 0},
    "POST /api/v1/orgs/{org_id}/recordings": {"files": {}},
    "POST /api/v1/orgs/{org_id}/routing/lookup": {"identifiers": [{"kind": "service", "value": MARKER}]},
    "POST /api/v1/orgs/{org_id}/runs/{run_id}/cancel": {"reason": "evil"},
    "POST /api/v1/internal/routing/lookup": {"identifiers": [{"kind": "service", "value": MARKER}]},
    "POST /api/v1/internal/tokens/introspect": {"token": "ift_unknown"},
    "POST /api/v1/internal/audit-events": {"event_key": "e", "action": "a", "target": "t", "team_node_id": "{node_id}"},
    "POST /api/v1/internal/runs": None,  # the run itself, below
    "POST /api/v1/internal/runs/{run_id}/start": {"config_hash": "x"},
    "POST /api/v1/internal/runs/{run_id}/finish": {"status": "failed", "error": "evil"},
    "POST /api/v1/internal/runs/{run_id}/events": {
        "events": [{"event_key": "evil", "type": "run.started", "at": "2026-11-24T00:00:00Z"}]
    },
    "POST /api/v1/internal/runs/{run_id}/captures": {"files": {"metrics.csv": "evil"}},
    "POST /api/v1/internal/runs/{run_id}/effects": {
        "effect_key": "{effect_key}",
        "destination": "slack",
        "target": "C1",
    },
    "POST /api/v1/internal/runs/{run_id}/effects/{effect_key:path}/settle": {"status": "failed", "error": "evil"},
    "POST /api/v1/internal/runs/{run_id}/budget/reserve": {"call": "c1", "attempt": "a", "tokens": 1, "usd": None},
    "POST /api/v1/internal/runs/{run_id}/budget/settle": {"call": "c1", "tokens": 1, "usd": None},
    "POST /api/v1/internal/teams/{node_id}/secrets/resolve": {"run_id": "{run_id}", "names": ["stripe"]},
    "POST /api/v1/sign-in-codes": None,
    "POST /api/v1/sign-in-codes/exchange": {"code": "ifc_unknown"},
}

# What an attacker may do because it is about itself, or a directory of its own organisation by design.
ABOUT_ITSELF = {"GET /api/v1/me", "DELETE /api/v1/me/token", "POST /api/v1/sign-in-codes"}
DIRECTORY = {"POST /api/v1/orgs/{org_id}/routing/lookup", "POST /api/v1/internal/routing/lookup"}
SHARED_IN_THE_ORGANISATION = {"GET /api/v1/internal/recordings/{recording_id}"}


@dataclass
class Victim:
    """The ids that the attackers know, for the sake of the argument."""

    values: dict[str, str]
    run: dict[str, Any]


@pytest.fixture
async def victim(service: Service, tenants: Tenants) -> Victim:
    """`payments` with something in every table."""
    admin, agent = service.with_token(tenants.admin), service.as_service("agent")
    orchestrator, tenant = service.as_service("orchestrator"), Tenant(tenants.org, "payments")
    document = {"agents": {"investigator": {"description": MARKER}}, "routing": {"services": [MARKER]}}
    await admin.put_configuration(tenants.org, "payments", document)
    await admin.put_secret(tenants.org, "payments", "stripe", MARKER)
    wanted = OpenChangeRequest(title=MARKER, change=PatchChange(patch={"agents": {"b": {"description": MARKER}}}))
    asked = await admin.open_change_request(tenants.org, "payments", wanted)
    await admin.comment_on_change_request(tenants.org, "payments", asked.request_id, MARKER)
    request = new_run("payments", input=RunInput(prompt=MARKER))
    await orchestrator.create_run(tenants.org, request)
    await agent.append_run_events(tenant, request.run_id, AppendRunEvents(events=(new_event(MARKER, text=MARKER),)))
    intent = IntendEffect(effect_key="slack/answer", destination="slack", target=MARKER)
    await agent.intend_effect(tenant, request.run_id, intent)
    capture = await agent.keep_capture(tenant, request.run_id, KeepCapture(files={"logs.ndjson": MARKER}))
    effective = await agent.team_effective(tenant)
    event = AppendAuditEvent(event_key=MARKER, team_node_id="payments", action="a", target=MARKER)
    await orchestrator.append_audit_event(tenants.org, event)
    recording = await service.as_service("platform").upload_recording(
        tenants.org, UploadRecording(files={"alert.json": MARKER})
    )
    me = await service.with_token(tenants.teams["payments"]).me()
    await service.app.state.parts.tokens.settle()
    return Victim(
        values={
            "org_id": tenants.org,
            "node_id": "payments",
            "run_id": request.run_id,
            "token_id": me.subject.removeprefix("token:"),
            "recording_id": recording.recording_id,
            "effect_key": "slack/answer",
            "capture_id": capture.capture_id,
            "document_hash": effective.hash,
            "name": "stripe",
            "version": "1",
            "request_id": asked.request_id,
        },
        run=request.model_dump(mode="json"),
    )


def route_table(service: Service) -> list[str]:
    """`METHOD /path` of every route."""
    return sorted(
        f"{method} {context.path}"
        for context in iter_route_contexts(service.app.routes)
        for method in (context.methods or ())
        if method != "HEAD" and context.path not in OPERATIONAL
    )


def filled(template: Any, values: dict[str, str]) -> Any:
    """A body with the victim's ids in it."""
    if isinstance(template, dict):
        return {key: filled(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [filled(value, values) for value in template]
    if isinstance(template, str) and template.startswith("{"):
        return values[template[1:-1]]
    return template


def attackers(service: Service, tenants: Tenants) -> dict[str, str]:
    """Every foreign credential, each with the most that it may carry."""
    found = {
        "sibling team": tenants.teams["checkout"],
        "other organisation's admin": tenants.other_admin,
        "other organisation's team": tenants.other_team,
    }
    for name, permissions in SERVICE_PERMISSIONS.items():
        identity = service.trusted.identity(name)
        found[f"{name} for the sibling"] = identity.token(AUDIENCE, permissions, tenants.org, "checkout")
        found[f"{name} for the other organisation"] = identity.token(AUDIENCE, permissions, tenants.other)
    return found


def state_of(service: Service, org: str) -> dict[str, Any]:
    """Everything of the victim's, as the database has it."""
    tables = [
        "org_nodes",
        "config_node_ancestry",
        "node_configurations",
        "config_effective_documents",
        "config_secrets",
        "config_recordings",
        "config_routing_identifiers",
        "agent_runs",
        "config_run_events",
        "config_run_effects",
        "config_run_captures",
        "config_sign_in_codes",
        "config_node_versions",
        "config_change_requests",
        "config_change_request_comments",
    ]
    settings = tenant_settings(org)
    found = {table: sorted(query(service.database, f"SELECT t::text FROM {table} t", settings)) for table in tables}
    for table in ("team_tokens", "org_admin_tokens"):
        found[table] = sorted(query(service.database, f"SELECT token_id, revoked_at::text FROM {table}", settings))
    found["audit"] = query(
        service.database,
        "SELECT count(*) FROM config_audit_events WHERE team_node_id = 'payments' OR action <> 'access.denied'"
        " AND team_node_id IS DISTINCT FROM 'checkout'",
        settings,
    )
    return found


async def test_no_route_shows_or_changes_anything_of_anothers(
    service: Service, tenants: Tenants, victim: Victim
) -> None:
    before = state_of(service, tenants.org)
    for attacker, token in attackers(service, tenants).items():
        for route in route_table(service):
            if route in ABOUT_ITSELF or (route in DIRECTORY | SHARED_IN_THE_ORGANISATION and "sibling" in attacker):
                continue
            if route == "POST /api/v1/orgs/{org_id}/recordings" and "sibling" in attacker:
                continue  # recordings belong to the organisation, and the platform may add to its own
            answer = await attempt(service, route, token, victim)
            assert answer.status_code < 500, (attacker, route, answer.text)
            assert MARKER not in _without_echo(route, answer), (attacker, route, answer.text)
            if answer.is_success:
                assert route in _HARMLESS, (attacker, route, answer.text)
    assert state_of(service, tenants.org) == before


async def test_no_route_serves_a_caller_without_a_valid_credential(
    service: Service, tenants: Tenants, victim: Victim
) -> None:
    forged = service.trusted.identity("platform").token(
        "another-audience", SERVICE_PERMISSIONS["platform"], tenants.org
    )
    for token in (None, "nonsense", forged, f"{forged[:-4]}AAAA"):
        for route in route_table(service):
            if route.endswith("/sign-in-codes/exchange"):
                continue
            answer = await attempt(service, route, token, victim)
            assert answer.status_code == 401, (route, answer.text)
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_internal_routes_are_closed_to_people_whatever_their_scopes(
    service: Service, tenants: Tenants, victim: Victim
) -> None:
    for route in route_table(service):
        if " /api/v1/internal/" in route:
            answer = await attempt(service, route, tenants.admin, victim)
            assert answer.status_code == 403, (route, answer.text)


async def attempt(service: Service, route: str, token: str | None, victim: Victim) -> Any:
    """Calls a route with the victim's ids."""
    method, path = route.split(" ")
    address = re.sub(r"\{(\w+)(:path)?\}", lambda match: quote(victim.values[match[1]], safe=":"), path)
    body = victim.run if route == "POST /api/v1/internal/runs" else filled(BODIES.get(route), victim.values)
    if method in ("POST", "PUT", "PATCH"):
        assert route in BODIES, f"give {route} an entry in BODIES"
    return await service.call(method, address, token, **({"json": body} if body is not None else {}))


def _without_echo(route: str, answer: Any) -> str:
    """What the answer holds beyond what the caller sent, which are the identifiers of a look-up."""
    if route in DIRECTORY and answer.is_success:
        return str(answer.json()["team_node_id"] or "").replace("payments", MARKER)
    return str(answer.text)


# Lists of the attacker's own, and writes that land in the attacker's own tenant. What they hold is checked above.
_HARMLESS = {
    "GET /api/v1/configuration/schema",
    "GET /api/v1/orgs/{org_id}/change-requests",
    "GET /api/v1/orgs/{org_id}/nodes",
    "GET /api/v1/orgs/{org_id}/tokens",
    "GET /api/v1/orgs/{org_id}/audit-events",
    "GET /api/v1/orgs/{org_id}/routing/identifiers",
    "GET /api/v1/orgs/{org_id}/runs",
    "POST /api/v1/internal/routing/lookup",
    "POST /api/v1/internal/audit-events",
}


# -- the database, asked directly ----------------------------------------------------------------------------------

TENANT_TABLES = (
    "SELECT DISTINCT table_name FROM information_schema.role_table_grants WHERE grantee = 'incidentfox_config'"
)


async def test_without_a_tenant_no_row_is_visible(service: Service, victim: Victim) -> None:
    for (table,) in query(service.database, TENANT_TABLES):
        for settings in ({}, {"incidentfox.org_id": ""}, {"incidentfox.team_node_id": "*"}):
            assert query(service.database, f"SELECT count(*) FROM {table}", settings) == [(0,)], table


async def test_another_tenant_sees_none_of_the_rows(service: Service, tenants: Tenants, victim: Victim) -> None:
    for (table,) in query(service.database, TENANT_TABLES):
        rows = query(service.database, f"SELECT t::text FROM {table} t", tenant_settings(tenants.other))
        assert not any(MARKER in row or tenants.org in row for (row,) in rows), table


async def test_a_sibling_sees_none_of_the_rows_but_the_directory(
    service: Service, tenants: Tenants, victim: Victim
) -> None:
    settings = tenant_settings(tenants.org, "checkout")
    for (table,) in query(service.database, TENANT_TABLES):
        rows = query(service.database, f"SELECT t::text FROM {table} t", settings)
        seen = any(MARKER in row or "payments" in row for (row,) in rows)
        assert seen == (table == "config_routing_identifiers"), table
    assert query(service.database, "SELECT 1 FROM org_admin_tokens", settings) == []


async def test_nobody_writes_into_another_tenant(service: Service, tenants: Tenants, victim: Victim) -> None:
    for settings in (tenant_settings(tenants.other), tenant_settings(tenants.org, "checkout")):
        for statement in (
            f"INSERT INTO node_configurations VALUES ('{tenants.org}', 'payments', 9, '{{}}', 'h', now(), 'evil')",
            "INSERT INTO config_audit_events VALUES"
            f" ('{tenants.org}', 'x', 'x', 'payments', now(), 'evil', 'a', 't', NULL, NULL, NULL, NULL, '{{}}')",
            f"INSERT INTO config_secrets VALUES ('{tenants.org}', 'payments', 'x', '', 'k1', now(), now(), 'evil')",
            "INSERT INTO config_routing_identifiers VALUES"
            f" ('{tenants.org}', 'service', '', 'x', 'payments', 'x', now())",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                query(service.database, statement, settings)
        for statement in (
            "UPDATE agent_runs SET error = 'evil' WHERE team_node_id = 'payments' RETURNING 1",
            "DELETE FROM config_routing_identifiers WHERE team_node_id = 'payments' RETURNING 1",
            f"UPDATE config_secrets SET key_id = 'evil' WHERE org_id = '{tenants.org}' RETURNING 1",
            f"UPDATE org_nodes SET name = 'evil' WHERE org_id = '{tenants.org}' AND node_id = 'payments' RETURNING 1",
        ):
            assert query(service.database, statement, settings) == []


async def test_a_proof_shows_the_one_row_and_changes_nothing(service: Service, tenants: Tenants) -> None:
    [(token_hash,)] = query(
        service.database, "SELECT token_hash FROM team_tokens", tenant_settings(tenants.org, "payments")
    )
    proof = {"incidentfox.token_hash": token_hash}
    assert query(service.database, "SELECT team_node_id FROM team_tokens", proof) == [("payments",)]
    assert query(service.database, "SELECT 1 FROM org_admin_tokens", proof) == []
    assert query(service.database, "UPDATE team_tokens SET revoked_at = now() RETURNING 1", proof) == []
