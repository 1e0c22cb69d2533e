"""Calibration: whether a predicted fraction is the fraction that people give on average."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 10

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Bins:
    """Predictions in bins of equal width: how many, and their mean prediction and mean label; each [BINS].

    The means of an empty bin are nan.
    """

    counts: NDArray[np.int64]
    predicted: NDArray[np.float64]
    people: NDArray[np.float64]


def bins_of(predictions: Floats, labels: Floats) -> Bins:
    """Bin all values of two arrays of one shape, in [0, 1]: the first bin is [0, 0.1), the last [0.9, 1]."""
    predicted, people = (values.ravel().astype(np.float64) for values in (predictions, labels))
    places = np.minimum((predicted * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(places, minlength=BINS)
    sums = (np.bincount(places, values, minlength=BINS) for values in (predicted, people))
    means = [np.divide(total, counts, out=np.full(BINS, np.nan), where=counts > 0) for total in sums]
    return Bins(counts, *means)


def calibration_error(predictions: Floats, labels: Floats) -> float:
    """The expected calibration error of all values of two arrays of one shape, in [0, 1], at least one.

    The sum over bins of (share of the predictions) |mean prediction - mean label| (Naeini et al. 2015; Guo et al. 2017,
    eq. 3, with fractions of people for accuracies). Few predictions raise it.
    """
    bins = bins_of(predictions, labels)
    filled = bins.counts > 0
    gaps = np.abs(bins.predicted - bins.people)[filled]
    return float(gaps @ bins.counts[filled] / bins.counts.sum())


def calibration_slope(predictions: Floats, labels: Floats) -> float:
    """The slope of the least-squares line label = a + slope prediction (Mincer & Zarnowitz 1969).

    1 when calibrated, below 1 when predictions are too extreme, above 1 when they keep too close to their mean; nan
    when all are equal.
    """
    x, y = (values.astype(np.float64) - values.mean(dtype=np.float64) for values in (predictions, labels))
    spread = float(np.square(x).sum())
    return float((x * y).sum() / spread) if spread > 0 else math.nan
