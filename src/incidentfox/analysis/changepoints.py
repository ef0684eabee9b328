"""Where a series changed its level: one change point by Pettitt's rank test.

Called by the metrics tool to date a shift, and by tests. Source: A. N. Pettitt, "A Non-Parametric Approach to the
Change-Point Problem", Journal of the Royal Statistical Society C 28(2), 1979, pp. 126-135. The statistic uses ranks
only, so the unit of the series, its distribution and single outliers do not matter. The position is the least-squares
split (J. Bai, "Least Squares Estimation of a Shift in Linear Processes", Journal of Time Series Analysis 15(5),
1994).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MINIMUM_POINTS = 8


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """The first sample of the new level. `before` and `after` are the medians of the two sides.

    `p_value` is Pettitt's approximation (two-sided, good below 0.5).
    """

    time: float
    index: int
    before: float
    after: float
    p_value: float


def find_change_point(times: Sequence[float], values: Sequence[float], *, alpha: float = 0.001) -> ChangePoint | None:
    """Return the most likely single change of level, or None where the test does not reject at `alpha`.

    `times` ascend (Unix seconds) and match `values` in length (ValueError otherwise); samples that are not
    finite are left out. Fewer than eight samples never give a change point.
    """
    if len(times) != len(values):
        raise ValueError(f"{len(times)} times for {len(values)} values")
    x = np.asarray(values, dtype=float)
    t = np.asarray(times, dtype=float)
    finite = np.isfinite(x)
    x, t = x[finite], t[finite]
    n = len(x)
    if n < MINIMUM_POINTS:
        return None
    # U_t = 2 * (sum of the first t mid-ranks) - t (n + 1), which equals the double sum of signs (Pettitt, eq.
    # 2).
    statistic = 2 * np.cumsum(_mid_ranks(x)) - np.arange(1, n + 1) * (n + 1)
    k = float(np.abs(statistic[:-1]).max())
    p_value = min(1.0, 2.0 * float(np.exp(-6.0 * k * k / (n**3 + n**2))))
    if p_value > alpha:
        return None
    # K decides whether; where is the least-squares split of the values, outliers clipped: ranks cannot tell the
    # true split from one a few samples on whose values happen to be the lowest of their side.
    clipped = np.clip(x, *np.quantile(x, (0.05, 0.95)))
    split = np.arange(1, n)
    left = np.cumsum(clipped)[:-1]
    right = clipped.sum() - left
    start = int(np.argmax(left**2 / split + right**2 / (n - split))) + 1
    return ChangePoint(
        time=float(t[start]),
        index=start,
        before=float(np.median(x[:start])),
        after=float(np.median(x[start:])),
        p_value=p_value,
    )


def _mid_ranks(x: np.ndarray) -> np.ndarray:
    """Ranks from 1, equal values sharing the mean of their ranks (so that constant series rank flat)."""
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_rank: np.ndarray = (last - (counts - 1) / 2.0)[inverse]
    return mean_rank
