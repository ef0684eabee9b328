"""Chapter 5: what is on record afterwards, and the end of the team."""

from __future__ import annotations

from incidentfox.config_service.examples.investigation import RUN
from incidentfox.kernel.web.examples import Step

_METRICS = (
    "timestamp,service,metric,value\n"
    "1772441700,checkout,error_rate,0.004\n"
    "1772441760,checkout,error_rate,0.19\n"
    "1772441820,checkout,error_rate,0.31\n"
)
_ALERT = '{"service": "checkout", "metric": "error_rate", "fired_at": "2026-03-02T08:58:00Z"}'

REVIEW = (
    Step("List the team's runs", "ada", "GET /api/v1/orgs/acme/runs?team_node_id=checkout&status=succeeded"),
    Step("Read the run", "ada", f"GET /api/v1/orgs/acme/runs/{RUN}"),
    Step("Read the run's timeline", "ada", f"GET /api/v1/orgs/acme/runs/{RUN}/events?after=1&limit=10"),
    Step("Read the team's budget", "ada", "GET /api/v1/orgs/acme/teams/checkout/budget"),
    Step("Read what the run posted where", "ada", f"GET /api/v1/orgs/acme/runs/{RUN}/effects"),
    Step(
        "Read what the run was built from",
        "agent",
        "GET /api/v1/internal/teams/checkout/effective/{run_hash}",
        shows=("org_id", "team_node_id", "hash", "document"),
    ),
    Step("Export the run as a recording", "ada", f"GET /api/v1/orgs/acme/runs/{RUN}/recording"),
    Step(
        "Upload a recording",
        "ada",
        "POST /api/v1/orgs/acme/recordings",
        {"files": {"alert.json": _ALERT, "metrics.csv": _METRICS}},
        status=201,
        gives={"recording_id": "/recording_id"},
    ),
    Step("Read a recording to investigate it", "agent", "GET /api/v1/internal/recordings/{recording_id}"),
    Step("See who uses a secret", "ada", "DELETE /api/v1/orgs/acme/nodes/acme/secrets/slack-bot?dry_run=true"),
    Step("Delete a secret", "ada", "DELETE /api/v1/orgs/acme/nodes/acme/secrets/slack-bot"),
    Step(
        "Search the audit",
        "ada",
        "GET /api/v1/orgs/acme/audit-events?action=configuration.updated&actor=user%3Aada%40acme.example",
    ),
    Step("Read where the audit chain ends", "ada", "GET /api/v1/orgs/acme/audit-chain"),
    Step("Export the audit chain", "ada", "GET /api/v1/orgs/acme/audit-chain/export?format=ndjson"),
    Step("Archive the team", "ada", "POST /api/v1/orgs/acme/nodes/checkout/archive", headers={"If-Match": '"2"'}),
    Step("Restore the team", "ada", "POST /api/v1/orgs/acme/nodes/checkout/restore"),
    Step("See what would fall with the unit", "ada", "DELETE /api/v1/orgs/acme/nodes/shops?dry_run=true"),
    Step("Delete the unit", "ada", "DELETE /api/v1/orgs/acme/nodes/shops", headers={"If-Match": '"1"'}),
)
