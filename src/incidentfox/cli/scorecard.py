"""Evaluations in the terminal: a row for each case, the summary with its intervals, the calibration, the changes."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from incidentfox.cli.evaluation.comparison import CaseChange, Comparison, Verdict, named_change
from incidentfox.cli.evaluation.intervals import Proportion
from incidentfox.cli.evaluation.reliability import Reliability
from incidentfox.cli.evaluation.results import Case, Evaluation, Summary
from incidentfox.cli.evaluation.scoring import CONFIDENT
from incidentfox.cli.output import console

_SHA = 10
_STYLES = {Verdict.FIXED: "green", Verdict.BROKEN: "red"}


def print_evaluation(evaluation: Evaluation) -> None:
    """The whole scorecard."""
    _print_cases(evaluation.cases)
    _print_summary(evaluation.summary)
    _print_reliability(evaluation.summary.reliability)


def print_comparison(comparison: Comparison) -> None:
    """Every case that changed, then the count."""
    changed = [one for one in comparison.changes if one.verdict is not Verdict.SAME or one.other]
    if changed:
        table = _table("CASE", "ROOT CAUSE", "A", "B", "CONFIDENCE", "ALSO")
        for one in changed:
            table.add_row(one.name, Text(one.verdict, style=_STYLES.get(one.verdict, "")), *_before_and_after(one))
        console.print(table)
        console.print()
    same = len(comparison.changes) - len(changed)
    console.print(
        f"{comparison.fixed} fixed, {comparison.broken} broken, {same} of {len(comparison.changes)} without any change "
        f"(McNemar's exact test: p = {comparison.p:.2f})"
    )


def outcome(case: Case) -> str:
    """One line for a case that has just ended; it cannot say whether the answer is right."""
    if case.answer is None:
        return f"{case.name}: no answer: {case.error or 'the run ended without one'}"
    return f"{case.name}: {_cause(case)} ({case.answer.confidence:.0%}) in {case.seconds:.2f} s"


def _print_cases(cases: Sequence[Case]) -> None:
    table = _table(
        "CASE", "ROOT CAUSE", "RIGHT", "FIRST FAILING", "ALERT'S OWN", "RADIUS", "REMEDY", "DECOY", "CONF", "TOKENS",
        "SECONDS", "MB",
    )  # fmt: skip
    for case in cases:
        score = case.score
        table.add_row(
            case.name,
            _cause(case),
            *(
                ("-",) * 6
                if score is None
                else (
                    _yes(score.commit),
                    _yes(score.first_failing),
                    _yes(score.alert_service_first),
                    _number(score.blast_radius),
                    _yes(score.remediation),
                    _yes(score.decoy),
                )
            ),
            _number(case.answer.confidence if case.answer else None),
            "-" if case.tokens is None else str(case.tokens),
            _number(case.seconds),
            "-" if case.peak_memory_mb is None else f"{case.peak_memory_mb:.0f}",
        )
    console.print(table)
    for case in cases:
        for trouble in (case.error if case.answer is None else None, case.unscored):
            if trouble:
                console.print(Text(f"{case.name}: {trouble}", style="yellow"))


def _print_summary(summary: Summary) -> None:
    console.print()
    table = _table("", "COUNT", "RATE", "95 % INTERVAL")
    for title, share in (
        ("root cause: the commit, or none", summary.commit),
        ("first failing service", summary.first_failing),
        ("  baseline: the alert's own service", summary.alert_service_first),
        ("remediation", summary.remediation),
        ("not enough evidence", summary.abstained),
        ("decoy blamed", summary.decoy),
        (f"decoy blamed at confidence ≥ {CONFIDENT}", summary.confident_decoy),
    ):
        table.add_row(title, *_share(share))
    console.print(table)
    parts = [
        f"{summary.finished} of {summary.cases} finished, {summary.scored} scored",
        f"blast radius (mean Jaccard) {_number(summary.blast_radius)}",
        f"tokens {summary.tokens}",
        f"seconds: median {_number(summary.median_seconds)}, longest {_number(summary.longest_seconds)}",
    ]
    if summary.peak_memory_mb is not None:
        parts.append(f"peak memory beyond idle {summary.peak_memory_mb:.0f} MB")
    console.print("\n" + "; ".join(parts))


def _print_reliability(table_of: Reliability) -> None:
    if table_of.brier is None:
        return
    console.print()
    table = _table("CONFIDENCE", "ANSWERS", "MEAN", "RIGHT", "95 % INTERVAL")
    for one in table_of.bins:
        mean = _number(one.mean_confidence)
        count, rate, interval = _share(one.right)
        table.add_row(f"{one.low:.1f}-{one.high:.1f}", count.partition("/")[2], mean, rate, interval)
    console.print(table)
    console.print(
        f"\nexpected calibration error {_number(table_of.calibration_error)}, Brier score {_number(table_of.brier)}"
    )


def _before_and_after(one: CaseChange) -> tuple[str, str, str, str]:
    confidence = f"{_number(one.confidence_a)} → {_number(one.confidence_b)}"
    a = _answered(one.named_a, one.confidence_a, is_there=one.verdict is not Verdict.ONLY_B)
    b = _answered(one.named_b, one.confidence_b, is_there=one.verdict is not Verdict.ONLY_A)
    return a, b, confidence, "; ".join(one.other) or "-"


def _answered(named: str | None, confidence: float | None, *, is_there: bool) -> str:
    if not is_there:
        return "-"
    return "no answer" if confidence is None else _short(named)


def _cause(case: Case) -> str:
    if case.answer is None:
        return "no answer"
    return _short(named_change(case))


def _short(change: str | None) -> str:
    return "not enough evidence" if change is None else change[:_SHA] if len(change) == 40 else change


def _share(share: Proportion) -> tuple[str, str, str]:
    return f"{share.right}/{share.of}", _number(share.rate), f"{share.low:.2f}-{share.high:.2f}"


def _yes(value: bool | None) -> str:
    return "-" if value is None else "yes" if value else "no"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _table(*titles: str) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for number, title in enumerate(titles):
        table.add_column(title, no_wrap=number == 0, overflow="fold")
    return table
