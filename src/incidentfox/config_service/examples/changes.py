"""Chapter 3: changes that need a second pair of eyes. Ada asks, Grace decides."""

from __future__ import annotations

from incidentfox.kernel.web.examples import Step

_REQUESTS = "/api/v1/orgs/acme/nodes/checkout/change-requests"
_TOOLS = {"kind": "patch", "patch": {"agents": {"investigator": {"tools": ["search_logs", "rank_changes"]}}}}
_TURNS = {"kind": "patch", "patch": {"agents": {"investigator": {"limits": {"max_turns": 12}}}}}
_MOVE = {"kind": "move", "parent_id": "acme"}

CHANGES = (
    Step(
        "Rehearse a change request",
        "ada",
        f"POST {_REQUESTS}?dry_run=true",
        {"title": "Keep to logs and changes", "change": _TOOLS},
    ),
    Step(
        "Ask for a change",
        "ada",
        f"POST {_REQUESTS}",
        {"title": "Keep to logs and changes", "change": _TOOLS},
        status=201,
        headers={"Idempotency-Key": "logs-and-changes-1"},
        gives={"request_id": "/request_id"},
    ),
    Step("List the open change requests", "ada", "GET /api/v1/orgs/acme/change-requests?status=open"),
    Step("Read a change request", "grace", f"GET {_REQUESTS}/{{request_id}}"),
    Step(
        "Say something about it",
        "grace",
        f"POST {_REQUESTS}/{{request_id}}/comments",
        {"text": "Are metrics of no use here?"},
        status=201,
    ),
    Step("Read what was said", "ada", f"GET {_REQUESTS}/{{request_id}}/comments"),
    Step(
        "Change something else meanwhile",
        "ada",
        "PATCH /api/v1/orgs/acme/nodes/checkout/configuration",
        {"privacy": {"redact_emails": True}},
    ),
    Step("Bind it to the current version", "ada", f"POST {_REQUESTS}/{{request_id}}/rebase"),
    Step("See what approving would do", "grace", f"GET {_REQUESTS}/{{request_id}}/preview"),
    Step("Approve it", "grace", f"POST {_REQUESTS}/{{request_id}}/approve", {"comment": "Agreed for the trial."}),
    Step(
        "Ask for a move",
        "ada",
        f"POST {_REQUESTS}",
        {"title": "Checkout reports to nobody", "change": _MOVE, "expires_in_s": 86400},
        status=201,
        gives={"move_id": "/request_id"},
    ),
    Step("Reject it", "grace", f"POST {_REQUESTS}/{{move_id}}/reject", {"comment": "It stays with the shops."}),
    Step(
        "Ask for fewer turns",
        "ada",
        f"POST {_REQUESTS}",
        {"title": "Twelve turns are enough", "change": _TURNS},
        status=201,
        gives={"turns_id": "/request_id"},
    ),
    Step("Take it back", "ada", f"POST {_REQUESTS}/{{turns_id}}/withdraw", {"comment": "They are not."}),
)
