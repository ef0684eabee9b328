"""Pettitt's test on series with a known change point."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from incidentfox.analysis.changepoints import find_change_point


def _step(at: int, count: int, before: float, after: float, seed: int) -> list[float]:
    rng = random.Random(seed)
    return [(before if i < at else after) + rng.gauss(0, 1) for i in range(count)]


@given(at=st.integers(15, 65), seed=st.integers(0, 500))
@settings(max_examples=40, deadline=None)
def test_a_clear_step_is_found_within_two_samples(at: int, seed: int) -> None:
    point = find_change_point(range(80), _step(at, 80, 0, 12, seed))
    assert point is not None
    assert abs(point.index - at) <= 2
    assert point.before == pytest.approx(0, abs=1.5)
    assert point.after == pytest.approx(12, abs=1.5)


def test_noise_and_constants_have_none() -> None:
    rng = random.Random(4)
    assert find_change_point(range(100), [rng.gauss(0, 1) for _ in range(100)]) is None
    assert find_change_point(range(100), [3.0] * 100) is None
    assert find_change_point(range(4), [0.0, 0.0, 9.0, 9.0]) is None


def test_known_statistic() -> None:
    """Ten zeros then ten ones: K = 100, p = 2 exp(-6 K^2 / (n^3 + n^2))."""
    point = find_change_point(range(20), [0.0] * 10 + [1.0] * 10, alpha=0.01)
    assert point is not None
    assert point.index == 10
    assert point.p_value == pytest.approx(2 * 2.718281828459045 ** (-60_000 / 8_400), rel=1e-6)


def test_an_outlier_does_not_move_it() -> None:
    values = _step(40, 80, 0, 12, 1)
    values[10] = 1e9
    point = find_change_point(range(80), values)
    assert point is not None
    assert abs(point.index - 40) <= 2


def test_mismatched_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="2 times for 3 values"):
        find_change_point([1, 2], [1, 2, 3])
