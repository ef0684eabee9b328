"""Chapter 1: the organisation, its tree, and who may do what."""

from __future__ import annotations

from incidentfox.kernel.web.examples import Step

ORGANISATION = (
    Step(
        "Create the organisation",
        "operator",
        "POST /api/v1/orgs",
        {"org_id": "acme", "name": "Acme"},
        status=201,
        headers={"Idempotency-Key": "acme-1"},
    ),
    Step(
        "Give Ada an admin token",
        "operator",
        "POST /api/v1/orgs/acme/tokens",
        {"name": "Laptop of Ada", "role": "org_admin", "user": "ada@acme.example"},
        status=201,
        gives={"ada": "/secret"},
    ),
    Step("Ask who I am", "ada", "GET /api/v1/me"),
    Step(
        "Create a unit",
        "ada",
        "POST /api/v1/orgs/acme/nodes",
        {"node_id": "shops", "parent_id": "acme", "kind": "unit", "name": "Shops"},
        status=201,
    ),
    Step(
        "Let Grace approve what changes below the unit",
        "operator",
        "POST /api/v1/orgs/acme/tokens",
        {"name": "Laptop of Grace", "node_id": "shops", "role": "approver", "user": "grace@acme.example"},
        status=201,
        gives={"grace": "/secret"},
    ),
    Step(
        "Rehearse the creation of a team",
        "ada",
        "POST /api/v1/orgs/acme/nodes?dry_run=true",
        {"node_id": "checkout", "parent_id": "shops", "kind": "team", "name": "Check-out"},
    ),
    Step(
        "Create a team",
        "ada",
        "POST /api/v1/orgs/acme/nodes",
        {"node_id": "checkout", "parent_id": "shops", "kind": "team", "name": "Check-out"},
        status=201,
        headers={"Idempotency-Key": "checkout-1"},
    ),
    Step("List the nodes", "ada", "GET /api/v1/orgs/acme/nodes"),
    Step(
        "Rename the team",
        "ada",
        "PATCH /api/v1/orgs/acme/nodes/checkout",
        {"name": "Checkout"},
        headers={"If-Match": '"1"'},
    ),
    Step("Read the team's node", "ada", "GET /api/v1/orgs/acme/nodes/checkout"),
    Step(
        "Give the team's pipeline a token",
        "ada",
        "POST /api/v1/orgs/acme/tokens",
        {
            "name": "checkout deploys",
            "node_id": "checkout",
            "scopes": ["config:read", "config:write", "runs:read"],
            "expires_in_s": 7776000,
        },
        status=201,
        headers={"Idempotency-Key": "checkout-deploys-1"},
        gives={"pipeline": "/secret", "pipeline_token_id": "/token/token_id"},
    ),
    Step(
        "Find out who holds a token",
        "orchestrator",
        "POST /api/v1/internal/tokens/introspect",
        {"token": "{pipeline}"},
    ),
    Step(
        "Rotate the pipeline's token",
        "ada",
        "POST /api/v1/orgs/acme/tokens/{pipeline_token_id}/rotate",
        {"overlap_s": 3600},
        status=201,
    ),
    Step("List the tokens", "ada", "GET /api/v1/orgs/acme/tokens"),
    Step("Revoke the old token", "ada", "DELETE /api/v1/orgs/acme/tokens/{pipeline_token_id}"),
    Step("Ask for a sign-in code", "ada", "POST /api/v1/sign-in-codes", status=201, gives={"code": "/code"}),
    Step(
        "Sign a browser in",
        "nobody",
        "POST /api/v1/sign-in-codes/exchange",
        {"code": "{code}"},
        status=201,
        gives={"browser": "/secret"},
    ),
    Step("Sign the browser out", "browser", "DELETE /api/v1/me/token", status=204),
)
