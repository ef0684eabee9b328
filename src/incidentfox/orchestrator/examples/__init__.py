"""The Orchestrator by example: PagerDuty is connected, pages, and its alert becomes an incident of the team `checkout`.

The organisation is that of the Config Service's examples. A new operation needs a step here
(`tests/orchestrator/test_openapi_examples.py` says so); `make docs` records the answers in `answers.json`.
"""

from __future__ import annotations

import json
from pathlib import Path

from incidentfox.kernel.web.examples import Step, Story

SECRET = "the secret that PagerDuty showed"

_EVENT = {
    "event": {
        "id": "01DEN4HPBQAAAG05V5QQYBRZMF",
        "event_type": "incident.triggered",
        "resource_type": "incident",
        "occurred_at": "2026-03-02T08:58:00.000Z",
        "data": {
            "id": "PGR0VU2",
            "type": "incident",
            "html_url": "https://acme.pagerduty.com/incidents/PGR0VU2",
            "number": 2,
            "status": "triggered",
            "title": "checkout answers 5xx",
            "service": {"id": "PF9KMXH", "type": "service_reference", "summary": "Checkout"},
            "urgency": "high",
        },
    }
}
BODY = json.dumps(_EVENT)
"""What PagerDuty sends."""

_ENDPOINTS = "/api/v1/orgs/acme/webhook-endpoints"

_STEPS = (
    Step(
        "Create a webhook endpoint",
        "ada",
        f"POST {_ENDPOINTS}",
        {"source": "pagerduty", "name": "PagerDuty of the shops", "rate_per_minute": 300},
        status=201,
        headers={"Idempotency-Key": "pagerduty-shops-1"},
        gives={"endpoint_id": "/endpoint/endpoint_id"},
    ),
    Step(
        "Hand in the secret that PagerDuty signs with",
        "ada",
        f"POST {_ENDPOINTS}/{{endpoint_id}}/secrets",
        {"secret": SECRET, "overlap_s": 3600},
        status=201,
        headers={"Idempotency-Key": "pagerduty-shops-2"},
    ),
    Step("List the endpoints", "ada", f"GET {_ENDPOINTS}"),
    Step("Read the endpoint", "ada", f"GET {_ENDPOINTS}/{{endpoint_id}}"),
    Step("Move the webhook secrets to the current master key", "ada", f"POST {_ENDPOINTS}/reencrypt"),
    Step(
        "Ask what would become of a delivery",
        "ada",
        "POST /api/v1/orgs/acme/webhook-sources/pagerduty/dry-run",
        {"headers": {"content-type": "application/json"}, "body": BODY},
    ),
    Step(
        "List what was delivered",
        "ada",
        "GET /api/v1/orgs/acme/deliveries",
        gives={"delivery_id": "/items/0/delivery_id"},
    ),
    Step("Read a delivery", "ada", "GET /api/v1/orgs/acme/deliveries/{delivery_id}"),
    Step(
        "List the incidents",
        "ada",
        "GET /api/v1/orgs/acme/incidents?limit=20",
        gives={"incident_id": "/items/0/incident_id"},
    ),
    Step("Read an incident", "ada", "GET /api/v1/orgs/acme/incidents/{incident_id}"),
    Step("Shut the endpoint", "ada", f"DELETE {_ENDPOINTS}/{{endpoint_id}}"),
)


def story() -> Story:
    """The steps, with the answers on record."""
    return Story(_STEPS, Path(__file__).with_name("answers.json"))
