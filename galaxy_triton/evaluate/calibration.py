"""Calibration: whether a predicted fraction is what people give on average."""

import math
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.galaxyzoo.questions import QUESTIONS, SPANS

BINS = 10

Floats = NDArray[np.floating]
Measure = TypeVar("Measure")


class Bins(NamedTuple):
    """Answers by predicted fraction, in bins of equal width: how many, and their mean predicted and true fraction.

    Each [BINS]; the means of an empty bin are nan.
    """

    counts: NDArray[np.int64]
    predicted: NDArray[np.float64]
    people: NDArray[np.float64]


class Calibration(NamedTuple):
    """Calibration in two numbers.

    ece: expected calibration error, sum over bins of (share of the answers) |mean predicted - mean true fraction|
    (Naeini et al. 2015; Guo et al. 2017, eq. 3, with fractions of people for accuracies). Few answers raise it.
    slope: of the least-squares line true = a + slope predicted (Mincer & Zarnowitz 1969): 1 when calibrated, below 1
    when the answers are too extreme, above 1 when they keep too close to their mean; nan when all are equal.
    """

    ece: float
    slope: float


def bins_of(predicted: Floats, people: Floats) -> Bins:
    """All answers of two arrays of one shape, values in [0, 1]: the first bin is [0, 0.1), the last [0.9, 1]."""
    flat, given = (answers.ravel().astype(np.float64) for answers in (predicted, people))
    places = np.minimum((flat * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(places, minlength=BINS)
    sums = (np.bincount(places, values, minlength=BINS) for values in (flat, given))
    means = [np.divide(total, counts, out=np.full(BINS, np.nan), where=counts > 0) for total in sums]
    return Bins(counts, *means)


def by_question(measure: Callable[[Floats, Floats], Measure], predicted: Floats, people: Floats) -> dict[str, Measure]:
    """`bins_of` or `calibration_of` for the answers of each question, of answers [n >= 1, 37]."""
    spans = zip(QUESTIONS, SPANS, strict=True)
    return {question.name: measure(predicted[:, span], people[:, span]) for question, span in spans}


def calibration_of(predicted: Floats, people: Floats) -> Calibration:
    """The calibration of all answers of two arrays of one shape, values in [0, 1], at least one."""
    bins = bins_of(predicted, people)
    filled = bins.counts > 0
    gaps = np.abs(bins.predicted - bins.people)[filled]
    return Calibration(float(gaps @ bins.counts[filled] / bins.counts.sum()), _slope(predicted, people))


def _slope(predicted: Floats, people: Floats) -> float:
    centred, given = (answers.astype(np.float64) - answers.mean(dtype=np.float64) for answers in (predicted, people))
    spread = float(np.square(centred).sum())
    return float((centred * given).sum() / spread) if spread > 0 else math.nan
