"""Bad input is a 4xx problem that names the field and says what to do; never a 5xx, never a partial write."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fastapi.routing import iter_route_contexts
from tests.config_service.surroundings import Service, Tenants, as_superuser, query, running, tenant_settings
from tests.environment import Database, Trusted

from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.problem import Problem
from incidentfox.kernel.crypto import new_token
from incidentfox.kernel.ids import new_id

JSON = {"Content-Type": "application/json"}


@pytest.mark.anyio
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"1",
        b"{",
        b"\xff\xfe",
        b'{"budgets": {"run_tokens": 1, "run_tokens": 2}}',
        b'{"agents": {"a": {"description": "\\u0000"}}}',
        b'{"agents": {"a": {"description": "\\udfff"}}}',
        b'{"agents": []}',
        b'{"models": {"a": {"name": 1}}}',
        b'{"budgets": {"run_usd": 1e309}}',
        b'{"budgets": {"run_tokens": 99999999999999999999999999999999}}' + b" ",
        b'{"a":' * 80 + b"1" + b"}" * 80,
        b'{"__proto__": {}}',
        b'{"routing": {"services": [""]}}',
    ],
)
async def test_a_bad_document_is_a_4xx_and_leaves_nothing(service: Service, tenants: Tenants, body: bytes) -> None:
    path = f"/api/v1/orgs/{tenants.org}/nodes/checkout/configuration"
    for method in ("PUT", "PATCH"):
        answer = await service.call(method, path, tenants.admin, content=body, headers=JSON)
        if b"9999" in body and answer.status_code == 200:
            continue  # an integer of any size is a valid budget
        problem = Problem.model_validate_json(answer.content)
        assert 400 <= answer.status_code < 500, answer.text
        assert problem.detail
        assert answer.headers["content-type"] == "application/problem+json"
    settings = tenant_settings(tenants.org)
    assert query(service.database, "SELECT 1 FROM node_configurations WHERE document::text LIKE '%a%'", settings) == []


@pytest.mark.anyio
@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_a_body_that_is_not_json_is_refused(service: Service, tenants: Tenants, content_type: str) -> None:
    path = f"/api/v1/orgs/{tenants.org}/nodes/checkout/configuration"
    headers = {"Content-Type": content_type} if content_type else {}
    answer = await service.call("PUT", path, tenants.admin, content=b"{}", headers=headers)
    assert answer.status_code == 422


@pytest.mark.anyio
async def test_one_mebibyte_is_the_limit(service: Service, tenants: Tenants) -> None:
    path = f"/api/v1/orgs/{tenants.org}/nodes/checkout/configuration"
    body = b'{"agents": {"investigator": {"description": "' + b"x" * (1024 * 1024) + b'"}}}'
    answer = await service.call("PUT", path, tenants.admin, content=body, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")

    async def chunks() -> object:
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    undeclared = await service.call("PUT", path, tenants.admin, content=chunks(), headers=JSON)
    assert (undeclared.status_code, undeclared.json()["code"]) == (413, "too_large")


NASTY = ("%00", "..%2f..%2fetc%2fpasswd", "'%20OR%20'1'='1", "%F0%9F%A6%8A", "A" * 300, "%ff%fe", "*", "%25", "-a-")


@pytest.mark.anyio
async def test_no_path_or_query_of_any_route_is_a_5xx(service: Service, tenants: Tenants) -> None:
    as_agent = {
        permission: service.service_token("agent", permission, tenants.org, "checkout")
        for permission in (Permission.CONFIG_READ, Permission.RUNS_READ)
    }
    names = {"node_id": "checkout", "run_id": new_id("run"), "recording_id": "sha256:" + "0" * 64}
    for context in iter_route_contexts(service.app.routes):
        if context.path is None or "GET" not in (context.methods or ()) or not context.path.startswith("/api"):
            continue
        sound = context.path.replace("{org_id}", tenants.org)
        internal = as_agent[Permission.CONFIG_READ if "/teams/" in context.path else Permission.RUNS_READ]
        token = internal if "/internal/" in context.path else tenants.admin
        for nasty in NASTY:
            wrong = sound
            for name, value in names.items():
                wrong, sound = wrong.replace(f"{{{name}}}", nasty), sound.replace(f"{{{name}}}", value)
            query_string = "&".join(f"{key}={nasty}" for key in QUERIES)
            addresses = [wrong, f"{sound}?{query_string}", *(f"{sound}?{key}={nasty}" for key in QUERIES[:4])]
            for address in addresses:
                answer = await service.call("GET", address, token)
                assert answer.status_code < 500, (address, answer.text)
                assert answer.status_code not in (401, 403), address


QUERIES = ("cursor", "action", "status", "team_node_id", "limit", "after")


@pytest.mark.anyio
async def test_a_made_up_cursor_is_refused_in_every_list(service: Service, tenants: Tenants) -> None:
    made_up = ("x", "W10", "WyJhIiwgImIiXQ", "WzFd", "WyJcdTAwMDAiXQ", "WyInOyBEUk9QIFRBQkxFIG9yZ19ub2RlczsgLS0iXQ")
    for path in ("nodes", "tokens", "audit-events", "runs", "nodes/checkout/secrets"):
        for cursor in made_up:
            answer = await service.call("GET", f"/api/v1/orgs/{tenants.org}/{path}?cursor={cursor}", tenants.admin)
            assert answer.status_code == 400, (path, cursor, answer.text)


@pytest.mark.anyio
async def test_unknown_routes_and_methods_are_problems(service: Service) -> None:
    missing = await service.call("GET", "/api/v1/nothing")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    wrong = await service.call("DELETE", "/api/v1/me")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")


@pytest.mark.anyio
async def test_a_database_that_is_away_is_a_503_and_not_ready(database: Database, trusted: Trusted) -> None:
    gone = replace(database, superuser_url="postgresql://nobody:none@127.0.0.1:1/none")
    async with running(gone, trusted) as alone:
        for path, token in (("/readyz", None), ("/api/v1/me", new_token("ifo"))):
            answer = await alone.call("GET", path, token)
            assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable"), answer.text
        assert (await alone.call("GET", "/healthz")).status_code == 200


@pytest.mark.anyio
async def test_connections_that_break_are_a_503_at_worst_and_replaced(service: Service, tenants: Tenants) -> None:
    as_superuser(
        service.database,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    answers = [(await service.call("GET", "/api/v1/me", tenants.admin)).status_code for _ in range(20)]
    assert set(answers) <= {200, 503}
    assert answers[-1] == 200
