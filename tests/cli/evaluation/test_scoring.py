"""The rules by which an answer is judged, each with a case that a sceptic would try."""

from __future__ import annotations

from typing import Any

import pytest

from incidentfox.cli.evaluation.scoring import Score, jaccard, same_change, score
from incidentfox.cli.evaluation.truth import Truth
from incidentfox.contracts.answer import Answer, RootCause, Usage

GUILTY, DECOY = "a" * 40, "d" * 40


def answer(change: str | None = GUILTY, **rest: Any) -> Answer:
    cause = RootCause(service="orders", change=change, kind="query", summary="a query lost its bound")
    given = {"root_cause": cause, "confidence": 0.9, "first_failing_service": "orders", "blast_radius": ("frontend",)}
    return Answer(run_id="run_1", config_hash="sha256:0", usage=Usage(), duration_s=0.1, **{**given, **rest})


def judged(of: Answer, **truth: Any) -> Score:
    known = {"first_failing_service": "orders", "blast_radius": ("frontend",), "remediation": "rollback"}
    return score(
        of, "orders", Truth(**{"root_cause_commit": GUILTY, "decoy_deploy_commits": (DECOY,), **known, **truth})
    )


def test_the_guilty_commit_is_right() -> None:
    found = judged(answer(remediation="rollback"))
    assert found == Score(
        commit=True, abstained=False, first_failing=True, alert_service_first=True, blast_radius=1.0, remediation=True,
        decoy=False, confident_decoy=False,
    )  # fmt: skip


def test_no_change_is_right_only_where_no_change_did_it() -> None:
    assert judged(answer(None), root_cause_commit="none").commit
    assert not judged(answer(None)).commit
    assert not judged(answer(GUILTY), root_cause_commit="none").commit


def test_not_enough_evidence_is_neither_right_nor_none_nor_a_decoy() -> None:
    found = judged(answer(root_cause=None, confidence=0.05), root_cause_commit="none")
    assert (found.commit, found.abstained, found.decoy) == (False, True, False)


@pytest.mark.parametrize(("confidence", "confident"), [(0.79, False), (0.8, True), (1.0, True)])
def test_a_decoy_counts_twice_when_it_is_blamed_with_confidence(confidence: float, confident: bool) -> None:
    found = judged(answer(DECOY, confidence=confidence))
    assert (found.commit, found.decoy, found.confident_decoy) == (False, True, confident)


def test_what_the_truth_does_not_say_is_not_judged() -> None:
    found = judged(answer(), first_failing_service=None, blast_radius=None, remediation=None)
    assert (found.first_failing, found.alert_service_first, found.blast_radius, found.remediation) == (None,) * 4


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("none", "none", True),
        ("ABCDEF1234", "abcdef1234567890", True),
        ("abcdef", "abcdef1234567890", False),
        ("new_checkout", "new_checkout_flow", False),
        ("none", GUILTY, False),
    ],
)
def test_changes_are_the_same_when_one_abbreviates_the_other(one: str, other: str, same: bool) -> None:
    assert same_change(one, other) is same
    assert same_change(other, one) is same


def test_jaccard() -> None:
    assert jaccard({"a", "b"}, {"b", "c"}) == pytest.approx(1 / 3)
    assert jaccard((), ()) == 1.0
    assert jaccard({"a"}, ()) == 0.0
