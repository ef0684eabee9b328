"""Which series left their own baseline, how far, and since when: robust, unit-free ranking.

Called by the metrics tool. A departure is measured in robust deviations: |value - median| / scale, where the
scale is max(IQR / 1.349, 0.1 sigma, 0.001 |median|). IQR / 1.349 estimates sigma for normal noise and ignores
outliers (Rousseeuw and Croux, "Alternatives to the Median Absolute Deviation", JASA 88, 1993); the other two
terms are the floor: without it a constant series that moves once would score infinitely and the unit of a
series would decide. The sigma of the floor is that of the whole series, so no series can score more than
about ten times what its own spread allows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from incidentfox.analysis.findings import Anomaly
from incidentfox.analysis.signals import Series

MINIMUM_POINTS = 8
MINIMUM_SCORE = 4.0
_HEAD_SHARE = 0.2
_SUSTAINED_POINTS = 5
_LATE_SECONDS = 120.0
_COUNTER_NAME = re.compile(r"(_total|_count|_sum|_bucket)$")

Array = np.ndarray


def rank_anomalies(series: Sequence[Series], *, fired_at: float) -> tuple[Anomaly, ...]:
    """Return the series that departed from their quiet head and stayed away, strongest first.

    `fired_at` is the alert's time: a departure that only starts well after it is a consequence at best and
    counts half. Series with fewer than eight finite samples, or none before the alert, are left out.
    """
    found = [anomaly for one in series if (anomaly := _judge(one, fired_at)) is not None]
    return tuple(sorted(found, key=lambda a: (-a.score, a.onset, a.service, a.metric)))


def _judge(series: Series, fired_at: float) -> Anomaly | None:
    t = np.asarray(series.times, dtype=float)
    x = np.asarray(series.values, dtype=float)
    finite = np.isfinite(x)
    t, x = t[finite], x[finite]
    if len(x) < MINIMUM_POINTS or t[0] >= fired_at:
        return None
    t, x = _counter_as_rate(series.metric, t, x)
    head = min(max(_SUSTAINED_POINTS, int(len(x) * _HEAD_SHARE)), int(np.searchsorted(t, fired_at, "left")))
    first = _departure(x, head)
    if first is None:
        return None
    # A second pass with everything before the departure as baseline: a longer head estimates noise better.
    start = _departure(x, max(head, first[0])) or first
    index, sign = start
    baseline, scale = _level(x[:index], x)
    after = sign * (x[index:] - baseline)
    sustained = float(np.quantile(after, 0.75))
    score = sustained / scale
    if score < MINIMUM_SCORE:
        return None
    anomaly = Anomaly(
        service=series.service,
        metric=series.metric,
        score=round(score, 3),
        direction="up" if sign > 0 else "down",
        onset=float(t[index]),
        baseline=float(baseline),
        peak=float(baseline + sign * after.max()),
        gradual=_is_gradual(after),
    )
    return replace(anomaly, score=round(score / 2, 3)) if anomaly.onset > fired_at + _LATE_SECONDS else anomaly


def _level(head: Array, whole: Array) -> tuple[float, float]:
    """Median of the quiet head, and the scale with its floor (never zero for a series that moves)."""
    q1, median, q3 = np.quantile(head, (0.25, 0.5, 0.75))
    scale = max((q3 - q1) / 1.349, 0.1 * float(whole.std()), 0.001 * abs(float(median)))
    return float(median), max(float(scale), np.finfo(float).tiny)


def _departure(x: Array, head: int) -> tuple[int, int] | None:
    """First index at or after `head` from which most of the next samples are away on one side, and that side.

    Away means beyond four deviations of the head's own noise and beyond 5 % of the largest excursion: the
    first keeps noise out, the second keeps a slow drift's start from being dated to its first wiggle.
    """
    q1, median, q3 = np.quantile(x[:head], (0.25, 0.5, 0.75))
    noise = max((q3 - q1) / 1.349, float(x[:head].std()) * 0.5, 0.001 * abs(float(median)))
    rest = x[head:] - median
    if not len(rest):
        return None
    best: tuple[int, int] | None = None
    reach = -1.0
    for sign in (1, -1):
        side = sign * rest
        away = side > max(4.0 * noise, 0.05 * float(side.max()), 0.0)
        start = _first_sustained(away)
        if start is None:
            continue
        excursion = float(np.quantile(side[start:], 0.75))
        if excursion > reach:
            best, reach = (head + start, sign), excursion
    return best


def _first_sustained(away: Array) -> int | None:
    total = np.concatenate(([0], np.cumsum(away)))
    for i in np.flatnonzero(away):
        # At the very end two samples must do: an alert fires long before there are five.
        end = min(len(away), int(i) + _SUSTAINED_POINTS)
        if total[end] - total[i] >= max(2, np.ceil(0.6 * (end - i))):
            return int(i)
    return None


def _is_gradual(after: Array) -> bool:
    """True where the departure grows over most of its time instead of stepping: its first tenth is far below
    its end.
    """
    if len(after) < MINIMUM_POINTS:
        return False
    part = max(2, len(after) // 10)
    begin, end = float(np.median(after[:part])), float(np.median(after[-part:]))
    if end <= 0 or begin > 0.5 * end:
        return False
    middle = float(np.median(after[len(after) // 2 - part // 2 : len(after) // 2 + part // 2 + 1]))
    # A step that took one or two samples to complete is already at its end in the middle.
    return middle < 0.85 * end


def _counter_as_rate(metric: str, t: Array, x: Array) -> tuple[Array, Array]:
    """A monotone counter that already grows in its head is judged by its rate: growth is its normal state."""
    steps = np.diff(x)
    quarter = max(2, len(steps) // 4)
    if not _COUNTER_NAME.search(metric) or (steps < 0).mean() > 0.05 or np.median(steps[:quarter]) <= 0:
        return t, x
    seconds = np.maximum(np.diff(t), 1e-9)
    return t[1:], np.maximum(steps, 0.0) / seconds
