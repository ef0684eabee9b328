"""Robust anomaly ranking on series whose departures are known."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from incidentfox.analysis.anomalies import rank_anomalies
from incidentfox.analysis.signals import Series


def series(values: Sequence[float], metric: str = "m", service: str = "s", step: float = 60.0) -> Series:
    return Series(service, metric, tuple(step * i for i in range(len(values))), tuple(values))


def noisy(level: float, count: int, seed: int = 1, share: float = 0.03) -> list[float]:
    rng = random.Random(seed)
    return [level * (1 + rng.gauss(0, share)) for _ in range(count)]


def step(before: float, after: float, at: int = 60, count: int = 90, seed: int = 1) -> list[float]:
    return noisy(before, at, seed) + noisy(after, count - at, seed + 1)


def test_a_step_is_found_where_it_happens() -> None:
    (found,) = rank_anomalies([series(step(10, 50))], fired_at=70 * 60)
    assert (found.direction, found.onset, found.gradual) == ("up", 3600.0, False)
    assert found.baseline == pytest.approx(10, rel=0.05)
    assert found.peak == pytest.approx(50, rel=0.15)


def test_two_samples_at_the_very_end_are_enough() -> None:
    (found,) = rank_anomalies([series(step(10, 900, at=88))], fired_at=90 * 60)
    assert found.onset == 88 * 60


def test_a_fall_is_found_too() -> None:
    (found,) = rank_anomalies([series(step(0.97, 0.55))], fired_at=70 * 60)
    assert found.direction == "down"
    assert found.peak < 0.6


def test_a_drift_is_dated_to_its_beginning_and_flagged() -> None:
    rng = random.Random(3)
    values = [40 + rng.gauss(0, 1) + max(0, i - 30) * 8 for i in range(120)]
    (found,) = rank_anomalies([series(values)], fired_at=110 * 60)
    assert found.gradual
    assert 30 * 60 <= found.onset <= 38 * 60


def test_noise_and_single_spikes_are_no_anomalies() -> None:
    spiky = noisy(100, 90)
    spiky[70] = 900
    assert rank_anomalies([series(noisy(5, 90, seed)) for seed in range(20)], fired_at=5000) == ()
    assert rank_anomalies([series(spiky)], fired_at=5000) == ()


def test_a_constant_series_that_moves_does_not_outrank_everything() -> None:
    constant = series([50.0] * 60 + [10.0] * 30, "limit")
    error = series(step(0.004, 0.6), "error_ratio")
    scores = {a.metric: a.score for a in rank_anomalies([constant, error], fired_at=70 * 60)}
    assert math.isfinite(scores["limit"])
    assert scores["limit"] < 3 * scores["error_ratio"]


def test_constant_and_short_and_undefined_series_are_left_out() -> None:
    assert rank_anomalies([series([7.0] * 90)], fired_at=5000) == ()
    assert rank_anomalies([series([1.0, 2.0, 90.0])], fired_at=5000) == ()
    assert rank_anomalies([series([math.nan] * 90)], fired_at=5000) == ()
    assert rank_anomalies([], fired_at=0) == ()


def test_what_begins_after_the_alert_counts_half() -> None:
    early = rank_anomalies([series(step(10, 50))], fired_at=70 * 60)[0]
    late = rank_anomalies([series(step(10, 50))], fired_at=50 * 60)[0]
    assert late.score == pytest.approx(early.score / 2, abs=0.002)


def test_a_counter_that_grows_steadily_is_quiet_and_one_that_bends_is_not() -> None:
    steady = [float(10 * i) for i in range(90)]
    bent = steady[:60] + [steady[59] + 200.0 * i for i in range(1, 31)]
    assert rank_anomalies([series(steady, "jobs_total")], fired_at=5000) == ()
    (found,) = rank_anomalies([series(bent, "jobs_total")], fired_at=5000)
    assert found.onset == pytest.approx(60 * 60, abs=60)


@given(
    scale=st.floats(1e-6, 1e9),
    seed=st.integers(0, 10_000),
    factor=st.floats(2.0, 50.0),
)
@settings(max_examples=60, deadline=None)
def test_the_unit_of_a_series_does_not_matter(scale: float, seed: int, factor: float) -> None:
    values = step(10, 10 * factor, seed=seed)
    (plain,) = rank_anomalies([series(values)], fired_at=70 * 60)
    (scaled,) = rank_anomalies([series([v * scale for v in values])], fired_at=70 * 60)
    assert scaled.score == pytest.approx(plain.score, rel=1e-3)
    assert (scaled.onset, scaled.direction, scaled.gradual) == (plain.onset, plain.direction, plain.gradual)


@given(shuffle=st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_the_order_of_the_series_does_not_matter(shuffle: random.Random) -> None:
    many = [series(step(5, 5 + i, seed=i), f"m{i}") for i in range(2, 8)]
    mixed = list(many)
    shuffle.shuffle(mixed)
    assert rank_anomalies(mixed, fired_at=70 * 60) == rank_anomalies(many, fired_at=70 * 60)


@given(values=st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=60))
@settings(max_examples=100, deadline=None)
def test_any_numbers_give_finite_scores(values: list[float]) -> None:
    for found in rank_anomalies([series(values)], fired_at=1e6):
        assert math.isfinite(found.score)
        assert found.score > 0
