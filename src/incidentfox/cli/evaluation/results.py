"""What an evaluation found: one case for each recording, and the summary. Printed, written as JSON, compared."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from incidentfox.cli.evaluation.intervals import Proportion, proportion
from incidentfox.cli.evaluation.reliability import Reliability, reliability
from incidentfox.cli.evaluation.scoring import Score
from incidentfox.contracts.answer import Answer


class Case(BaseModel):
    """One recording: how its investigation ended, and how its answer did.

    `seconds` is from the accepted webhook to the finished run. `peak_memory_mb` is the largest sum over the services'
    processes during the case, less their sum at idle; with several jobs at once it includes the neighbours', and it is
    null where the processes are not on this machine. `score` null: not finished, or `truth.json` was not usable
    (`unscored` says why).
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["case"] = "case"
    name: str
    finished: bool
    error: str | None = None
    run_id: str | None = None
    team: str | None = None
    seconds: float | None = None
    tokens: int | None = None
    peak_memory_mb: float | None = None
    answer: Answer | None = None
    score: Score | None = None
    unscored: str | None = None


class Summary(BaseModel):
    """All cases together. Rates carry Wilson 95 % intervals; a case that did not finish counts as wrong."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["summary"] = "summary"
    cases: int
    finished: int
    scored: int
    commit: Proportion
    first_failing: Proportion
    alert_service_first: Proportion
    remediation: Proportion
    blast_radius: float | None
    abstained: Proportion
    decoy: Proportion
    confident_decoy: Proportion
    reliability: Reliability
    tokens: int
    median_seconds: float | None
    longest_seconds: float | None
    peak_memory_mb: float | None


class Evaluation(BaseModel):
    """What `--save` writes and `compare` reads."""

    model_config = ConfigDict(frozen=True)

    format: Literal["incidentfox-evaluation/1"] = "incidentfox-evaluation/1"
    summary: Summary
    cases: tuple[Case, ...]


def summarise(cases: Sequence[Case]) -> Summary:
    """The summary. Cases without a usable truth are left out of the rates."""
    judged = [case for case in cases if case.unscored is None]
    scores = [case.score for case in judged if case.score is not None]
    radii = [0.0 if case.score is None else case.score.blast_radius for case in judged]
    known = [radius for radius in radii if radius is not None]
    seconds = [case.seconds for case in cases if case.seconds is not None]
    claims = [
        (case.answer.confidence, case.score.commit)
        for case in judged
        if case.answer is not None and case.score is not None and not case.score.abstained
    ]
    return Summary(
        cases=len(cases),
        finished=sum(case.finished for case in cases),
        scored=len(scores),
        commit=proportion(case.score is not None and case.score.commit for case in judged),
        first_failing=proportion(False if case.score is None else case.score.first_failing for case in judged),
        alert_service_first=proportion(one.alert_service_first for one in scores),
        remediation=proportion(False if case.score is None else case.score.remediation for case in judged),
        blast_radius=statistics.fmean(known) if known else None,
        abstained=proportion(one.abstained for one in scores),
        decoy=proportion(one.decoy for one in scores),
        confident_decoy=proportion(one.confident_decoy for one in scores),
        reliability=reliability(claims),
        tokens=sum(case.tokens or 0 for case in cases),
        median_seconds=statistics.median(seconds) if seconds else None,
        longest_seconds=max(seconds, default=None),
        peak_memory_mb=max((case.peak_memory_mb for case in cases if case.peak_memory_mb is not None), default=None),
    )
