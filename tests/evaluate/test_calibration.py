"""Calibration: bins against a loop, the error against its sum written out, the slope of lines that are known."""

import math

import numpy as np
import pytest

from galaxy_triton.evaluate.calibration import BINS, bins_of, calibration_error, calibration_slope


def test_bins_are_those_of_a_loop() -> None:
    rng = np.random.default_rng(3)
    predicted, people = rng.beta(0.4, 1, (2, 200, 37)).astype(np.float32)
    predicted[0, :5] = 0, 1, 0.5, 0.25, 0.75
    predicted[predicted > 0.8] = 0.95  # an empty bin
    bins = bins_of(predicted, people)
    for number in range(BINS):
        low, high = number / BINS, 2 if number == BINS - 1 else (number + 1) / BINS
        inside = [(float(p), float(y)) for p, y in zip(predicted.flat, people.flat, strict=True) if low <= p < high]
        assert bins.counts[number] == len(inside)
        means = np.mean(inside, axis=0) if inside else (math.nan, math.nan)
        np.testing.assert_allclose((bins.predicted[number], bins.people[number]), means, rtol=1e-12)
    assert bins.counts[8] == 0


def test_the_error_is_the_mean_gap_of_the_bins_by_their_counts() -> None:
    """Three answers that are 0.1 too high, and one that is 0.4 too low; within a bin, errors cancel."""
    predicted = np.array([[0.22, 0.24, 0.26, 0.55]])
    people = np.array([[0.02, 0.24, 0.16, 0.95]])
    assert calibration_error(predicted, people) == pytest.approx((3 * 0.1 + 0.4) / 4)
    assert calibration_error(people, people) == 0


@pytest.mark.parametrize("slope", [0.5, 1.0, 1.5])
def test_the_slope_is_that_of_the_line_through_the_answers(slope: float) -> None:
    rng = np.random.default_rng(1)
    predicted = 0.3 + 0.2 * rng.random((500, 4))
    people = 0.1 + slope * predicted
    assert calibration_slope(predicted, people) == pytest.approx(slope)
    noisy = people + rng.normal(0, 0.05, people.shape)
    want = np.polyfit(predicted.ravel(), noisy.ravel(), 1)[0]
    assert calibration_slope(predicted, noisy) == pytest.approx(want)


def test_answers_that_are_all_equal_have_no_slope() -> None:
    assert math.isnan(calibration_slope(np.full((3, 2), np.float32(0.5)), np.random.default_rng(1).random((3, 2))))
