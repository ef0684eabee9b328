"""Intervals and the paired test, against published values and by their own laws."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incidentfox.cli.evaluation.intervals import exact_paired_p, proportion, wilson


@pytest.mark.parametrize(
    ("right", "of", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_agrees_with_newcombe(right: int, of: int, low: float, high: float) -> None:
    assert wilson(right, of) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@given(st.integers(0, 500).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_the_interval_holds_the_rate_and_mirrors(case: tuple[int, int]) -> None:
    right, of = case
    low, high = wilson(right, of)
    assert 0.0 <= low <= high <= 1.0
    if of:
        assert low <= right / of <= high
    other_low, other_high = wilson(of - right, of)
    assert (1 - other_high, 1 - other_low) == (pytest.approx(low), pytest.approx(high))


def test_of_nothing_anything_is_possible() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="no proportion"):
        wilson(3, 2)


def test_what_could_not_be_judged_is_left_out() -> None:
    share = proportion([True, None, False, True])
    assert (share.right, share.of, share.rate) == (2, 3, pytest.approx(2 / 3))
    assert proportion([None]).rate is None


def test_the_paired_test_is_the_two_sided_binomial() -> None:
    assert exact_paired_p(0, 0) == 1.0
    assert exact_paired_p(5, 5) == 1.0
    assert exact_paired_p(1, 7) == pytest.approx(18 / 256)
    assert exact_paired_p(7, 1) == exact_paired_p(1, 7)
