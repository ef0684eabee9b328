"""Names decide nothing: with every service and every commit renamed at random, the recorded incidents score the same.

Through the whole agent in one process; the truth is renamed with the rest, and read after every answer is in.
"""

from __future__ import annotations

import csv
import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.agent.scenes import alert_of, asked, planner, recorded, recording_files

from incidentfox.agent import Runner
from incidentfox.cli.evaluation.scoring import Score, score
from incidentfox.cli.evaluation.truth import Truth
from incidentfox.contracts.answer import Answer

pytestmark = pytest.mark.anyio

Rename = Callable[[str], str]


def renaming(files: dict[str, str], seed: int) -> Rename:
    """A new name for each service and commit of a recording, wherever it occurs."""
    rng = random.Random(seed)
    services = {row["service"] for row in csv.DictReader(files.get("metrics.csv", "").splitlines())}
    services |= {json.loads(line)["service"] for line in files.get("logs.ndjson", "").splitlines()}
    for name in ("traces.json", "patterns.json", "context/deploys.json"):
        services |= {item["service"] for item in json.loads(files.get(name, "[]"))}
    shas = {commit["sha"] for commit in json.loads(files.get("context/commits.json", "[]"))}
    shas |= {deploy["commit_sha"] for deploy in json.loads(files.get("context/deploys.json", "[]"))}
    names = {service: f"unit-{rng.randrange(10**6)}" for service in sorted(services)}
    names |= {sha: f"{rng.getrandbits(160):040x}" for sha in sorted(shas)}
    pattern = re.compile("|".join(re.escape(name) for name in sorted(names, key=lambda name: (-len(name), name))))
    return lambda text: pattern.sub(lambda found: names[found.group(0)], text)


async def answered(files: dict[str, str]) -> Answer:
    return (await Runner.run(planner(recorded(files)), asked(alert_of(files)))).answer


def scored(answer: Answer, files: dict[str, str], truth: str) -> Score:
    return score(answer, alert_of(files).service or "", Truth.model_validate_json(truth))


async def test_names_of_services_and_commits_decide_nothing(recordings: Path) -> None:
    folders = [folder for folder in sorted(recordings.iterdir()) if (folder / "alert.json").exists()]
    plain = {folder: recording_files(folder) for folder in folders}
    rename = {folder: renaming(plain[folder], seed) for seed, folder in enumerate(folders)}
    renamed = {folder: {name: rename[folder](text) for name, text in files.items()} for folder, files in plain.items()}
    answers = {folder: (await answered(plain[folder]), await answered(renamed[folder])) for folder in folders}
    truths = {folder: (folder / "truth.json").read_text() for folder in folders}
    before = [scored(answers[folder][0], plain[folder], truths[folder]) for folder in folders]
    after = [scored(answers[folder][1], renamed[folder], rename[folder](truths[folder])) for folder in folders]
    assert after == before
    assert sum(one.commit for one in after) >= 0.6 * len(folders)
    assert not any(one.confident_decoy for one in after)
