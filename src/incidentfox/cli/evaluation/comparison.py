"""Two evaluations of the same recordings, case by case: what was mended, what was broken, what only changed."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from incidentfox.cli.evaluation.intervals import exact_paired_p
from incidentfox.cli.evaluation.results import Case, Evaluation
from incidentfox.cli.evaluation.truth import NO_CHANGE


class Verdict(StrEnum):
    """What became of a case from A to B, by its root cause."""

    FIXED = "fixed"
    BROKEN = "broken"
    CHANGED = "changed"
    SAME = "same"
    ONLY_A = "only in A"
    ONLY_B = "only in B"
    UNSCORED = "not scored"


class CaseChange(BaseModel):
    """One case in A and in B. The named change is a commit, `none`, or null for "not enough evidence" or no answer."""

    model_config = ConfigDict(frozen=True)

    name: str
    verdict: Verdict
    named_a: str | None
    named_b: str | None
    confidence_a: float | None
    confidence_b: float | None
    other: tuple[str, ...]


class Comparison(BaseModel):
    """All cases of A and B by name. `p` is McNemar's exact test over fixed and broken."""

    model_config = ConfigDict(frozen=True)

    changes: tuple[CaseChange, ...]
    fixed: int
    broken: int
    p: float


def compare(a: Evaluation, b: Evaluation) -> Comparison:
    """What changed from A to B."""
    in_a, in_b = ({case.name: case for case in one.cases} for one in (a, b))
    changes = tuple(_change(name, in_a.get(name), in_b.get(name)) for name in sorted(in_a.keys() | in_b.keys()))
    fixed = sum(change.verdict is Verdict.FIXED for change in changes)
    broken = sum(change.verdict is Verdict.BROKEN for change in changes)
    return Comparison(changes=changes, fixed=fixed, broken=broken, p=exact_paired_p(fixed, broken))


def named_change(case: Case | None) -> str | None:
    """The change that a case's answer blames: a commit, `none`, or None for no answer at all."""
    if case is None or case.answer is None or case.answer.root_cause is None:
        return None
    return case.answer.root_cause.change or NO_CHANGE


def _change(name: str, a: Case | None, b: Case | None) -> CaseChange:
    return CaseChange(
        name=name,
        verdict=_verdict(a, b),
        named_a=named_change(a),
        named_b=named_change(b),
        confidence_a=_confidence(a),
        confidence_b=_confidence(b),
        other=_other(a, b),
    )


def _verdict(a: Case | None, b: Case | None) -> Verdict:
    if a is None or b is None:
        return Verdict.ONLY_B if a is None else Verdict.ONLY_A
    if a.unscored is not None or b.unscored is not None:
        return Verdict.UNSCORED
    before, after = _is_right(a), _is_right(b)
    if before != after:
        return Verdict.FIXED if after else Verdict.BROKEN
    return Verdict.SAME if named_change(a) == named_change(b) else Verdict.CHANGED


def _is_right(case: Case) -> bool:
    """An investigation that did not finish is not right."""
    return case.score is not None and case.score.commit


def _confidence(case: Case | None) -> float | None:
    return case.answer.confidence if case is not None and case.answer is not None else None


def _other(a: Case | None, b: Case | None) -> tuple[str, ...]:
    """The other scores that changed, in words."""
    if a is None or b is None or a.score is None or b.score is None:
        return ()
    words = []
    for field, title in (
        ("first_failing", "first failing service"),
        ("remediation", "remediation"),
        ("blast_radius", "blast radius"),
        ("decoy", "decoy blamed"),
    ):
        before, after = getattr(a.score, field), getattr(b.score, field)
        if before != after:
            words.append(f"{title} {_word(before)} → {_word(after)}")
    return tuple(words)


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.2f}" if isinstance(value, float) else "-"
