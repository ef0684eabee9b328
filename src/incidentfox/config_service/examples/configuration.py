"""Chapter 2: secrets, and what the team's agent is built from."""

from __future__ import annotations

from incidentfox.kernel.web.examples import Step

CONFIGURATION = (
    Step(
        "Read the schema of configuration",
        "ada",
        "GET /api/v1/configuration/schema",
        shows=("$schema", "title", "description", "type"),
    ),
    Step(
        "Keep a secret for every team",
        "ada",
        "PUT /api/v1/orgs/acme/nodes/acme/secrets/slack-bot",
        {"value": "the bot token that Slack showed"},
    ),
    Step("List the organisation's own secrets", "ada", "GET /api/v1/orgs/acme/nodes/acme/secrets"),
    Step("Move the secrets to the current master key", "ada", "POST /api/v1/orgs/acme/secrets/reencrypt"),
    Step(
        "Say what holds for every team",
        "ada",
        "PATCH /api/v1/orgs/acme/nodes/acme/configuration",
        {
            "integrations": {"slack": {"enabled": True, "bot_token": {"$secret": "slack-bot"}}},
            "budgets": {"run_tokens": 150000, "day_tokens": 5000000},
            "policies": {
                "/budgets/run_tokens": {"max": 200000},
                "/agents/*/tools": {"requires_approval": True},
            },
        },
    ),
    Step(
        "Rehearse a change of the team's document",
        "ada",
        "PUT /api/v1/orgs/acme/nodes/checkout/configuration?dry_run=true",
        {"budgets": {"run_tokens": 900000}},
    ),
    Step(
        "Write the team's document",
        "ada",
        "PUT /api/v1/orgs/acme/nodes/checkout/configuration",
        {
            "agents": {"investigator": {"prompt": {"suffix": "Payments go through the provider `paywell`."}}},
            "routing": {
                "pagerduty_services": ["PF9KMXH"],
                "services": ["checkout"],
                "service_patterns": ["checkout-*"],
            },
            "destinations": {"slack": {"channel": "#checkout-incidents"}},
        },
        headers={"If-Match": '"0"'},
    ),
    Step(
        "Change one value",
        "ada",
        "PATCH /api/v1/orgs/acme/nodes/checkout/configuration",
        {"budgets": {"run_tokens": 80000}},
        headers={"If-Match": '"1"'},
    ),
    Step(
        "Be late with a change",
        "ada",
        "PATCH /api/v1/orgs/acme/nodes/checkout/configuration",
        {"budgets": {"run_tokens": 90000}},
        headers={"If-Match": '"1"'},
        status=412,
    ),
    Step("Read the team's own document", "ada", "GET /api/v1/orgs/acme/nodes/checkout/configuration"),
    Step("List its versions", "ada", "GET /api/v1/orgs/acme/nodes/checkout/configuration/versions"),
    Step("Read its first version", "ada", "GET /api/v1/orgs/acme/nodes/checkout/configuration/versions/1"),
    Step("Compare two versions", "ada", "GET /api/v1/orgs/acme/nodes/checkout/configuration/diff?from=1&to=2"),
    Step(
        "Go back to the first version",
        "ada",
        "POST /api/v1/orgs/acme/nodes/checkout/configuration/rollback",
        {"version": 1},
        headers={"If-Match": '"2"'},
    ),
    Step(
        "Read what it comes to",
        "ada",
        "GET /api/v1/orgs/acme/nodes/checkout/effective",
        gives={"config_hash": "/hash"},
    ),
    Step(
        "Read what it came to, by its hash",
        "ada",
        "GET /api/v1/orgs/acme/nodes/checkout/effective/{config_hash}",
        shows=("org_id", "team_node_id", "hash", "created_at", "document"),
    ),
)
