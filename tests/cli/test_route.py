"""`route lookup` and `route explain` against a running installation."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.installation import CommandLine

ALERT = {"type": "alert.triggered", "data": {"title": "Orders are slow", "service": "orders"}}


def test_lookup_prints_the_team_and_everything_that_was_tried(incidentfox: CommandLine) -> None:
    done = incidentfox("route", "lookup", "service=Orders", "custom:region=eu")
    assert done.code == 0, done.err
    assert done.out.splitlines()[0] == "shop-sre: service Orders belongs to shop-sre"
    for cell in ("COMPARED AS", "custom:region=eu", "service pattern", "default team"):
        assert cell in done.out


def test_list_prints_each_identifier_with_its_team(incidentfox: CommandLine) -> None:
    done = incidentfox("route", "list", "--team", "shop-sre", "--kind", "service")
    assert done.code == 0, done.err
    head, *rows = (line.split() for line in done.out.splitlines())
    assert head == ["IDENTIFIER", "KIND", "TEAM", "COMPARED", "AS", "AGE"]
    assert ["orders", "service", "shop-sre", "-"] in [row[:4] for row in rows]
    assert {(row[1], row[2]) for row in rows} == {("service", "shop-sre")}
    as_json = [json.loads(line) for line in incidentfox("route", "list", "--json").out.splitlines()]
    assert {"kind": "service", "value": "orders", "team_node_id": "shop-sre"}.items() <= next(
        owned for owned in as_json if owned["value"] == "orders"
    ).items()
    assert "No team owns" in incidentfox("route", "list", "--team", "nobody").out
    assert incidentfox("route", "list", "--kind", "planet").code == 2


def test_explain_says_who_would_get_a_payload(incidentfox: CommandLine, tmp_path: Path) -> None:
    payload = tmp_path / "payload.json"
    payload.write_text(json.dumps(ALERT))
    done = incidentfox("route", "explain", "--source", "custom", payload)
    assert done.code == 0, done.err
    assert "custom alert.triggered → trigger: Orders are slow" in done.out
    assert "shop-sre: service orders belongs to shop-sre" in done.out
    assert "It would start a run" in done.out
    as_json = json.loads(incidentfox("route", "explain", "--source", "custom", payload, "--json").out)
    assert as_json["route"]["team_node_id"] == "shop-sre"


def test_explain_refuses_what_cannot_be_read_or_parsed(incidentfox: CommandLine, tmp_path: Path) -> None:
    assert incidentfox("route", "explain", "--source", "custom", tmp_path / "absent.json").code == 2
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    refused = incidentfox("route", "explain", "--source", "pagerduty", broken)
    assert (refused.code, "malformed_body" in refused.err) == (1, True)
