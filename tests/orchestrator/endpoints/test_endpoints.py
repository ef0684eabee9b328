"""Webhook endpoints: a tenant's own, over the API, with secrets that rotate and are never readable."""

import asyncio
import json
import logging

import asyncpg
import pytest
from tests.orchestrator.conftest import ORG, incident_event, pagerduty_signature

from incidentfox.contracts.permissions import Permission

pytestmark = pytest.mark.anyio

PATH = f"/api/v1/orgs/{ORG}/webhook-endpoints"


@pytest.fixture
def bearer(trusted):
    """A platform token for one call: bound to an organisation, or to none."""

    def make(permission=Permission.WEBHOOKS_WRITE, org=ORG):
        token = trusted.identity("platform").token("orchestrator", frozenset({permission}), org)
        return {"Authorization": f"Bearer {token}"}

    return make


async def _create(door, bearer, **more):
    body = {"source": "pagerduty", "name": "production", **more}
    response = await door.http.post(PATH, json=body, headers=bearer())
    assert response.status_code == 201, response.text
    return response.json()


def _forget(door) -> None:
    """As a second later: what is cached is asked again."""
    door.app.state.ingress._endpoints._kept.clear()


async def test_an_endpoint_is_created_listed_read_and_disabled(door, bearer) -> None:
    created = await _create(door, bearer)
    endpoint = created["endpoint"]
    assert endpoint["path"] == f"/webhooks/pagerduty/{endpoint['endpoint_id']}"
    assert created["secret"].startswith("whsec_")
    read = bearer(Permission.WEBHOOKS_READ)
    assert (await door.http.get(PATH, headers=read)).json() == {"items": [endpoint], "next_cursor": None}
    one = f"{PATH}/{endpoint['endpoint_id']}"
    assert (await door.http.get(one, headers=read)).json() == endpoint
    for _ in range(2):
        disabled = await door.http.delete(one, headers=bearer())
        assert disabled.status_code == 200
        assert disabled.json()["disabled_at"]
    rotated = await door.http.post(f"{one}/secrets", json={}, headers=bearer())
    assert (rotated.status_code, rotated.json()["code"]) == (409, "endpoint_disabled")
    rows = await door.owner.fetch("SELECT event FROM orchestrator_audit_outbox ORDER BY event_id")
    events = [json.loads(row["event"]) for row in rows]
    assert [event["action"] for event in events] == ["webhook_endpoint.created", *["webhook_endpoint.disabled"] * 2]
    assert all(event["detail"]["on_behalf_of"] == "service:platform" for event in events)
    assert created["secret"] not in str(events)


async def test_pages_go_from_new_to_old_without_gaps(door, bearer) -> None:
    made = [(await _create(door, bearer))["endpoint"]["endpoint_id"] for _ in range(5)]
    seen, cursor = [], None
    while True:
        query = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = (await door.http.get(PATH, params=query, headers=bearer(Permission.WEBHOOKS_READ))).json()
        seen += [item["endpoint_id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(seen) == sorted(made)
    assert seen == sorted(seen, reverse=True)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"source": "nagios", "name": "x"}, 400, "unknown_source"),
        ({"source": "custom", "name": "x", "secret": "not base64!"}, 400, "invalid_secret"),
        ({"source": "custom", "name": "x", "secret": "whsec_c2hvcnQ="}, 400, "invalid_secret"),
        ({"source": "custom"}, 422, "validation_failed"),
        ({"source": "custom", "name": "x", "secret": "short"}, 422, "validation_failed"),
    ],
)
async def test_an_endpoint_that_could_not_work_is_refused(door, bearer, body, status, code) -> None:
    response = await door.http.post(PATH, json=body, headers=bearer())
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert "short" not in response.text
    assert await door.count("orchestrator_webhook_endpoints") == 0


async def test_both_secrets_count_during_the_overlap_and_the_old_one_ends_on_time(door, bearer) -> None:
    created = await _create(door, bearer)
    endpoint = created["endpoint"]
    path = f"{PATH}/{endpoint['endpoint_id']}/secrets"
    rotated = (await door.http.post(path, json={"overlap_s": 600}, headers=bearer())).json()
    _forget(door)

    async def send(secret: str) -> int:
        body = json.dumps(incident_event()).encode()
        headers = {"X-PagerDuty-Signature": pagerduty_signature(secret, body)}
        return (await door.post(endpoint["path"], body, headers)).status_code

    assert len(rotated["endpoint"]["secrets"]) == 2
    assert [await send(created["secret"]), await send(rotated["secret"])] == [202, 202]
    door.clock[0] += 601  # within the same cache entry: what is kept knows its own end
    assert [await send(created["secret"]), await send(rotated["secret"])] == [401, 202]


async def test_at_most_two_secrets_are_live(door, bearer) -> None:
    created = await _create(door, bearer)
    path = f"{PATH}/{created['endpoint']['endpoint_id']}/secrets"
    for _ in range(3):
        rotated = (await door.http.post(path, json={"overlap_s": 600}, headers=bearer())).json()
        assert len(rotated["endpoint"]["secrets"]) == 2
    at_once = (
        await door.http.post(path, json={"overlap_s": 0, "secret": "given-by-the-source"}, headers=bearer())
    ).json()
    assert at_once["secret"] == "given-by-the-source"
    assert len(at_once["endpoint"]["secrets"]) == 1


async def test_disabling_is_in_force_within_a_second(door, bearer) -> None:
    created = await _create(door, bearer)
    endpoint = created["endpoint"]

    async def send() -> int:
        body = json.dumps(incident_event()).encode()
        headers = {"X-PagerDuty-Signature": pagerduty_signature(created["secret"], body)}
        return (await door.post(endpoint["path"], body, headers)).status_code

    assert await send() == 202
    await door.http.delete(f"{PATH}/{endpoint['endpoint_id']}", headers=bearer())
    async with asyncio.timeout(1.5):
        while await send() != 404:
            await asyncio.sleep(0.05)


async def test_secrets_are_ciphertext_in_the_table_bound_to_their_place_and_never_logged(
    door, bearer, trusted, caplog
) -> None:
    caplog.set_level(logging.DEBUG)
    created = await _create(door, bearer, secret="the-secret-of-pagerduty")
    body = json.dumps(incident_event()).encode()
    signature = pagerduty_signature("the-secret-of-pagerduty", body)
    await door.post(created["endpoint"]["path"], body, {"X-PagerDuty-Signature": signature})
    await door.post(created["endpoint"]["path"], body + b" ", {"X-PagerDuty-Signature": signature})
    row = await door.owner.fetchrow("SELECT * FROM orchestrator_webhook_secrets")
    assert b"the-secret" not in row["ciphertext"]
    assert row["ciphertext"].startswith(b"k1.")
    place = (ORG, row["endpoint_id"], row["secret_id"])
    assert trusted.keyring.open(row["ciphertext"], *place) == "the-secret-of-pagerduty"
    assert "the-secret" not in caplog.text
    assert signature[3:] not in caplog.text


async def test_an_idempotency_key_makes_one_endpoint(door, bearer) -> None:
    headers = {**bearer(), "Idempotency-Key": "create-1"}
    body = {"source": "pagerduty", "name": "production"}
    first = await door.http.post(PATH, json=body, headers=headers)
    again = await door.http.post(PATH, json=body, headers=headers)
    other = await door.http.post(PATH, json={**body, "name": "other"}, headers=headers)
    assert first.status_code == 201
    assert (again.status_code, again.json()["code"]) == (409, "secret_already_shown")
    assert first.json()["endpoint"]["endpoint_id"] in again.json()["detail"]
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    assert await door.count("orchestrator_webhook_endpoints") == 1
    kept = str(await door.owner.fetch("SELECT * FROM orchestrator_idempotency_keys"))
    assert first.json()["secret"] not in kept


@pytest.mark.parametrize("path", ["deliveries/%00", "incidents/a%00", "webhook-endpoints/%00"])
async def test_a_path_that_postgres_cannot_hold_is_the_callers_fault(door, bearer, path) -> None:
    permission = Permission.WEBHOOKS_READ if "endpoints" in path else Permission.INCIDENTS_READ
    refused = await door.http.get(f"/api/v1/orgs/{ORG}/{path}", headers=bearer(permission))
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_text")


async def test_a_name_that_postgres_cannot_hold_is_the_callers_fault(door, bearer) -> None:
    body = {"source": "pagerduty", "name": "a\0b"}
    refused = await door.http.post(PATH, json=body, headers=bearer())
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_text")
    assert await door.count("orchestrator_webhook_endpoints") == 0


async def test_another_tenant_sees_and_changes_nothing(door, bearer) -> None:
    created = await _create(door, bearer)
    endpoint_id = created["endpoint"]["endpoint_id"]
    foreign_write, foreign_read = bearer(org="globex"), bearer(Permission.WEBHOOKS_READ, org="globex")
    for base in (PATH, PATH.replace(ORG, "globex")):
        answers = [
            await door.http.get(f"{base}/{endpoint_id}", headers=foreign_read),
            await door.http.delete(f"{base}/{endpoint_id}", headers=foreign_write),
            await door.http.post(f"{base}/{endpoint_id}/secrets", json={}, headers=foreign_write),
        ]
        assert [answer.status_code for answer in answers] == [404] * 3
    assert (await door.http.get(PATH.replace(ORG, "globex"), headers=foreign_read)).json()["items"] == []
    row = await door.owner.fetchrow("SELECT * FROM orchestrator_webhook_endpoints")
    assert row["disabled_at"] is None
    assert await door.count("orchestrator_webhook_secrets") == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", PATH),
        ("POST", PATH),
        ("GET", f"{PATH}/whe_0"),
        ("DELETE", f"{PATH}/whe_0"),
        ("POST", f"{PATH}/whe_0/secrets"),
        ("GET", f"/api/v1/orgs/{ORG}/deliveries"),
        ("GET", f"/api/v1/orgs/{ORG}/deliveries/dlv_0"),
        ("GET", f"/api/v1/orgs/{ORG}/incidents"),
        ("GET", f"/api/v1/orgs/{ORG}/incidents/inc_0"),
    ],
)
async def test_every_route_is_shut_without_its_permission(door, bearer, method, path) -> None:
    without = await door.http.request(method, path)
    assert (without.status_code, without.json()["code"]) == (401, "unauthenticated")
    wrong = await door.http.request(method, path, headers=bearer(Permission.NODES_READ))
    assert (wrong.status_code, wrong.json()["code"]) == (403, "permission_required")


async def test_row_level_security_holds_for_the_services_own_role(door, bearer, database) -> None:
    created = await _create(door, bearer)
    await door.pagerduty(_Created(created), incident_event())
    await door.post(created["endpoint"]["path"], b"{}", {})
    await door.app.state.ingress._refusals.flush()
    await door.owner.execute(
        "INSERT INTO orchestrator_incidents (incident_id, org_id, endpoint_id, source, external_id, title, status,"
        " opened_at, updated_at) VALUES ('inc_1', 'acme', $1, 'pagerduty', 'P1', 't', 'triggered', now(), now())",
        created["endpoint"]["endpoint_id"],
    )
    await door.owner.execute(
        "INSERT INTO orchestrator_incident_events (delivery_id, org_id, incident_id, event_type, action, occurred_at)"
        " VALUES ('dlv_1', 'acme', 'inc_1', 'x', 'trigger', now())"
    )
    await door.owner.execute(
        "INSERT INTO orchestrator_idempotency_keys (org_id, idempotency_key, fingerprint) VALUES ('acme', 'k', 'f')"
    )
    tables = [
        row["relname"]
        for row in await door.owner.fetch(
            "SELECT relname FROM pg_class WHERE relname LIKE 'orchestrator\\_%' AND relkind = 'r' ORDER BY 1"
        )
    ]
    assert len(tables) == 9
    role = await asyncpg.connect(database.url("incidentfox_orchestrator"))
    try:
        for org, expected in ((None, 0), ("globex", 0), ("", 0), (ORG, 1)):
            for table in tables:
                async with role.transaction():
                    if org is not None:
                        await role.execute("SELECT set_config('incidentfox.org_id', $1, true)", org)
                        await role.execute("SELECT set_config('incidentfox.team_node_id', '*', true)")
                    found = await role.fetchval(f"SELECT count(*) FROM {table}")
                assert found == expected, (org, table)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await role.execute("SELECT * FROM org_nodes")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await role.execute("DELETE FROM orchestrator_deliveries")
        async with role.transaction():
            await role.execute("SELECT set_config('incidentfox.org_id', 'globex', true)")
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
                await role.execute("INSERT INTO orchestrator_rate_limits VALUES ('whe_x', 'acme', 0, 0, 0)")
    finally:
        await role.close()


class _Created:
    """A CreatedEndpoint as the API sent it."""

    def __init__(self, created) -> None:
        self.secret = created["secret"]
        self.endpoint = type("Endpoint", (), created["endpoint"])
