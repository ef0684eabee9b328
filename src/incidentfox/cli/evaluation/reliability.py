"""Is a confidence of 0.8 right in 8 of 10 cases? The reliability table, and two numbers that sum it up."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from incidentfox.cli.evaluation.intervals import Proportion, proportion

EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)

Judged = tuple[float, bool]
"""A confidence in 0..1 and whether the answer was right."""


class Bin(BaseModel):
    """The answers whose confidence lies in `low`..`high` (the last bin holds 1.0)."""

    model_config = ConfigDict(frozen=True)

    low: float
    high: float
    mean_confidence: float | None
    right: Proportion


class Reliability(BaseModel):
    """`calibration_error`: the gap between confidence and rate of right answers, weighted by the size of the bins
    (ECE; Naeini et al., AAAI 2015). `brier`: the mean squared error of the confidences (Brier 1950). None of nothing.
    """

    model_config = ConfigDict(frozen=True)

    bins: tuple[Bin, ...]
    calibration_error: float | None
    brier: float | None


def reliability(judged: Sequence[Judged]) -> Reliability:
    """The table of answers that named a cause. An abstention claims nothing, so it is not among them."""
    bins = tuple(_bin(low, high, judged) for low, high in itertools.pairwise(EDGES))
    return Reliability(
        bins=bins,
        calibration_error=_calibration_error(bins, len(judged)),
        brier=sum((confidence - right) ** 2 for confidence, right in judged) / len(judged) if judged else None,
    )


def _bin(low: float, high: float, judged: Sequence[Judged]) -> Bin:
    is_last = high == EDGES[-1]
    inside = [(c, right) for c, right in judged if low <= c and (c < high or (is_last and c <= high))]
    mean = sum(c for c, _ in inside) / len(inside) if inside else None
    return Bin(low=low, high=high, mean_confidence=mean, right=proportion(right for _, right in inside))


def _calibration_error(bins: Sequence[Bin], total: int) -> float | None:
    if not total:
        return None
    gaps = (
        abs(one.mean_confidence - one.right.rate) * one.right.of
        for one in bins
        if one.mean_confidence is not None and one.right.rate is not None
    )
    return sum(gaps) / total
