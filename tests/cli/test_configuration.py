"""`incidentfox config|node|change-request`: what a person reads, on a running installation."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from tests.cli.installation import CommandLine


@pytest.fixture
def team(incidentfox: CommandLine) -> Iterator[str]:
    """A team in a unit of its own, whose tools change with approval only; put away afterwards, so that `doctor` finds
    nothing of it."""
    unit, team = (f"{kind}-{secrets.token_hex(4)}" for kind in ("unit", "team"))
    assert incidentfox("node", "create", unit, "--parent", "acme", "--kind", "unit").code == 0
    write(incidentfox, "put", unit, {"budgets": {"run_tokens": 9}, "policies": {"/tools": {"requires_approval": True}}})
    document = json.dumps({"budgets": {"run_tokens": 7}})
    assert incidentfox("node", "create", team, "--parent", unit, "--configuration", "-", stdin=document).code == 0
    yield team
    assert incidentfox("node", "archive", unit).code == 0


def write(incidentfox: CommandLine, verb: str, node: str, document: dict[str, Any], *options: str) -> str:
    done = incidentfox("config", verb, node, "-", *options, stdin=json.dumps(document))
    assert done.code == 0, done.err
    return done.out


def token(incidentfox: CommandLine, user: str) -> str:
    created = incidentfox("token", "create", user, "--user", user, "--role", "org_admin", "--json")
    return str(json.loads(created.out)["secret"])


def test_explain_says_who_set_what_and_what_it_overrode(incidentfox: CommandLine, team: str) -> None:
    full = incidentfox("config", "explain", team, "/budgets/run_tokens").out
    assert full.splitlines()[0] == "/budgets/run_tokens"
    assert f"set by    {team} v1, by token:tok_" in full
    assert "overrode  9, set by unit-" in full
    table = incidentfox("config", "explain", team, "/budgets").out
    assert "platform:schema v2" in table
    assert "9 of unit-" in table
    missing = incidentfox("config", "explain", team, "/nothing")
    assert missing.code == 2
    assert "has nothing at '/nothing'" in missing.err


def test_history_diff_show_and_rollback(incidentfox: CommandLine, team: str) -> None:
    write(incidentfox, "patch", team, {"budgets": {"run_tokens": 5, "day_tokens": 50}})
    versions = incidentfox("config", "history", team, "--json").lines()
    assert [version["version"] for version in versions] == [2, 1]
    assert incidentfox("config", "diff", team, "1").out.splitlines() == [
        "+ /budgets/day_tokens  50",
        "~ /budgets/run_tokens  7 → 5",
    ]
    dry = incidentfox("config", "rollback", team, "1", "--dry-run").out
    assert "Nothing was written." in dry
    assert "~ /budgets/run_tokens  5 → 7" in dry
    assert incidentfox("config", "rollback", team, "1").out.startswith(f"{team} is at version 3")
    shown = json.loads(incidentfox("config", "show", team).out)
    earlier = json.loads(incidentfox("config", "show", team, "--version", "1").out)
    assert (shown["version"], shown["hash"]) == (3, earlier["hash"])
    then = json.loads(incidentfox("config", "show", team, "--at", versions[0]["created_at"]).out)
    assert then["version"] == 2
    assert incidentfox("config", "show", team, "--at", "yesterday").code == 2


def test_a_change_that_needs_approval_goes_through_two_people(incidentfox: CommandLine, team: str) -> None:
    patch = json.dumps({"tools": {"search_logs": {"enabled": False}}})
    refused = incidentfox("config", "patch", team, "-", stdin=patch)
    assert (refused.code, "[approval_required]" in refused.err) == (1, True)
    alice, bob = (token(incidentfox, f"{name}-{secrets.token_hex(4)}") for name in ("alice", "bob"))
    opened = incidentfox("change-request", "open", team, "-", "--title", "Fewer", stdin=patch, INCIDENTFOX_TOKEN=alice)
    request = opened.out.split()[0]
    assert opened.out.strip() == f"{request} is open"
    own = incidentfox("change-request", "approve", team, request, INCIDENTFOX_TOKEN=alice)
    assert (own.code, "[four_eyes_required]" in own.err) == (1, True)
    assert incidentfox("change-request", "comment", team, request, "Why?", INCIDENTFOX_TOKEN=bob).code == 0
    shown = incidentfox("change-request", "show", team, request, INCIDENTFOX_TOKEN=bob).out
    assert "~ /tools/search_logs/enabled  true → false" in shown
    assert "Why?" in shown
    approved = incidentfox("change-request", "approve", team, request, INCIDENTFOX_TOKEN=bob).out
    assert approved.strip() == f"{request} is applied, as version 2 of {team}"
    listed = incidentfox("change-request", "list", "--node", team, "--json").lines()
    assert [(found["request_id"], found["status"]) for found in listed] == [(request, "applied")]
    assert request in incidentfox("config", "explain", team, "/tools/search_logs/enabled").out


def test_a_node_is_moved_archived_restored_and_deleted(incidentfox: CommandLine, team: str) -> None:
    assert incidentfox("node", "rename", team, "Other name").code == 0
    preview = incidentfox("node", "move", team, "acme", "--dry-run")
    assert "leave its reach" in preview.out
    assert incidentfox("node", "move", team, "acme").code == 1
    assert incidentfox("node", "archive", team).code == 0
    frozen = incidentfox("config", "patch", team, "-", stdin="{}")
    assert "[node_archived]" in frozen.err
    assert incidentfox("node", "restore", team).code == 0
    assert incidentfox("node", "delete", team, stdin="n\n").code == 1
    assert team in incidentfox("node", "list").out
    deleted = incidentfox("node", "delete", team, "--yes")
    assert deleted.out.splitlines()[-1].startswith(f"{team} is deleted.")
    assert team not in incidentfox("node", "list").out


def test_a_secret_is_written_listed_and_deleted_with_who_refers_to_it(incidentfox: CommandLine, team: str) -> None:
    write(incidentfox, "patch", team, {"integrations": {"slack": {"bot_token": {"$secret": "bot"}}}})
    assert incidentfox("secret", "set", team, "bot", stdin="planted-value\n").code == 0
    assert [secret["name"] for secret in incidentfox("secret", "list", team, "--json").lines()] == ["bot"]
    would = incidentfox("secret", "delete", team, "bot", "--dry-run").out.splitlines()
    assert would == [
        f"{team} refers to it at /integrations/slack/bot_token",
        "They would get none: no node above has one of this name.",
    ]
    assert incidentfox("secret", "delete", team, "bot", "--yes").out.endswith(f"bot of {team} is deleted.\n")
    again = incidentfox("secret", "delete", team, "bot", "--yes")
    assert (again.code != 0, "secret_not_found" in again.err) == (True, True)


def test_a_runbook_is_read_whole_and_listed_in_brief(incidentfox: CommandLine, team: str) -> None:
    text = "# Mitigation\n\n" + "Roll back [orders].\n" * 200
    runbook = {"title": "Orders: locks", "text": text, "services": ["orders"], "url": "https://wiki.test/locks"}
    dry = incidentfox(
        "config", "patch", team, "-", "--dry-run", stdin=json.dumps({"knowledge": {"runbooks": {"locks": runbook}}})
    )
    assert "Nothing was written." in dry.out
    write(incidentfox, "patch", team, {"knowledge": {"runbooks": {"locks": runbook}}})
    assert json.loads(incidentfox("config", "show", team).out)["document"]["knowledge"]["runbooks"]["locks"] == runbook
    table = incidentfox("config", "explain", team, "/knowledge").out
    assert [line.split()[0] for line in table.splitlines()[1:]] == [
        f"/knowledge/runbooks/locks/{key}" for key in ("enabled", "title", "text", "services", "url")
    ]
    assert "# Mitigation" in table
    assert max(map(len, (*table.splitlines(), *dry.out.splitlines()))) <= 200
    full = incidentfox("config", "explain", team, "/knowledge/runbooks/locks/text").out
    assert full.count("[orders]") == 200
