"""The recorded incidents, where they are present: verdicts against the truth, decoys, speed, and renaming.

The truth is opened here and nowhere else. The recordings are not part of the project.
"""

from __future__ import annotations

import csv
import json
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from incidentfox.analysis.anomalies import rank_anomalies
from incidentfox.analysis.changes import rank_changes
from incidentfox.analysis.diagnosis import diagnose, onset_of, symptom_of
from incidentfox.analysis.findings import Diagnosis
from incidentfox.analysis.signals import (
    Alert,
    Changes,
    Commit,
    Deploy,
    FlagChange,
    LogPattern,
    LogRecord,
    Series,
    Span,
    StatusNotice,
)
from incidentfox.analysis.templates import find_log_patterns
from incidentfox.analysis.traces import analyse_traces

FOLDER = Path(__file__).resolve().parents[2] / ".." / "shared" / "recordings"
CASES = sorted(p for p in FOLDER.iterdir() if (p / "alert.json").exists()) if FOLDER.is_dir() else []
pytestmark = pytest.mark.skipif(not CASES, reason="the recorded incidents are not present beside the repository")

_SPAN_FIELDS = {"trace_id", "span_id", "parent_id", "service", "name", "start", "duration_ms", "status", "error"}


def _at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@dataclass(frozen=True)
class Recording:
    """One folder, read with `rename` applied to every text before it is parsed."""

    folder: Path
    rename: Callable[[str], str] = str

    def text(self, name: str) -> str:
        path = self.folder / name
        return self.rename(path.read_text()) if path.exists() else ""

    def items(self, name: str) -> list[dict[str, Any]]:
        return json.loads(self.text(name) or "[]")

    def alert(self) -> Alert:
        a = json.loads(self.text("alert.json"))
        return Alert(a["service"], a["metric"], a["summary"], _at(a["fired_at"]), a["severity"], a["monitor"])

    def series(self) -> list[Series]:
        points: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
        for row in csv.DictReader(self.text("metrics.csv").splitlines()):
            points[row["service"], row["metric"]].append((_at(row["timestamp"]), float(row["value"])))
        return [
            Series(*key, tuple(t for t, _ in sorted(found)), tuple(v for _, v in sorted(found)))
            for key, found in points.items()
        ]

    def logs(self) -> Iterator[LogRecord]:
        for line in self.text("logs.ndjson").splitlines():
            r = json.loads(line)
            known = {"timestamp", "service", "severity_text", "msg", "trace_id"}
            rest = {k: v for k, v in r.items() if k not in known}
            yield LogRecord(_at(r["timestamp"]), r["service"], r["severity_text"], r["msg"], r.get("trace_id"), rest)

    def patterns(self) -> list[LogPattern]:
        return [
            LogPattern(p["signature"], p["service"], p["count"], int(p["delta_vs_baseline"]), p["sentiment"])
            for p in self.items("patterns.json")
        ]

    def spans(self) -> list[Span]:
        return [
            Span(
                s["trace_id"], s["span_id"], s.get("parent_id"), s["service"], s["name"], _at(s["start"]),
                s["duration_ms"], s["status"], s.get("error") or s.get("status_message"),
                attributes={k: v for k, v in s.items() if k not in _SPAN_FIELDS},
            )
            for s in self.items("traces.json")
        ]  # fmt: skip

    def notices(self) -> tuple[StatusNotice, ...]:
        feed = json.loads(self.text("status_feed.json") or "{}")
        return tuple(
            StatusNotice(_at(e["timestamp"]), feed["component"], e["status"], e["detail"])
            for e in feed.get("events", [])
        )

    def changes(self) -> Changes:
        commits = [
            Commit(
                c["sha"], c["author"], _at(c["timestamp"]), c["message"], tuple(c["files_changed"]), c["diff"] or None
            )
            for c in self.items("context/commits.json")
        ]
        deploys = [
            Deploy(_at(d["timestamp"]), d["service"], d["commit_sha"], d["version"])
            for d in self.items("context/deploys.json")
        ]
        flags = [
            FlagChange(_at(f["timestamp"]), f["flag"], f["service"], f["change"], f["actor"])
            for f in self.items("context/flags.json")
        ]
        return Changes(tuple(commits), tuple(deploys), tuple(flags), self.notices())

    def truth(self) -> dict[str, Any]:
        return json.loads(self.text("truth.json"))

    def diagnosis(self) -> Diagnosis:
        alert = self.alert()
        anomalies = rank_anomalies(self.series(), fired_at=alert.fired_at)
        onset = onset_of(alert, anomalies)
        logs = find_log_patterns(list(self.logs()), self.patterns(), onset=onset)
        traces = analyse_traces(self.spans())
        changes = rank_changes(self.changes(), symptom_of(alert, anomalies, logs, traces))
        return diagnose(alert, anomalies=anomalies, logs=logs, traces=traces, changes=changes, notices=self.notices())


def _renaming(recording: Recording, seed: int) -> Callable[[str], str]:
    """Every service and commit id of the recording becomes another one, everywhere."""
    rng = random.Random(seed)
    services = {s.service for s in recording.series()} | {d.service for d in recording.changes().deploys}
    services |= {r.service for r in recording.logs()} | {s.service for s in recording.spans()}
    names = {s: f"unit-{rng.randrange(10**6)}" for s in services}
    names |= {c.sha: f"{rng.getrandbits(160):040x}" for c in recording.changes().commits}
    names |= {d.sha: names.get(d.sha, f"{rng.getrandbits(160):040x}") for d in recording.changes().deploys}
    pattern = re.compile("|".join(re.escape(n) for n in sorted(names, key=lambda n: (-len(n), n))))
    return lambda text: pattern.sub(lambda m: names[m.group(0)], text)


def _score(recording: Recording) -> tuple[bool, bool, bool, float]:
    """Commit-or-none right, first failing service right, remediation right, blast radius (Jaccard)."""
    verdict, truth = recording.diagnosis(), recording.truth()
    radius, expected = set(verdict.blast_radius), set(truth["blast_radius"])
    return (
        verdict.enough_evidence and (verdict.change or "none") == truth["root_cause_commit"],
        verdict.first_failing_service == truth["first_failing_service"],
        verdict.remediation == truth["remediation"],
        len(radius & expected) / len(radius | expected) if radius | expected else 1.0,
    )


def test_most_verdicts_are_right() -> None:
    scores = [_score(Recording(case)) for case in CASES]
    assert sum(right for right, *_ in scores) >= 0.6 * len(CASES)
    assert sum(radius for *_, radius in scores) >= 0.6 * len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda p: p.name)
def test_no_decoy_is_blamed_with_confidence(case: Path) -> None:
    verdict = Recording(case).diagnosis()
    decoys = Recording(case).truth()["decoy_deploy_commits"]
    assert verdict.change not in decoys or verdict.confidence < 0.8


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("case", CASES, ids=lambda p: p.name)
def test_names_of_services_and_commits_do_not_decide(case: Path, seed: int) -> None:
    plain = Recording(case)
    assert _score(Recording(case, _renaming(plain, seed))) == _score(plain)
