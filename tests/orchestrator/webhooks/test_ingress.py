"""A delivery at the door: accepted once, or refused without leaving anything that could run."""

import asyncio
import json

import pytest
from tests.orchestrator.conftest import custom_headers, incident_event, pagerduty_signature

from incidentfox.kernel.ids import new_id
from incidentfox.orchestrator.webhooks.store import QUEUED

pytestmark = pytest.mark.anyio


async def test_a_signed_delivery_is_committed_and_enqueued_before_it_is_acknowledged(door) -> None:
    created = await door.endpoint()
    body = json.dumps(incident_event(event_id="01EVENT")).encode()
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    signature = pagerduty_signature(created.secret, body)
    response = await door.post(
        created.endpoint.path,
        body,
        {"X-PagerDuty-Signature": signature, "traceparent": trace, "X-Correlation-Id": "cor-12345678"},
    )
    assert response.status_code == 202
    answer = response.json()
    assert answer["status"] == "accepted"
    row = await door.owner.fetchrow("SELECT * FROM orchestrator_deliveries")
    assert row["delivery_id"] == answer["delivery_id"]
    assert (row["org_id"], row["delivery_key"], row["event_type"]) == ("acme", "01EVENT", "incident.triggered")
    assert row["status"] == "received"
    assert row["correlation_id"] == response.headers["x-correlation-id"] == "cor-12345678"
    assert row["traceparent"].startswith("00-4bf92f3577b34da6a3ce929d0e0e4736-")
    job = await door.owner.fetchrow("SELECT * FROM orchestrator_dbos.workflow_status WHERE name = 'deliver'")
    assert (job["workflow_uuid"], job["name"], job["status"]) == (answer["delivery_id"], "deliver", "ENQUEUED")
    assert job["queue_partition_key"].startswith("acme/")
    named = "SELECT inputs FROM orchestrator_dbos.workflow_input WHERE workflow_uuid = $1"
    inputs = await door.owner.fetchval(named, job["workflow_uuid"])
    assert json.loads(inputs)["positionalArgs"] == [answer["delivery_id"], "acme"]


async def test_a_repetition_answers_200_and_starts_nothing(door) -> None:
    created = await door.endpoint()
    event = incident_event()
    first = await door.pagerduty(created, event)
    door.app.state.ingress._recorder._known.clear()  # as after a restart
    again = [await door.pagerduty(created, event) for _ in range(2)]
    assert [response.status_code for response in again] == [200, 200]
    assert {response.json()["delivery_id"] for response in again} == {first.json()["delivery_id"]}
    assert again[0].json()["status"] == "repeated"
    assert await door.count("orchestrator_deliveries") == 1
    assert await door.count("orchestrator_dbos.workflow_status WHERE name = 'deliver'") == 1


async def test_concurrent_duplicates_become_one_row(door) -> None:
    created = await door.endpoint()
    event = incident_event()
    responses = await asyncio.gather(*(door.pagerduty(created, event) for _ in range(64)))
    codes = sorted(response.status_code for response in responses)
    assert codes == [200] * 63 + [202]
    assert len({response.json()["delivery_id"] for response in responses}) == 1
    assert await door.count("orchestrator_deliveries") == 1
    assert await door.count("orchestrator_dbos.workflow_status WHERE name = 'deliver'") == 1


async def test_the_same_key_at_another_endpoint_is_another_delivery(door) -> None:
    event = incident_event()
    for _ in range(2):
        assert (await door.pagerduty(await door.endpoint(), event)).status_code == 202


async def test_unknown_disabled_and_other_source_get_the_same_answer(door) -> None:
    created = await door.endpoint()
    body = json.dumps(incident_event()).encode()
    headers = {"X-PagerDuty-Signature": pagerduty_signature(created.secret, body)}
    endpoint_id = created.endpoint.endpoint_id
    unknown = await door.post(f"/webhooks/pagerduty/{new_id('whe')}", body, headers)
    no_source = await door.post(f"/webhooks/nagios/{endpoint_id}", body, headers)
    other = await door.post(f"/webhooks/custom/{endpoint_id}", body, headers)
    no_ids = [await door.post(f"/webhooks/pagerduty/{odd}", body, headers) for odd in ("x", "%00", "%FF", "a" * 9000)]
    await door.owner.execute("UPDATE orchestrator_webhook_endpoints SET disabled_at = now()")
    door.app.state.ingress._endpoints._kept.clear()
    disabled = await door.post(created.endpoint.path, body, headers)
    answers = [unknown, no_source, other, disabled, *no_ids]
    assert {response.status_code for response in answers} == {404}
    texts = {json.dumps({**response.json(), "correlation_id": ""}) for response in answers}
    assert len(texts) == 1
    assert answers[0].json()["code"] == "webhook_not_found"
    await door.assert_nothing_could_run()


@pytest.mark.parametrize(
    ("signature", "code"),
    [
        (None, "signature_missing"),
        ("", "signature_missing"),
        ("v1=" + "0" * 64, "signature_invalid"),
        ("v2=" + "0" * 64, "signature_invalid"),
        ("nonsense", "signature_invalid"),
        ("v1=\xe9\xff", "signature_invalid"),
    ],
)
async def test_a_bad_pagerduty_signature_is_refused(door, signature, code) -> None:
    created = await door.endpoint()
    headers = {} if signature is None else {"X-PagerDuty-Signature": signature.encode("latin-1")}
    response = await door.post(created.endpoint.path, json.dumps(incident_event()).encode(), headers)
    assert (response.status_code, response.json()["code"]) == (401, code)
    assert response.headers["content-type"] == "application/problem+json"
    await door.assert_nothing_could_run()


async def test_truncated_signatures_and_bodies_are_refused(door) -> None:
    created = await door.endpoint()
    body = json.dumps(incident_event()).encode()
    signature = pagerduty_signature(created.secret, body)
    for sent_body, sent in ((body, signature[:-1]), (body[:-1], signature), (body + b" ", signature)):
        response = await door.post(created.endpoint.path, sent_body, {"X-PagerDuty-Signature": sent})
        assert (response.status_code, response.json()["code"]) == (401, "signature_invalid")
    await door.assert_nothing_could_run()


async def test_a_stale_signature_is_refused_where_the_scheme_signs_a_time(door) -> None:
    created = await door.endpoint("custom")
    body = json.dumps({"type": "alert.triggered", "data": {"title": "t"}}).encode()
    for shift in (-301, 301):
        headers = custom_headers(created.secret, body, at=door.clock[0] + shift)
        response = await door.post(created.endpoint.path, body, headers)
        assert (response.status_code, response.json()["code"]) == (401, "signature_expired")
    await door.assert_nothing_could_run()
    headers = custom_headers(created.secret, body, at=door.clock[0] - 299)
    assert (await door.post(created.endpoint.path, body, headers)).status_code == 202
    door.clock[0] += 3600
    assert (await door.post(created.endpoint.path, body, headers)).json()["code"] == "signature_expired"


async def test_an_oversized_body_is_refused_with_and_without_a_declared_length(door) -> None:
    created = await door.endpoint()
    body = b" " * (1024 * 1024 + 1)
    headers = {"X-PagerDuty-Signature": pagerduty_signature(created.secret, body)}

    async def chunks():
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    declared = await door.post(created.endpoint.path, body, headers)
    chunked = await door.http.post(created.endpoint.path, content=chunks(), headers=headers)
    for response in (declared, chunked):
        assert (response.status_code, response.json()["code"]) == (413, "too_large")
    await door.assert_nothing_could_run()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"event": NaN}',
        b"[" * 200_000,
        b'{"event": {}}',
        b'{"event": {"id": "a b", "event_type": "incident.triggered", "occurred_at": "2026-11-24T03:00:00Z"}}',
        b'{"event": {"id": "a\\n", "event_type": "incident.triggered", "occurred_at": "2026-11-24T03:00:00Z"}}',
        b'{"event": {"id": "a", "event_type": "incident.triggered", "occurred_at": "yesterday"}}',
    ],
)
async def test_a_signed_body_in_the_wrong_form_is_refused(door, body) -> None:
    created = await door.endpoint()
    headers = {"X-PagerDuty-Signature": pagerduty_signature(created.secret, body)}
    response = await door.post(created.endpoint.path, body, headers)
    assert (response.status_code, response.json()["code"]) == (400, "malformed_body")
    await door.assert_nothing_could_run()


async def test_text_that_postgres_cannot_keep_is_cleaned_not_refused(door) -> None:
    created = await door.endpoint()
    event = incident_event()
    event["event"]["data"]["title"] = "a\0b \ud800 c"
    response = await door.pagerduty(created, event)
    assert response.status_code == 202
    stored = json.loads(await door.owner.fetchval("SELECT event FROM orchestrator_deliveries"))
    assert stored["incident"]["title"] == "ab ? c"


async def test_an_unsupported_event_answers_200_with_a_reason(door) -> None:
    created = await door.endpoint()
    ping = {
        "event": {
            "id": "01PING",
            "event_type": "pagey.ping",
            "resource_type": "pagey",
            "occurred_at": "2026-11-24T03:00:00Z",
            "data": {"message": "Hello from your friend Pagey!", "type": "ping"},
        }
    }
    response = await door.pagerduty(created, ping)
    assert response.status_code == 200
    assert response.json() == {
        "delivery_id": None,
        "status": "ignored",
        "reason": "pagey.ping is not about an incident",
    }
    await door.assert_nothing_could_run()
    await door.app.state.ingress._refusals.flush()
    row = await door.owner.fetchrow("SELECT reason, count FROM orchestrator_refusals")
    assert tuple(row) == ("unsupported_event", 1)


async def test_over_the_limit_is_429_with_retry_after_and_a_counter(door) -> None:
    created = await door.endpoint(rate_per_minute=6, burst=3)
    responses = [await door.pagerduty(created, incident_event()) for _ in range(6)]
    assert [response.status_code for response in responses] == [202] * 3 + [429] * 3
    limited = responses[3]
    assert limited.json()["code"] == "rate_limited"
    assert 1 <= int(limited.headers["retry-after"]) <= 11
    assert await door.count("orchestrator_deliveries") == 3
    assert await door.count("orchestrator_dbos.workflow_status WHERE name = 'deliver'") == 3
    await door.app.state.ingress._refusals.flush()
    row = await door.owner.fetchrow("SELECT reason, count FROM orchestrator_refusals")
    assert tuple(row) == ("rate_limited", 3)


async def test_a_concurrent_burst_gets_exactly_what_the_limit_allows(door) -> None:
    created = await door.endpoint(rate_per_minute=1, burst=20)
    responses = await asyncio.gather(*(door.pagerduty(created, incident_event()) for _ in range(100)))
    codes = [response.status_code for response in responses]
    assert (codes.count(202), codes.count(429)) == (20, 80)
    assert await door.count("orchestrator_deliveries") == 20


async def test_who_cannot_sign_takes_nothing_from_the_limit(door) -> None:
    created = await door.endpoint(rate_per_minute=1, burst=1)
    body = json.dumps(incident_event()).encode()
    for _ in range(10):
        assert (await door.post(created.endpoint.path, body, {"X-PagerDuty-Signature": "v1=00"})).status_code == 401
    assert (await door.pagerduty(created, incident_event())).status_code == 202


async def test_a_replay_takes_nothing_from_the_limit(door) -> None:
    created = await door.endpoint(rate_per_minute=1, burst=2)
    event = incident_event()
    codes = [(await door.pagerduty(created, event)).status_code for _ in range(10)]
    assert codes == [202] + [200] * 9
    assert (await door.pagerduty(created, incident_event())).status_code == 202


async def test_refusals_are_counted_and_sampled_without_bodies_or_signatures(door) -> None:
    created = await door.endpoint()
    body = json.dumps({"event": {"note": "hunter2-body"}}).encode()
    for _ in range(9):
        await door.post(
            created.endpoint.path, body, {"X-PagerDuty-Signature": "v1=5ec7e7", "X-Extra": "hunter2-header"}
        )
    ledger = door.app.state.ingress._refusals
    await ledger.flush()
    await door.post(created.endpoint.path, body, {"X-PagerDuty-Signature": "v1=5ec7e7"})
    await ledger.flush()
    row = await door.owner.fetchrow("SELECT * FROM orchestrator_refusals")
    assert (row["org_id"], row["reason"], row["count"]) == ("acme", "signature_invalid", 10)
    samples = json.loads(row["samples"])
    assert len(samples) == 5
    assert samples[-1]["size_bytes"] == len(body)
    assert "x-pagerduty-signature" in samples[-1]["header_names"]
    assert "hunter2" not in str(row)
    assert "5ec7e7" not in str(row)
    refused = [event for _, event in door.audit.events if event.action == "webhook.refused"]
    assert len(refused) == 1, "once an hour for one reason"
    assert refused[0].detail["reason"] == "signature_invalid"
    assert "5ec7e7" not in refused[0].model_dump_json()


async def test_a_secret_in_an_alert_is_not_stored_and_what_routes_it_is(door) -> None:
    created = await door.endpoint("custom")
    secret = "ghp_" + "a1B2" * 9
    data = {
        "title": f"deploy failed: {secret}",
        "service": "token-service",
        "summary": f"postgres://app:{secret}@db/shop refused; Authorization: Bearer {secret}",
        "identifiers": [{"kind": "custom", "name": "pipeline", "value": "secret-rotation"}],
    }
    assert (await door.custom(created, {"type": "alert.triggered", "data": data})).status_code == 202
    event = json.loads(await door.owner.fetchval("SELECT event::text FROM orchestrator_deliveries"))
    assert event["alert"]["title"] == "deploy failed: [redacted:github-token]"
    assert secret not in event["alert"]["summary"]
    assert "@db/shop refused" in event["alert"]["summary"]
    assert {identifier["value"] for identifier in event["identifiers"]} >= {"token-service", "secret-rotation"}


async def test_who_listens_hears_of_a_delivery_once_it_is_committed(door) -> None:
    heard = asyncio.Event()
    await door.owner.add_listener(QUEUED, lambda *_: heard.set())
    created = await door.endpoint()
    await door.pagerduty(created, incident_event())
    async with asyncio.timeout(30):
        await heard.wait()
    assert await door.owner.fetchval("SELECT count(*) FROM orchestrator_deliveries") == 1
    await door.owner.reset()
