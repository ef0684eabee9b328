"""Chapter 4: an alert of PagerDuty is routed to the team, and the team's agent investigates it."""

from __future__ import annotations

from incidentfox.kernel.web.examples import Step

RUN = "run_01kjq9h4ydyhshzg8dgy5e1bqk"
DELIVERY = "dlv_01kjq9h3t2w5x8c1v4b7n0m3kz"
_CORRELATION = "cor_01kjq9h3t0q2r4s6v8w0x2y4z6"
_SECOND = "run_01kjq9m8a3fjx2c7e5t9n4w6d1"
_RUNS = f"/api/v1/internal/runs/{RUN}"

_PAGED = {"identifiers": [{"kind": "pagerduty_service", "value": "PF9KMXH"}, {"kind": "service", "value": "checkout"}]}
_ALERT = {
    "title": "checkout answers 5xx",
    "service": "checkout",
    "metric": "error_rate",
    "severity": "critical",
    "threshold": 0.02,
    "observed": 0.31,
    "fired_at": "2026-03-02T08:58:00Z",
    "url": "https://acme.pagerduty.com/incidents/PGR0VU2",
}
_DEPLOY = '[{"service": "checkout", "version": "4.7.0", "commit": "8f3c2a1", "at": "2026-03-02T08:55:00Z"}]'
_USAGE = {"requests": 1, "tool_calls": 1, "input_tokens": 6900, "output_tokens": 520, "cost_usd": 0.031}
_LOGS = '{"timestamp": "2026-03-02T08:56:10Z", "service": "checkout", "message": "no column tax_region"}\n'

INVESTIGATION = (
    Step("Ask who would get an event", "ada", "POST /api/v1/orgs/acme/routing/lookup", _PAGED),
    Step("List who owns what", "ada", "GET /api/v1/orgs/acme/routing/identifiers"),
    Step("Route an event", "orchestrator", "POST /api/v1/internal/routing/lookup", _PAGED),
    Step(
        "Put the routing on record",
        "orchestrator",
        "POST /api/v1/internal/audit-events",
        {
            "event_key": f"{DELIVERY}/routed",
            "team_node_id": "checkout",
            "action": "delivery.routed",
            "target": DELIVERY,
            "correlation_id": _CORRELATION,
            "detail": {"reason": "pagerduty_service PF9KMXH belongs to checkout"},
        },
        status=201,
    ),
    Step(
        "Create the run",
        "orchestrator",
        "POST /api/v1/internal/runs",
        {
            "run_id": RUN,
            "team_node_id": "checkout",
            "input": {"prompt": "Find the root cause of this incident.", "alert": _ALERT},
            "source": "pagerduty",
            "delivery_id": DELIVERY,
            "correlation_id": _CORRELATION,
        },
        status=201,
        headers={"Idempotency-Key": DELIVERY},
    ),
    Step("Read the run to execute", "agent", f"GET {_RUNS}"),
    Step(
        "Read what the agent is built from",
        "agent",
        "GET /api/v1/internal/teams/checkout/effective",
        gives={"run_hash": "/hash"},
    ),
    Step("Start the run", "agent", f"POST {_RUNS}/start", {"config_hash": "{run_hash}"}),
    Step(
        "Resolve the secrets of the run",
        "agent",
        "POST /api/v1/internal/teams/checkout/secrets/resolve",
        {"run_id": RUN, "names": ["slack-bot"]},
    ),
    Step(
        "Reserve what a model call may cost",
        "agent",
        f"POST {_RUNS}/budget/reserve",
        {"call": "call-1", "attempt": "attempt-1", "tokens": 12000, "usd": "0.06"},
    ),
    Step(
        "Settle what it cost",
        "agent",
        f"POST {_RUNS}/budget/settle",
        {"call": "call-1", "tokens": 7420, "usd": "0.031"},
        status=204,
    ),
    Step(
        "Put a tool call on the timeline",
        "agent",
        f"POST {_RUNS}/events",
        {
            "events": [
                {
                    "event_key": "tool-1/called",
                    "type": "tool.called",
                    "at": "2026-03-02T09:00:12Z",
                    "data": {"tool_call_id": "tool-1", "tool": "search_logs", "arguments": {"service": "checkout"}},
                },
                {
                    "event_key": "tool-1/returned",
                    "type": "tool.returned",
                    "at": "2026-03-02T09:00:13Z",
                    "data": {
                        "tool_call_id": "tool-1",
                        "tool": "search_logs",
                        "result": {"lines": 212, "first": "no column tax_region"},
                        "is_error": False,
                        "duration_ms": 840,
                    },
                },
            ]
        },
        status=201,
    ),
    Step(
        "Keep what the tool read",
        "agent",
        f"POST {_RUNS}/captures",
        {"files": {"logs.ndjson": _LOGS, "context/deploys.json": _DEPLOY}},
        status=201,
        gives={"capture_id": "/capture_id"},
    ),
    Step("Read it again for a replay", "agent", f"GET {_RUNS}/captures/{{capture_id}}"),
    Step(
        "Intend to post the answer",
        "agent",
        f"POST {_RUNS}/effects",
        {"effect_key": "slack/C0CHECKOUT", "destination": "slack", "target": "C0CHECKOUT"},
        status=201,
    ),
    Step(
        "Record that it was posted",
        "agent",
        f"POST {_RUNS}/effects/slack%2FC0CHECKOUT/settle",
        {
            "status": "done",
            "external_id": "1772442060.000100",
            "url": "https://acme.slack.com/archives/C0CHECKOUT/p1772442060000100",
        },
    ),
    Step(
        "Finish the run",
        "agent",
        f"POST {_RUNS}/finish",
        {
            "status": "succeeded",
            "usage": _USAGE,
            "answer": {
                "run_id": RUN,
                "config_hash": "{run_hash}",
                "root_cause": {
                    "service": "checkout",
                    "change": "8f3c2a1",
                    "kind": "deploy",
                    "summary": "checkout 4.7.0 reads the column tax_region, which its database does not have.",
                },
                "first_failing_service": "checkout",
                "suspects": [
                    {
                        "service": "checkout",
                        "change": "8f3c2a1",
                        "score": 0.93,
                        "reason": "Deployed a minute before the first error, which names a column that it reads.",
                    }
                ],
                "blast_radius": ["storefront"],
                "remediation": "rollback",
                "confidence": 0.93,
                "evidence": [
                    {
                        "claim": "The column is missing.",
                        "tool_call_id": "tool-1",
                        "excerpt": "no column tax_region",
                    }
                ],
                "timeline": [
                    {"at": "2026-03-02T08:55:00Z", "text": "checkout 4.7.0 is deployed."},
                    {"at": "2026-03-02T08:56:10Z", "text": "The first error."},
                ],
                "usage": _USAGE,
                "duration_s": 21.4,
            },
        },
    ),
    Step(
        "Create a run for an alert of the same incident",
        "orchestrator",
        "POST /api/v1/internal/runs",
        {
            "run_id": _SECOND,
            "team_node_id": "checkout",
            "input": {"prompt": "Find the root cause of this incident.", "alert": _ALERT},
            "source": "pagerduty",
            "correlation_id": _CORRELATION,
        },
        status=201,
    ),
    Step("Cancel it", "ada", f"POST /api/v1/orgs/acme/runs/{_SECOND}/cancel", {"reason": "The cause is known."}),
)
