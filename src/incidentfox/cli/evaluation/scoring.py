"""Scores one answer against the truth. Every rule is here, and docs/evaluation.md states them."""

from __future__ import annotations

from collections.abc import Collection

from pydantic import BaseModel, ConfigDict

from incidentfox.cli.evaluation.truth import NO_CHANGE, Truth
from incidentfox.contracts.answer import Answer

CONFIDENT = 0.8
"""From here on a wrong answer does harm: people act on it without looking further."""

_SHORTEST_SHA = 7


class Score(BaseModel):
    """How one answer did. None: the truth does not say, so it is not judged."""

    model_config = ConfigDict(frozen=True)

    commit: bool
    abstained: bool
    first_failing: bool | None
    alert_service_first: bool | None
    blast_radius: float | None
    remediation: bool | None
    decoy: bool
    confident_decoy: bool


def score(answer: Answer, alert_service: str, truth: Truth) -> Score:
    """The score of an answer. "Not enough evidence" is no answer to "which commit": it is not right, and no decoy.

    `alert_service` is the baseline of the first failing service: what anybody would say who only read the alert.
    """
    cause = answer.root_cause
    named = None if cause is None else cause.change or NO_CHANGE
    decoy = named is not None and any(same_change(named, one) for one in truth.decoy_deploy_commits)
    first = truth.first_failing_service
    return Score(
        commit=named is not None and same_change(named, truth.root_cause_commit),
        abstained=named is None,
        first_failing=None if first is None else answer.first_failing_service == first,
        alert_service_first=None if first is None else alert_service == first,
        blast_radius=None if truth.blast_radius is None else jaccard(answer.blast_radius, truth.blast_radius),
        remediation=None if truth.remediation is None else answer.remediation == truth.remediation,
        decoy=decoy,
        confident_decoy=decoy and answer.confidence >= CONFIDENT,
    )


def same_change(one: str, other: str) -> bool:
    """Whether two names mean the same change: equal, or one an abbreviation (7 characters at least) of the other."""
    a, b = one.strip().casefold(), other.strip().casefold()
    if a == b:
        return True
    short, long = sorted((a, b), key=len)
    return len(short) >= _SHORTEST_SHA and _is_hex(short) and _is_hex(long) and long.startswith(short)


def jaccard(one: Collection[str], other: Collection[str]) -> float:
    """Size of the intersection by size of the union (Jaccard 1901); 1 for two empty sets: nothing was hit, and said."""
    a, b = set(one), set(other)
    return len(a & b) / len(a | b) if a | b else 1.0


def _is_hex(text: str) -> bool:
    return all(character in "0123456789abcdef" for character in text)
