"""Folders as people really have them: what is uploaded, what is refused, and whether the words help."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.agent.scenes import small_incident

from incidentfox.cli import recorded
from incidentfox.cli.recorded import RecordingProblem, read_recorded

ALERT = {"service": "checkout", "fired_at": "2026-03-01T10:45:00Z"}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def alert(folder: Path, **changes: Any) -> Path:
    return write(folder, {"alert.json": json.dumps({**ALERT, **changes})})


def test_everything_is_uploaded_but_the_truth_and_strangers(tmp_path: Path) -> None:
    secret = {"truth.json": '{"root_cause_commit": "PLANTED"}', "notes.txt": "PLANTED", "context/.env": "PLANTED"}
    incident = read_recorded(write(tmp_path, small_incident() | secret))
    assert set(incident.upload.files) == set(small_incident())
    assert "PLANTED" not in incident.upload.model_dump_json()
    assert incident.warnings == ()


def test_a_folder_that_is_none_or_has_no_alert_says_which_to_name(tmp_path: Path) -> None:
    with pytest.raises(RecordingProblem, match="is not a folder"):
        read_recorded(tmp_path / "nowhere")
    with pytest.raises(RecordingProblem, match=r"holds no alert\.json"):
        read_recorded(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"service": ""}', '{"service": "x"}', '{"service": 1, "fired_at": 1}']
)
def test_an_alert_that_is_none_is_refused_with_an_example(tmp_path: Path, text: str) -> None:
    with pytest.raises(RecordingProblem, match="It needs at least a service and fired_at, for example"):
        read_recorded(write(tmp_path, {"alert.json": text}))


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    (alert(tmp_path) / "logs.ndjson").write_bytes(b"\xff\xfe")
    with pytest.raises(RecordingProblem, match=r"logs\.ndjson is not UTF-8"):
        read_recorded(tmp_path)


def test_what_is_too_large_is_not_even_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "MAX_RECORDING_BYTES", 1000)
    write(alert(tmp_path), {"logs.ndjson": "x" * 1001})
    with pytest.raises(RecordingProblem, match="Shorten") as refused:
        read_recorded(tmp_path)
    assert refused.value.code == "recording_too_large"


@pytest.mark.parametrize(
    ("word", "severity"),
    [
        ("SEV-1", "critical"),
        ("High", "error"),
        ("warn", "warning"),
        ("P4", "info"),
        ("on fire", "critical"),
        (None, "info"),
    ],
)
def test_severities_of_all_monitors_become_the_four_of_the_webhook(
    tmp_path: Path, word: str | None, severity: str
) -> None:
    assert read_recorded(alert(tmp_path, severity=word)).alert.severity == severity


def test_what_a_monitor_leaves_out_is_done_without(tmp_path: Path) -> None:
    odd = {"metric": None, "summary": None, "threshold": "none", "observed": "NaN", "fired_at": 1772361900, "extra": {}}
    found = read_recorded(alert(tmp_path, **odd)).alert
    assert (found.metric, found.summary, found.threshold, found.observed) == ("", "", None, None)
    assert found.fired_at.isoformat() == "2026-03-01T10:45:00+00:00"
    assert read_recorded(alert(tmp_path, fired_at="2026-03-01 10:45:00")).alert.fired_at == found.fired_at


def test_signals_that_nobody_will_be_able_to_read_are_said(tmp_path: Path) -> None:
    broken = {"metrics.csv": "time,value\n1,2\n", "logs.ndjson": '{"msg": "a"}\n{\n', "traces.json": "{"}
    warnings = read_recorded(write(alert(tmp_path), broken)).warnings
    assert [warning.split()[0] for warning in warnings] == ["logs.ndjson", "metrics.csv", "traces.json"]
    assert "line 2" in warnings[0]


def test_an_alert_alone_is_said_to_be_no_evidence(tmp_path: Path) -> None:
    assert "no answer can have evidence" in read_recorded(alert(tmp_path)).warnings[0]
