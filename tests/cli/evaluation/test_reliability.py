"""The reliability table: known gaps, the edges of the bins, nothing at all."""

from __future__ import annotations

import pytest

from incidentfox.cli.evaluation.reliability import reliability


def test_a_calibrated_set_has_no_gap() -> None:
    found = reliability([(0.75, True), (0.75, True), (0.75, True), (0.75, False)])
    assert found.calibration_error == pytest.approx(0.0)
    assert found.brier == pytest.approx(0.75 * 0.25)


def test_the_gap_is_weighted_by_the_size_of_the_bins() -> None:
    found = reliability([(0.9, False), (0.5, True), (0.5, True), (0.5, False), (0.5, False)])
    assert found.calibration_error == pytest.approx(0.9 / 5)


def test_each_confidence_is_in_exactly_one_bin() -> None:
    found = reliability([(edge, True) for edge in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)])
    assert [one.right.of for one in found.bins] == [1, 1, 1, 1, 2]


def test_of_nothing_there_is_nothing_to_say() -> None:
    found = reliability([])
    assert (found.calibration_error, found.brier) == (None, None)
    assert [one.mean_confidence for one in found.bins] == [None] * 5
