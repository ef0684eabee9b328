"""Units and axes: what a metric's name says about its unit, and ticks at numbers that people would choose. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_MOST_TICKS = 5
_DAY = 86400


@dataclass(frozen=True)
class Scale:
    """How values are shown: multiplied by `factor`, in `unit` (empty: a bare number)."""

    factor: float
    unit: str

    def apply(self, value: float) -> float:
        """The value on this scale."""
        return value * self.factor

    def words(self, value: float) -> str:
        """The value with its unit, three significant digits."""
        scaled = self.apply(value)
        number = f"{scaled:,.0f}" if abs(scaled) >= 1000 else f"{scaled:.3g}"
        return f"{number}\N{NO-BREAK SPACE}{self.unit}" if self.unit else number


_SECONDS = ((180.0, 1 / 60, "min"), (1.0, 1.0, "s"), (1e-3, 1e3, "ms"), (0.0, 1e6, "µs"))
_BYTES = ((2.0**30, 2.0**-30, "GiB"), (2.0**20, 2.0**-20, "MiB"), (2.0**10, 2.0**-10, "KiB"), (0.0, 1.0, "B"))
_COUNTS = ((1e9, 1e-9, "billion"), (1e6, 1e-6, "million"), (1e4, 1e-3, "thousand"), (0.0, 1.0, ""))
_RATES = tuple((least, factor, f"{unit} per s".strip()) for least, factor, unit in _COUNTS)
# Each family: (least value in its base unit, factor from the base unit, unit), largest first.
_PERCENT = ((0.0, 1.0, "%"),)
_RATIO = ((0.0, 100.0, "%"),)

# The names after https://prometheus.io/docs/practices/naming/, and those that are seen all the same. The first
# family with a word of the name decides: "error_rate_5xx_ratio" is a ratio, though "rate" stands in it too.
_FAMILIES: Sequence[tuple[frozenset[str], float, Sequence[tuple[float, float, str]]]] = (
    (frozenset({"percent", "pct"}), 1.0, _PERCENT),
    (frozenset({"ratio"}), 1.0, _RATIO),
    (frozenset({"milliseconds", "millis", "ms"}), 1e-3, _SECONDS),
    (frozenset({"microseconds", "us"}), 1e-6, _SECONDS),
    (frozenset({"seconds", "secs", "sec"}), 1.0, _SECONDS),
    (frozenset({"bytes"}), 1.0, _BYTES),
    (frozenset({"rps", "qps", "second"}), 1.0, _RATES),
)


def scale_for(metric: str, largest: float) -> Scale:
    """The scale on which a metric whose largest absolute value is `largest` reads well."""
    words = frozenset(re.split(r"[^a-z0-9]+", metric.lower()))
    for names, to_base, steps in _FAMILIES:
        if words & names:
            return _pick(steps, to_base, largest)
    return _pick(_COUNTS, 1.0, largest)


_NOTHING = 1e-300
"""Below this, a difference is rounding."""


def nice_ticks(low: float, high: float) -> list[float]:
    """Two to six round numbers that enclose [low, high]. From zero, unless the values live far away from it."""
    if math.isclose(low, high, rel_tol=1e-12, abs_tol=_NOTHING):
        padding = abs(low) if abs(low) > _NOTHING else 1.0
        low, high = min(0.0, low), max(high, low + padding * 0.25)
    if 0 < low < 0.6 * high:
        low = 0.0
    elif high < 0 and high > 0.6 * low:
        high = 0.0
    step = _nice_step((high - low) / 4)
    start, end = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(start, max(end, start + 1) + 1)]


def label_of(tick: float, step: float) -> str:
    """A tick with as many decimals as its step needs."""
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    if decimals < 6 and abs(round(step, decimals) - step) > step * 1e-6:
        decimals += 1  # 0.25 needs two
    return f"{tick:,.{decimals}f}" if tick else "0"


def time_ticks(first: float, last: float) -> list[tuple[float, str]]:
    """Moments on the clock's own grid, at most five of them, as (Unix seconds, label in UTC)."""
    span = last - first
    step = next((step for step in _TIME_STEPS if span / step <= _MOST_TICKS), None)
    if step is None:
        step = math.ceil(span / _MOST_TICKS / _DAY) * _DAY
    form = "%H:%M:%S" if step < 60 else "%H:%M" if span <= _DAY else "%d %b"
    start = math.ceil(math.ceil(first) / step) * step
    moments = range(start, math.floor(last) + 1, step)
    return [(float(at), datetime.fromtimestamp(at, UTC).strftime(form)) for at in moments]


def _pick(steps: Sequence[tuple[float, float, str]], to_base: float, largest: float) -> Scale:
    base = largest * to_base
    factor, unit = next((factor, unit) for least, factor, unit in steps if base >= least)
    return Scale(to_base * factor, unit)


def _nice_step(rough: float) -> float:
    magnitude = 10.0 ** math.floor(math.log10(rough))
    return next(step * magnitude for step in _STEPS if step * magnitude >= rough * (1 - 1e-9))
