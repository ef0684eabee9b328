"""Uncertainty of small counts: Wilson intervals for proportions, and the exact test for paired outcomes."""

from __future__ import annotations

import math
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

Z_95 = 1.959963984540054
"""The 97.5 % quantile of the standard normal distribution."""


class Proportion(BaseModel):
    """`right` of `of`, with the 95 % interval `low`..`high` of the true rate."""

    model_config = ConfigDict(frozen=True)

    right: int
    of: int
    low: float
    high: float

    @property
    def rate(self) -> float | None:
        """The observed rate; None of nothing."""
        return self.right / self.of if self.of else None


def wilson(right: int, of: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval (E. B. Wilson, JASA 22, 1927): it stays within 0..1 and holds for few cases.

    (p + z²/2n ± z·√(p(1−p)/n + z²/4n²)) / (1 + z²/n). Of nothing, anything is possible: (0, 1).
    """
    if not 0 <= right <= of:
        raise ValueError(f"{right} of {of} is no proportion")
    if of == 0:
        return 0.0, 1.0
    rate, squared = right / of, z * z
    centre = rate + squared / (2 * of)
    margin = z * math.sqrt(rate * (1 - rate) / of + squared / (4 * of * of))
    scale = 1 + squared / of
    # At the ends the bound is the rate itself; rounding must not put it a hair inside.
    low = 0.0 if right == 0 else max(0.0, (centre - margin) / scale)
    high = 1.0 if right == of else min(1.0, (centre + margin) / scale)
    return low, high


def proportion(outcomes: Iterable[bool | None]) -> Proportion:
    """The share of what is true; None is left out: it could not be judged."""
    judged = [outcome for outcome in outcomes if outcome is not None]
    low, high = wilson(sum(judged), len(judged))
    return Proportion(right=sum(judged), of=len(judged), low=low, high=high)


def exact_paired_p(better: int, worse: int) -> float:
    """How likely a difference at least this large is by chance: McNemar's test, exact and two-sided.

    Only the cases that changed count; under no difference each is a fair coin (McNemar, Psychometrika 12, 1947).
    """
    changed = better + worse
    if changed == 0:
        return 1.0
    tail = sum(math.comb(changed, k) for k in range(min(better, worse) + 1)) / 2.0**changed
    return min(1.0, 2 * tail)
