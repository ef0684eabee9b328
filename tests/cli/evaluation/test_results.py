"""The summary and the comparison: what counts, what does not, and what changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.cli.evaluation.test_scoring import DECOY, GUILTY, answer, judged

from incidentfox.cli.evaluation.comparison import Verdict, compare
from incidentfox.cli.evaluation.results import Case, Evaluation, summarise
from incidentfox.cli.evaluation.saved import SavedProblem, load, save


def case(name: str, change: str | None = GUILTY, **rest: Any) -> Case:
    given = answer(change, remediation="rollback")
    return Case(name=name, finished=True, seconds=0.5, tokens=3, answer=given, score=judged(given), **rest)


LOST = Case(name="lost", finished=False, error="the agent was away")


def evaluation(*cases: Case) -> Evaluation:
    return Evaluation(summary=summarise(cases), cases=cases)


def test_an_investigation_that_did_not_finish_counts_as_wrong() -> None:
    summary = summarise([case("a"), LOST])
    assert (summary.cases, summary.finished, summary.scored) == (2, 1, 1)
    assert (summary.commit.right, summary.commit.of) == (1, 2)
    assert (summary.remediation.right, summary.remediation.of) == (1, 2)
    assert summary.blast_radius == 0.5


def test_a_case_without_a_truth_is_left_out_of_the_rates() -> None:
    unscored = case("b").model_copy(update={"score": None, "unscored": "no truth"})
    summary = summarise([case("a"), unscored])
    assert (summary.commit.right, summary.commit.of) == (1, 1)
    assert summary.tokens == 6


def test_not_enough_evidence_is_not_in_the_calibration() -> None:
    silent = answer(root_cause=None, confidence=0.05)
    quiet = Case(name="quiet", finished=True, answer=silent, score=judged(silent))
    assert sum(one.right.of for one in summarise([case("a"), quiet]).reliability.bins) == 1


def test_compare_says_what_became_of_each_case() -> None:
    a = evaluation(case("same"), case("fixed", DECOY), case("broken"), case("gone"), case("lost"))
    b = evaluation(case("same"), case("fixed"), case("broken", None), case("new"), LOST)
    found = compare(a, b)
    assert {one.name: one.verdict for one in found.changes} == {
        "same": Verdict.SAME,
        "fixed": Verdict.FIXED,
        "broken": Verdict.BROKEN,
        "gone": Verdict.ONLY_A,
        "new": Verdict.ONLY_B,
        "lost": Verdict.BROKEN,
    }
    assert (found.fixed, found.broken) == (1, 2)
    fixed = next(one for one in found.changes if one.name == "fixed")
    assert (fixed.named_a, fixed.named_b, fixed.other) == (DECOY, GUILTY, ("decoy blamed yes → no",))


def test_two_wrong_answers_that_differ_are_a_change_and_neither_fixed_nor_broken() -> None:
    found = compare(evaluation(case("a", DECOY)), evaluation(case("a", "b" * 40)))
    assert found.changes[0].verdict is Verdict.CHANGED
    assert found.p == 1.0


def test_what_was_saved_is_what_is_loaded(tmp_path: Path) -> None:
    kept = evaluation(case("a"), LOST)
    save(tmp_path / "deep" / "folder", kept)
    assert load(tmp_path / "deep" / "folder") == kept


def test_a_folder_without_an_evaluation_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(SavedProblem, match="--save"):
        load(tmp_path)
    (tmp_path / "evaluation.json").write_text("{}")
    with pytest.raises(SavedProblem, match="is not an evaluation"):
        load(tmp_path)
