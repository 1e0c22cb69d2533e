"""RMSE over all columns, by question and by galaxy, with bootstrap intervals over galaxies."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.galaxyzoo.questions import COLUMNS, QUESTIONS, SPANS

RESAMPLES, AT_A_TIME = 2000, 50
LEVEL = 0.95

Floats = NDArray[np.floating]


class Estimate(NamedTuple):
    """A value and its bootstrap interval of LEVEL."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Score:
    """RMSE over all columns with its bootstrap interval, and the RMSE of each question by its name."""

    galaxies: int
    rmse: float
    interval: tuple[float, float]
    questions: dict[str, Estimate]


@dataclass(frozen=True)
class Difference:
    """How much lower one RMSE is than another, over all columns and by question; negative where it is higher."""

    overall: Estimate
    questions: dict[str, Estimate]


@dataclass(frozen=True)
class ConstantScores:
    """Scores of predictions that are the same for every galaxy.

    zeros, ones: RMSE of all zeros and of all ones. mean: score of the mean label. of_training: whether that is the mean
    over the training galaxies; otherwise it is the mean over the scored galaxies, the best of all constants.
    """

    zeros: float
    ones: float
    mean: Score
    of_training: bool


def rmse(predictions: Floats, labels: Floats) -> float:
    """The challenge's score: the root of the mean squared error over all galaxies and columns, in float64."""
    return float(np.sqrt(np.mean(np.square(predictions.astype(np.float64) - labels))))


def score(predictions: Floats, labels: Floats, seed: int = 1) -> Score:
    """RMSE [n, 37] with percentile bootstrap intervals over galaxies (Efron & Tibshirani 1993, ch. 13)."""
    (value, low, high), *questions = root_mean_squares(_mean_squares(predictions, labels), seed)
    return Score(len(predictions), value, (low, high), _by_name(questions))


def compare(predictions: Floats, others: Floats, labels: Floats, seed: int = 1) -> Difference:
    """How much lower the RMSE of `predictions` is than that of `others`, all [n, 37].

    The intervals are paired: each resample draws the same galaxies for both.
    """
    ours, theirs = (_mean_squares(each, labels) for each in (predictions, others))
    width = ours.shape[1]
    resampled = _resampled(np.column_stack((ours, theirs)), seed)
    lower = resampled[:, width:] - resampled[:, :width]
    values = np.sqrt(theirs.mean(axis=0)) - np.sqrt(ours.mean(axis=0))
    overall, *questions = _estimates(values, lower)
    return Difference(overall, _by_name(questions))


def constant_scores(labels: Floats, training_mean: Floats | None) -> ConstantScores:
    """Score all zeros, all ones and the mean label on labels [n, 37].

    training_mean: the mean label of the training galaxies [37]; None where they are unknown.
    """
    mean = labels.mean(axis=0, dtype=np.float64) if training_mean is None else training_mean
    zeros, ones = (rmse(np.full(labels.shape, value), labels) for value in (0.0, 1.0))
    return ConstantScores(zeros, ones, score(np.broadcast_to(mean, labels.shape), labels), training_mean is not None)


def worse_than_mean(rmse: float, mean_answer: float) -> str:
    """A warning of predictions that are worse than the mean answer in four decimals; "" of others."""
    worse = f"RMSE {rmse:.4f} is worse than that of the mean answer, {mean_answer:.4f}"
    return worse if round(rmse, 4) > round(mean_answer, 4) else ""


def galaxy_errors(predictions: Floats, labels: Floats) -> NDArray[np.float64]:
    """Each galaxy's RMSE over all columns, then over those of each question: [n, 1 + 11]."""
    return np.sqrt(_mean_squares(predictions, labels))


def root_mean_squares(squares: NDArray[np.float64], seed: int = 1) -> list[Estimate]:
    """The root of the mean of each column of squares [n, m] over galaxies, with its bootstrap interval."""
    return _estimates(np.sqrt(squares.mean(axis=0)), _resampled(squares, seed))


def _mean_squares(predictions: Floats, labels: Floats) -> NDArray[np.float64]:
    """Each galaxy's mean squared error over all columns and over those of each question: [n, 1 + 11]."""
    squares = np.square(predictions.astype(np.float64) - labels)
    return np.column_stack([squares[:, span].mean(axis=1) for span in (slice(len(COLUMNS)), *SPANS)])


def _resampled(squares: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """The root of the mean of each column of squares [n, m] in every resample: [RESAMPLES, m]."""
    rng, count = np.random.default_rng(seed), len(squares)
    equal = np.full(count, 1 / count)
    # All draws of 61,578 galaxies at once would take a gigabyte.
    parts = [rng.multinomial(count, equal, size=AT_A_TIME) @ squares / count for _ in range(RESAMPLES // AT_A_TIME)]
    return np.sqrt(np.concatenate(parts))


def _estimates(values: NDArray[np.float64], resampled: NDArray[np.float64]) -> list[Estimate]:
    """Each value [m] with the interval of its resamples [RESAMPLES, m]."""
    limits = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
    return [Estimate(*map(float, each)) for each in zip(values, *np.quantile(resampled, limits, axis=0), strict=True)]


def _by_name(questions: list[Estimate]) -> dict[str, Estimate]:
    return dict(zip((question.name for question in QUESTIONS), questions, strict=True))
