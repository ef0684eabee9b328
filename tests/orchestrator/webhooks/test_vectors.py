"""The signature vectors and bodies that the vendors publish."""

import json

import pytest

from incidentfox.kernel.errors import Invalid, Unauthenticated
from incidentfox.orchestrator.webhooks.source import Action, sources

STANDARD_WEBHOOKS_NOW = 1614265330


def _vector(payloads, source: str) -> tuple[dict[str, str], bytes, str]:
    vectors = json.loads((payloads / "vectors.json").read_text())
    vector = next(vector for vector in vectors if vector["source"].startswith(source))
    headers = {name.lower(): value for name, value in vector["headers"].items()}
    return headers, vector["body"].encode(), vector["secret"]


def test_the_pagerduty_vector_verifies_and_parses(payloads) -> None:
    headers, body, secret = _vector(payloads, "pagerduty")
    source = sources()["pagerduty"]
    source.verify(headers, body, ["another", secret], now=0.0)
    event = source.parse(headers, body)
    assert event.delivery_key == "01BWDWL3NYY7LUFPZCC28QUCMK"
    assert event.action is Action.RECORD
    assert [(identifier.kind, identifier.value) for identifier in event.identifiers] == [
        ("pagerduty_service", "PF9KMXH"),
        ("service", "API Service"),
        ("custom", "PFCVPS0"),
    ]


def test_any_of_several_pagerduty_signatures_will_do(payloads) -> None:
    headers, body, secret = _vector(payloads, "pagerduty")
    good = headers["x-pagerduty-signature"]
    source = sources()["pagerduty"]
    for header in (f"v1={'0' * 64},{good}", f"{good},v1={'0' * 64}", f" v0=x , {good} "):
        source.verify({"x-pagerduty-signature": header}, body, [secret], now=0.0)


def test_the_standard_webhooks_vector_verifies_within_its_five_minutes(payloads) -> None:
    headers, body, secret = _vector(payloads, "standard-webhooks")
    source = sources()["custom"]
    for now in (-300, 0, 300):
        source.verify(headers, body, [secret], now=STANDARD_WEBHOOKS_NOW + now)
    rotated = {**headers, "webhook-signature": f"v1,AAAA v1a,x {headers['webhook-signature']}"}
    source.verify(rotated, body, ["whsec_" + "A" * 32, secret], now=STANDARD_WEBHOOKS_NOW)
    for now in (-301, 301):
        with pytest.raises(Unauthenticated) as refused:
            source.verify(headers, body, [secret], now=STANDARD_WEBHOOKS_NOW + now)
        assert refused.value.code == "signature_expired"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"webhook-signature": ""}, "signature_missing"),
        ({"webhook-id": ""}, "signature_missing"),
        ({"webhook-timestamp": ""}, "signature_missing"),
        ({"webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1O"}, "signature_invalid"),
        ({"webhook-signature": "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}, "signature_invalid"),
        ({"webhook-id": "msg_other"}, "signature_invalid"),
        ({"webhook-timestamp": "1614265331"}, "signature_invalid"),
        ({"webhook-timestamp": "-1"}, "signature_invalid"),
        ({"webhook-timestamp": "\u0661614265330"}, "signature_invalid"),
    ],
)
def test_changed_standard_webhooks_headers_are_refused(payloads, changed, code) -> None:
    headers, body, secret = _vector(payloads, "standard-webhooks")
    with pytest.raises(Unauthenticated) as refused:
        sources()["custom"].verify({**headers, **changed}, body, [secret], now=STANDARD_WEBHOOKS_NOW)
    assert refused.value.code == code


@pytest.mark.parametrize("name", ["trigger", "acknowledge", "mp_fail", "unsupported_v1", "trigger_v2", "assign_v2"])
def test_pagerduty_v1_and_v2_are_refused_with_what_to_configure(payloads, name) -> None:
    body = (payloads / "pagerduty" / f"{name}.json").read_bytes()
    with pytest.raises(Invalid) as refused:
        sources()["pagerduty"].verify({}, body, ["secret"], now=0.0)
    assert refused.value.code == "pagerduty_v2_unsupported"
    assert "Generic Webhook (v3)" in refused.value.detail
    with pytest.raises(Invalid) as signed:
        sources()["pagerduty"].parse({}, body)
    assert signed.value.code == "pagerduty_v2_unsupported"


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("triggered_v3", Action.TRIGGER),
        ("resolved_v3", Action.RESOLVE),
        ("unacknowledged_v3", Action.UNACKNOWLEDGE),
        ("reassigned_v3", Action.RECORD),
    ],
)
def test_captured_pagerduty_v3_bodies_parse(payloads, name, action) -> None:
    event = sources()["pagerduty"].parse({}, (payloads / "pagerduty" / f"{name}.json").read_bytes())
    assert event.action is action
    assert event.incident is not None
    assert event.incident.title.startswith("Test Incident")
    assert event.identifiers[0].value == "PA2P440"
    assert (event.alert is not None) == (action is Action.TRIGGER)


@pytest.mark.parametrize("name", ["on_incident_annotated", "on_incident_status_update", "on_incident"])
def test_events_that_only_refer_to_an_incident_are_recorded_on_it(payloads, name) -> None:
    wrapped = json.loads((payloads / "pagerduty" / f"wrapped_example_data_{name}.json").read_text())
    envelope = {
        "event": {
            "id": "01REFERS",
            "event_type": wrapped["type"].removeprefix("pagerduty."),
            "occurred_at": "2026-01-19T12:00:00Z",
            "data": wrapped["data"],
        }
    }
    if name == "on_incident":
        envelope["event"]["event_type"] = "incident.responder.added"
    event = sources()["pagerduty"].parse({}, json.dumps(envelope).encode())
    assert event.action is Action.RECORD
    assert event.incident is not None
    assert (event.incident.external_id, event.incident.title) == ("PGR0VU2", "A little bump in the road")
