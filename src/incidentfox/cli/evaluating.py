"""Investigates many recorded incidents and scores the answers once all of them are in. No printing.

Used by `incidentfox evaluate`. The truth is read by `evaluation/truth.py`, and `score_all` asks for it when no
investigation is running any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from incidentfox.cli.evaluation.results import Case
from incidentfox.cli.evaluation.scoring import score
from incidentfox.cli.evaluation.truth import TruthProblem, read_truth
from incidentfox.cli.investigation import Investigated, Investigator
from incidentfox.cli.memory import MemoryMeter
from incidentfox.cli.recorded import RecordedIncident, RecordingProblem, has_alert, read_recorded
from incidentfox.kernel.errors import Failure, Permanent


@dataclass(frozen=True)
class Candidate:
    """One folder that will be a case: the incident in it, or why it cannot be read."""

    name: str
    folder: Path
    incident: RecordedIncident | None = None
    problem: str | None = None


def candidates(paths: Sequence[Path]) -> tuple[list[Candidate], list[Path]]:
    """The recorded incidents among these paths, and the paths that are none. Raises Permanent when there is none."""
    folders = list(dict.fromkeys(path.resolve() for path in paths if has_alert(path)))
    skipped = [path for path in paths if not has_alert(path)]
    if not folders:
        raise Permanent(
            "None of these paths is a recorded incident: a folder with an alert.json. Name the folders themselves, "
            "for example path/to/recordings/*.",
            code="nothing_to_evaluate",
        )
    names = [folder.name for folder in folders]
    return [
        _read(folder, folder.name if names.count(folder.name) == 1 else f"{folder.parent.name}/{folder.name}")
        for folder in folders
    ], skipped


async def investigate_all(
    investigator: Investigator,
    found: Sequence[Candidate],
    meter: MemoryMeter,
    *,
    jobs: int,
    on_case: Callable[[Case], None],
) -> list[Case]:
    """The cases in the order of the candidates, unscored, at most `jobs` at a time."""
    at_once = asyncio.Semaphore(jobs)

    async def one(candidate: Candidate) -> Case:
        async with at_once:
            case = await _investigated(investigator, candidate, meter)
        on_case(case)
        return case

    async with meter.running(), asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(candidate)) for candidate in found]
    return [task.result() for task in tasks]


def score_all(cases: Sequence[Case], found: Sequence[Candidate]) -> tuple[Case, ...]:
    """The same cases with their scores, or with the reason why there is none."""
    return tuple(_scored(case, candidate) for case, candidate in zip(cases, found, strict=True))


def _read(folder: Path, name: str) -> Candidate:
    try:
        return Candidate(name, folder, read_recorded(folder, name))
    except RecordingProblem as problem:
        return Candidate(name, folder, problem=problem.detail)


async def _investigated(investigator: Investigator, candidate: Candidate, meter: MemoryMeter) -> Case:
    if candidate.incident is None:
        return Case(name=candidate.name, finished=False, error=candidate.problem)
    with meter.watch() as memory:
        try:
            found = await investigator.investigate(candidate.incident)
        except Failure as failure:
            return Case(name=candidate.name, finished=False, error=failure.detail)
    return _case(candidate.name, found, memory.peak_mb)


def _case(name: str, found: Investigated, peak_mb: float | None) -> Case:
    run = found.run
    return Case(
        name=name,
        finished=run.answer is not None,
        error=run.error,
        run_id=run.run_id,
        team=run.team_node_id,
        seconds=round(found.seconds, 3),
        tokens=run.usage.input_tokens + run.usage.output_tokens,
        peak_memory_mb=None if peak_mb is None else round(peak_mb, 1),
        answer=run.answer,
    )


def _scored(case: Case, candidate: Candidate) -> Case:
    try:
        truth = read_truth(candidate.folder)
    except TruthProblem as problem:
        return case.model_copy(update={"unscored": problem.detail})
    if case.answer is None or candidate.incident is None:
        return case
    return case.model_copy(update={"score": score(case.answer, candidate.incident.alert.service, truth)})
