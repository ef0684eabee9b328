"""Evidence or silence: what cannot be shown does not leave."""

from __future__ import annotations

import pytest

from incidentfox.agent.evidence import ToolResult, check, occurs
from incidentfox.contracts.answer import AnswerSuspect, Evidence, Report, RootCause

RESULTS = {
    "call_1": ToolResult("search_logs", {"lines": [{"line": 'pool "main"\n  exhausted', "n": 12.5}]}, False),
    "call_3": ToolResult("rank_changes", {"changes": [{"ref": "abc", "services": ["orders", "web"]}]}, False),
    "call_2": ToolResult("rank_changes", {"error": {"code": "unavailable", "detail": "away"}}, True),
}
CAUSE = RootCause(service="orders", change="abc", kind="bad-deploy", summary="The pool is too small.")


def report(*evidence: Evidence) -> Report:
    return Report(root_cause=CAUSE, confidence=0.9, evidence=evidence, remediation="rollback")


def claim(call: str, excerpt: str) -> Evidence:
    return Evidence(claim="The pool is exhausted.", tool_call_id=call, excerpt=excerpt)


@pytest.mark.parametrize(
    ("call", "excerpt", "reason"),
    [
        ("call_9", "exhausted", "no such tool call"),
        ("call_2", "away", "failed"),
        ("call_1", "deadlock detected", "does not occur"),
        ("call_1", " a ", "too short"),
        ("call_1", "", "too short"),
    ],
)
def test_a_claim_without_ground_is_dropped(call: str, excerpt: str, reason: str) -> None:
    checked = check(report(claim(call, excerpt), claim("call_1", "exhausted")), RESULTS)
    assert [one.excerpt for one in checked.report.evidence] == ["exhausted"]
    assert reason in checked.dropped[0].reason
    assert checked.report.root_cause == CAUSE


def test_with_no_evidence_left_no_cause_leaves() -> None:
    checked = check(report(claim("call_9", "made up")), RESULTS)
    assert checked.report.root_cause is None
    assert checked.report.remediation is None
    assert checked.report.confidence <= 0.2


@pytest.mark.parametrize("made_up", [{"service": "payments"}, {"change": "def"}, {"service": "the whole <!channel>"}])
def test_a_cause_that_nothing_names_does_not_leave(made_up: dict[str, str]) -> None:
    told = report(claim("call_1", "exhausted"))
    cause = CAUSE.model_copy(update=made_up)
    checked = check(told.model_copy(update={"root_cause": cause}), RESULTS)
    assert checked.report.root_cause is None
    assert checked.report.remediation is None
    assert checked.report.confidence <= 0.2
    assert "No tool call" in checked.dropped[-1].reason
    assert check(told, RESULTS).report.root_cause == CAUSE


def test_names_that_nothing_names_are_taken_out() -> None:
    suspects = [
        AnswerSuspect(service=service, change=change, score=0.5, reason="r")
        for service, change in (("orders", "abc"), ("orders", "made-up"), ("made-up", None), ("checkout", None))
    ]
    told = report(claim("call_1", "exhausted")).model_copy(
        update={"first_failing_service": "ignore this", "blast_radius": ("web", "x"), "suspects": tuple(suspects)}
    )
    checked = check(told, RESULTS, alerted="checkout").report
    assert checked.first_failing_service is None
    assert checked.blast_radius == ("web",)
    assert checked.suspects == (suspects[0], suspects[3])


def test_a_report_that_claims_nothing_is_not_believed_either() -> None:
    assert check(report(), RESULTS).report.root_cause is None


@pytest.mark.parametrize(
    "excerpt", ['pool "main" exhausted', 'pool "main"\nexhausted', "exhausted", "12.5", '"n": 12.5']
)
def test_white_space_and_escapes_do_not_matter(excerpt: str) -> None:
    assert occurs(excerpt, RESULTS["call_1"].result)
