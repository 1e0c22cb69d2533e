"""Root mean squared errors: overall, by question, by galaxy, of constants and of two sets of answers compared, with
bootstrap intervals over galaxies."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.galaxyzoo.questions import COLUMNS, QUESTIONS, SPANS

RESAMPLES, DRAWN = 2000, 50  # in all, and at a time
LEVEL = 0.95

Floats = NDArray[np.floating]
Estimate = tuple[float, float, float]  # value, and its interval's low and high


@dataclass(frozen=True)
class Score:
    """RMSE over all columns with its bootstrap interval, and the same for each question."""

    galaxies: int
    rmse: float
    interval: tuple[float, float]
    questions: dict[str, Estimate]


@dataclass(frozen=True)
class Difference:
    """By how much lower one RMSE is than another, over all columns and for each question."""

    overall: Estimate
    questions: dict[str, Estimate]


@dataclass(frozen=True)
class Constants:
    """What answers score that are the same for every galaxy.

    mean: of the mean label. of_training: whether that is the mean over the galaxies trained on; otherwise it is over
    the galaxies scored themselves, and so the lowest that any constant scores.
    """

    zeros: float
    ones: float
    mean: Score
    of_training: bool


class GalaxyErrors(NamedTuple):
    """Each galaxy's RMSE [n], the number of the question where it is worst [n], and its RMSE in that question [n]."""

    rmse: NDArray[np.float64]
    worst: NDArray[np.int64]
    worst_rmse: NDArray[np.float64]


def rmse(answers: Floats, labels: Floats) -> float:
    """The challenge's score: the root of the mean squared error over all galaxies and columns."""
    return float(np.sqrt(np.mean(np.square(answers.astype(np.float64) - labels))))


def score(answers: Floats, labels: Floats, seed: int = 1) -> Score:
    """RMSE with percentile bootstrap intervals over galaxies (Efron & Tibshirani 1993, ch. 13)."""
    (value, low, high), *questions = root_mean_squares(_mean_squares(answers, labels), seed)
    return Score(len(answers), value, (low, high), _by_name(questions))


def compare(answers: Floats, others: Floats, labels: Floats, seed: int = 1) -> Difference:
    """How much lower the RMSE of `answers` is than that of `others`, with paired bootstrap intervals: the same galaxies
    are drawn for both."""
    ours, theirs = (_mean_squares(each, labels) for each in (answers, others))
    width = ours.shape[1]
    resampled = _resampled(np.column_stack((ours, theirs)), seed)
    lower = resampled[:, width:] - resampled[:, :width]
    values = np.sqrt(theirs.mean(axis=0)) - np.sqrt(ours.mean(axis=0))
    overall, *questions = ((float(value), *_interval(each)) for value, each in zip(values, lower.T, strict=True))
    return Difference(overall, _by_name(questions))


def constants(labels: Floats, training_mean: Floats | None) -> Constants:
    """Score all zeros, all ones and the mean label on labels [n, 37].

    training_mean: the mean label of the galaxies trained on [37]; None where they are unknown.
    """
    mean = labels.mean(axis=0, dtype=np.float64) if training_mean is None else training_mean
    zeros, ones = (rmse(np.full(labels.shape, value), labels) for value in (0.0, 1.0))
    return Constants(zeros, ones, score(np.broadcast_to(mean, labels.shape), labels), training_mean is not None)


def by_galaxy(answers: Floats, labels: Floats) -> GalaxyErrors:
    """The error of each galaxy over its 37 answers, and the question where it is largest."""
    overall, *questions = np.sqrt(_mean_squares(answers, labels)).T
    by_question = np.column_stack(questions)
    worst = by_question.argmax(axis=1)
    return GalaxyErrors(overall, worst, by_question[np.arange(len(worst)), worst])


def root_mean_squares(squares: NDArray[np.float64], seed: int = 1) -> list[Estimate]:
    """The root of the mean of each column of squares [n, m] over galaxies, with its bootstrap interval."""
    values = np.sqrt(squares.mean(axis=0))
    resampled = _resampled(squares, seed).T
    return [(float(value), *_interval(each)) for value, each in zip(values, resampled, strict=True)]


def _mean_squares(answers: Floats, labels: Floats) -> NDArray[np.float64]:
    """Each galaxy's mean squared error over all columns and over those of each question: [n, 1 + 11]."""
    squares = np.square(answers.astype(np.float64) - labels)
    return np.column_stack([squares[:, span].mean(axis=1) for span in (slice(len(COLUMNS)), *SPANS)])


def _by_name(questions: list[Estimate]) -> dict[str, Estimate]:
    return dict(zip((question.name for question in QUESTIONS), questions, strict=True))


def _resampled(squares: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """The root of the mean of each column of squares [n, m] in every resample: [RESAMPLES, m]."""
    rng, count = np.random.default_rng(seed), len(squares)
    equal = np.full(count, 1 / count)
    # some at a time: all draws of 61,578 galaxies would take a gigabyte
    parts = [rng.multinomial(count, equal, size=DRAWN) @ squares / count for _ in range(RESAMPLES // DRAWN)]
    return np.sqrt(np.concatenate(parts))


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(values, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)
