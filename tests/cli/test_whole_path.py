"""`investigate` and `evaluate` against a running installation: the whole path, nothing stood in for."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from tests.agent.scenes import small_incident
from tests.cli.installation import CommandLine, environment

GUILTY, DECOY = "a" * 40, "b" * 40
TRUTH = {
    "root_cause_commit": GUILTY,
    "first_failing_service": "orders",
    "blast_radius": ["frontend"],
    "remediation": "rollback",
    "decoy_deploy_commits": [DECOY],
}
WHAT_VARIES = ("run_id", "duration_s")


def write(folder: Path, files: dict[str, str], truth: dict[str, Any] | None = None) -> Path:
    if truth is not None:
        files = {**files, "truth.json": json.dumps(truth)}
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def incident_of(service: str) -> dict[str, str]:
    """The small incident, at a service of this name instead of `orders`."""
    return {name: text.replace("orders", service) for name, text in small_incident().items()}


def said(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in WHAT_VARIES}


def run_of(incidentfox: CommandLine, run_id: str) -> dict[str, Any]:
    run: dict[str, Any] = json.loads(incidentfox("run", "show", run_id, "--json").out)
    return run


def test_investigate_follows_the_run_and_prints_the_answer(incidentfox: CommandLine, tmp_path: Path) -> None:
    done = incidentfox.process("investigate", write(tmp_path / "bounds", incident_of("ledger")))
    assert done.code == 0, done.err
    steps = ("delivery.accepted", "delivery.routed", "tool.called", "rank_changes", "answer.ready", "run.finished")
    places = [done.out.index(step) for step in steps]
    assert places == sorted(places)
    assert f"Change      {GUILTY}" in done.out
    assert "to evaluation: custom team evaluation belongs to evaluation" in done.out


def test_a_service_with_an_owner_goes_to_its_owner(incidentfox: CommandLine, tmp_path: Path) -> None:
    folder = write(tmp_path / "bounds", small_incident())
    done = incidentfox("investigate", "--json", folder)
    run = json.loads(done.out)
    assert (done.code, run["team_node_id"], run["source"]) == (0, "shop-sre", "custom")
    assert run["input"]["recording_id"].startswith("sha256:")
    refused = incidentfox("investigate", "--team", "evaluation", folder)
    assert (refused.code, "another_team" in refused.err) == (1, True)


def test_a_team_that_takes_no_events_is_refused_before_anything_is_sent(
    incidentfox: CommandLine, tmp_path: Path
) -> None:
    before = incidentfox("delivery", "list", "--json").out
    done = incidentfox("investigate", "--team", "platform-sre", write(tmp_path / "one", incident_of("ledger")))
    assert done.code == 1
    assert "incidentfox config patch platform-sre -" in done.err
    assert incidentfox("delivery", "list", "--json").out == before


def test_no_answer_depends_on_the_truth(incidentfox: CommandLine, tmp_path: Path) -> None:
    """The same incident with the right truth, a planted one, a damaged one and none."""
    files = incident_of("ledger")
    truth = {**TRUTH, "first_failing_service": "ledger"}
    wrong = {**truth, "root_cause_commit": DECOY, "decoy_deploy_commits": [GUILTY], "remediation": "scale"}
    folders = [
        write(tmp_path / "right", files, truth),
        write(tmp_path / "planted", files, wrong),
        write(tmp_path / "damaged", {**files, "truth.json": "{"}),
        write(tmp_path / "absent", files),
    ]
    done = incidentfox("evaluate", "--json", "--save", tmp_path / "saved", *folders)
    assert done.code == 0, done.err
    *cases, summary = done.lines()
    assert all(said(case["answer"]) == said(cases[0]["answer"]) for case in cases)
    inputs = [run_of(incidentfox, case["run_id"])["input"] for case in cases]
    assert {one["recording_id"] for one in inputs} == {inputs[0]["recording_id"]}  # by content: the same was uploaded
    right, planted, damaged, absent = (case["score"] for case in cases)
    assert (right["commit"], right["decoy"], right["first_failing"]) == (True, False, True)
    assert (planted["commit"], planted["decoy"], planted["remediation"]) == (False, True, False)
    assert (damaged, absent) == (None, None)
    assert "truth.json is not in the form" in cases[2]["unscored"]
    assert (summary["scored"], summary["commit"]["right"], summary["commit"]["of"]) == (2, 1, 2)
    compared = incidentfox("evaluate", "compare", tmp_path / "saved", tmp_path / "saved", "--json")
    assert {change["verdict"] for change in json.loads(compared.out)["changes"]} == {"same", "not scored"}


def test_one_broken_folder_does_not_stop_the_others(incidentfox: CommandLine, tmp_path: Path) -> None:
    broken = write(tmp_path / "broken", {"alert.json": "{"}, TRUTH)
    good = write(tmp_path / "good", incident_of("ledger"), TRUTH)
    (tmp_path / "notes").mkdir()
    done = incidentfox("evaluate", "--json", "--jobs", "2", broken, good, tmp_path / "notes")
    assert done.code == 1
    assert f"skipped {tmp_path / 'notes'}: it holds no alert.json" in done.err
    first, second, summary = done.lines()
    assert (first["name"], first["finished"], first["score"]) == ("broken", False, None)
    assert "is not an alert" in first["error"]
    assert (second["finished"], second["score"]["commit"]) == (True, True)
    assert (summary["finished"], summary["commit"]["right"], summary["commit"]["of"]) == (1, 1, 2)


def test_an_endpoint_of_ones_own_needs_its_secret(incidentfox: CommandLine, tmp_path: Path) -> None:
    folder = write(tmp_path / "one", incident_of("ledger"))
    created = json.loads(incidentfox("endpoint", "create", "--source", "custom", "mine", "--json").out)
    endpoint, secret = created["endpoint"]["endpoint_id"], created["secret"]
    without = incidentfox("investigate", "--endpoint", endpoint, folder)
    assert (without.code, "INCIDENTFOX_WEBHOOK_SECRET" in without.err) == (1, True)
    assert incidentfox("investigate", "--endpoint", endpoint, folder, INCIDENTFOX_WEBHOOK_SECRET=secret).code == 0
    other = "whsec_" + "A" * 43 + "="
    refused = incidentfox("investigate", "--endpoint", endpoint, folder, INCIDENTFOX_WEBHOOK_SECRET=other)
    assert (refused.code, "refused the event" in refused.err) == (1, True)


def test_the_kept_endpoint_is_private_and_replaced_when_it_was_shut(incidentfox: CommandLine, tmp_path: Path) -> None:
    folder = write(tmp_path / "one", incident_of("ledger"))
    assert incidentfox("investigate", folder).code == 0
    kept = incidentfox.home / "recordings-endpoint.json"
    assert kept.stat().st_mode & 0o077 == 0
    (first,) = json.loads(kept.read_text()).values()
    assert incidentfox("investigate", folder).code == 0
    assert list(json.loads(kept.read_text()).values()) == [first]
    incidentfox("endpoint", "disable", first["endpoint"]["endpoint_id"])
    assert incidentfox("investigate", folder).code == 0
    assert list(json.loads(kept.read_text()).values()) != [first]


def test_the_doctor_finds_a_running_installation_whole_and_a_missing_secret(incidentfox: CommandLine) -> None:
    whole = incidentfox("doctor", "--json")
    assert whole.code == 0, whole.out
    states = {(finding["part"], finding["check"]): finding["state"] for finding in whole.lines()}
    assert set(states.values()) == {"ok"}
    assert {part for part, _ in states} == {"machine", "home", "database", "services", "teams"}
    slack = {"integrations": {"slack": {"enabled": True, "bot_token": {"$secret": "absent"}}}}
    incidentfox("config", "patch", "platform-sre", "-", stdin=json.dumps(slack))
    try:
        done = incidentfox("doctor")
        assert done.code == 1
        assert "the secret absent is set nowhere on its path" in done.out
        assert "incidentfox secret set platform-sre absent" in done.out
    finally:
        incidentfox("config", "patch", "platform-sre", "-", stdin='{"integrations": null}')
    assert incidentfox("status").code == 0


def test_the_doctor_leaves_an_archived_team_alone(incidentfox: CommandLine) -> None:
    slack = json.dumps({"integrations": {"slack": {"enabled": True, "bot_token": {"$secret": "absent"}}}})
    made = incidentfox("node", "create", "retired", "--parent", "acme", "--configuration", "-", stdin=slack)
    assert made.code == 0, made.err
    assert "incidentfox secret set retired absent" in incidentfox("doctor").out
    assert incidentfox("node", "archive", "retired").code == 0
    assert "retired" not in incidentfox("doctor").out


def test_the_recorded_incidents_are_answered(incidentfox: CommandLine, recordings: Path) -> None:
    """The promise of docs/evaluation.md, but for the seconds."""
    done = incidentfox("evaluate", "--json", *sorted(recordings.iterdir()))
    assert done.code == 0, done.err
    *cases, summary = done.lines()
    assert all(case["finished"] for case in cases)
    assert all(case["peak_memory_mb"] < 300 for case in cases)
    assert summary["commit"]["right"] >= 0.6 * len(cases)
    assert summary["confident_decoy"]["right"] == 0


def test_without_an_installation_one_is_started_and_nothing_of_it_is_left(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="incidentfox-cli-") as temporary:
        Path(temporary).chmod(0o755)
        alone = CommandLine(tmp_path / "none", {"TMPDIR": temporary})
        done = alone.process("investigate", "--json", write(tmp_path / "one", incident_of("ledger")))
        assert done.code == 0, done.err
        assert json.loads(done.out)["answer"]["root_cause"]["change"] == GUILTY
        assert "starting one for this command" in done.err
        assert list(Path(temporary).iterdir()) == []
    assert not (tmp_path / "none").exists()


def test_an_interrupted_start_is_stopped_in_order(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="incidentfox-cli-") as temporary:
        Path(temporary).chmod(0o755)
        folder = write(tmp_path / "one", incident_of("ledger"))
        process = subprocess.Popen(
            [sys.executable, "-m", "incidentfox", "investigate", folder],
            env=environment(tmp_path / "none") | {"TMPDIR": temporary},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        for line in process.stderr:
            if "starting Postgres" in line:
                break
        process.send_signal(signal.SIGTERM)
        assert "stopping" in process.communicate()[1]
        assert process.returncode == 130
        assert list(Path(temporary).iterdir()) == []


@pytest.mark.parametrize("command", ["investigate", "evaluate"])
def test_a_folder_without_an_alert_starts_nothing(command: str, tmp_path: Path) -> None:
    done = CommandLine(tmp_path / "none")(command, tmp_path)
    assert done.code == 1
    assert "alert.json" in done.err
    assert "starting" not in done.err
