"""Scores against NumPy by hand, and intervals that cover."""

from typing import Any

import numpy as np
import pytest

from galaxy_triton.evaluate.scores import compare, constant_scores, galaxy_errors, rmse, score
from galaxy_triton.galaxyzoo.questions import QUESTIONS, SPANS

FIRST_COLUMNS = {"smooth": (0, 3), "edge_on": (3, 5), "bar": (5, 7), "spiral": (7, 9), "bulge": (9, 13)}


def answers(rows: int = 30, seed: int = 1) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).random((rows, 37), dtype=np.float32)


def test_rmse() -> None:
    ours, labels = answers(2, 1).tolist(), answers(2, 2).tolist()
    total = sum((ours[row][column] - labels[row][column]) ** 2 for row in range(2) for column in range(37))
    assert rmse(answers(2, 1), answers(2, 2)) == pytest.approx((total / 74) ** 0.5, rel=1e-7)
    assert rmse(answers(2, 2), answers(2, 2)) == 0


def test_score() -> None:
    ours, labels = answers(30, 1), answers(30, 2)
    found = score(ours, labels)
    squares = (ours.astype(np.float64) - labels) ** 2
    assert found.galaxies == 30
    assert found.rmse == pytest.approx(np.sqrt(squares.mean()), rel=1e-12)
    assert len(found.questions) == 11
    for name, (start, stop) in FIRST_COLUMNS.items():
        assert found.questions[name][0] == pytest.approx(np.sqrt(squares[:, start:stop].mean()), rel=1e-12)
    for value, low, high in ((found.rmse, *found.interval), *found.questions.values()):
        assert low < value < high


def test_score_interval_is_the_bootstraps() -> None:
    """The same percentiles from resamples drawn here, galaxy by galaxy."""
    ours, labels = answers(30, 1), answers(30, 2)
    each = ((ours.astype(np.float64) - labels) ** 2).mean(axis=1)
    drawn = np.random.default_rng(99).integers(0, 30, (20_000, 30))
    want = np.quantile(np.sqrt(each[drawn].mean(axis=1)), (0.025, 0.975))
    assert score(ours, labels).interval == pytest.approx(tuple(want), abs=0.05 * (want[1] - want[0]))


def test_score_of_one_galaxy() -> None:
    found = score(answers(1, 1), answers(1, 2))
    assert found.interval == pytest.approx((found.rmse, found.rmse))


def test_compare() -> None:
    labels = answers(200, 1)
    noise = np.random.default_rng(3).normal(0, 1, (200, 37)).astype(np.float32)
    better, worse = labels + 0.10 * noise, labels + 0.11 * noise
    value, low, high = compare(better, worse, labels).overall
    assert value == pytest.approx(rmse(worse, labels) - rmse(better, labels), rel=1e-12)
    # Paired: the errors are the same but for a factor, so the difference is known far better than either.
    assert 0 < low < value < high
    interval = score(better, labels).interval
    assert high - low < 0.2 * (interval[1] - interval[0])
    assert compare(worse, better, labels).overall == pytest.approx((-value, -high, -low))
    assert compare(better, better, labels).overall == (0, 0, 0)


def test_compare_by_question() -> None:
    """Answers that are worse in one question and better in another."""
    labels = answers(200, 1)
    noise = np.random.default_rng(3).normal(0, 0.1, (200, 37)).astype(np.float32)
    ours, others = labels + noise, labels + noise
    ours[:, 5:7] += noise[:, 5:7]
    others[:, 13:15] += noise[:, 13:15]
    found = compare(ours, others, labels).questions
    assert list(found) == [question.name for question in QUESTIONS]
    for number, (name, span) in enumerate(zip(found, SPANS, strict=True)):
        value, low, high = found[name]
        want = rmse(others[:, span], labels[:, span]) - rmse(ours[:, span], labels[:, span])
        assert value == pytest.approx(want, abs=1e-12)
        assert np.sign((low, high)).tolist() == [{2: -1, 5: 1}.get(number, 0)] * 2


def test_compare_intervals_are_the_bootstraps() -> None:
    ours, others, labels = (answers(30, seed).astype(np.float64) for seed in (1, 2, 3))
    drawn = np.random.default_rng(9).integers(0, 30, (10_000, 30))
    squares = [np.square(given - labels)[:, SPANS[4]].mean(axis=1) for given in (others, ours)]
    theirs, mine = (np.sqrt(each[drawn].mean(axis=1)) for each in squares)
    want = np.quantile(theirs - mine, (0.025, 0.975))
    got = compare(ours, others, labels).questions["bulge"][1:]
    assert got == pytest.approx(want, abs=0.06 * (want[1] - want[0]))


def test_constants() -> None:
    """No constant scores below the mean label of the galaxies themselves."""
    labels, mean = answers(20, 1).astype(np.float64), answers(1, 2)[0].astype(np.float64)
    found = constant_scores(labels, mean)
    for got, constant in ((found.zeros, 0), (found.ones, 1), (found.mean.rmse, mean)):
        assert got == pytest.approx(np.sqrt(((constant - labels) ** 2).mean()), rel=1e-12)
    assert found.mean.questions["bar"][0] == pytest.approx(np.sqrt(((mean - labels)[:, 5:7] ** 2).mean()), rel=1e-12)
    assert found.of_training
    own = constant_scores(labels, None)
    assert own.mean.rmse == pytest.approx(np.sqrt(labels.var(axis=0).mean()))
    assert not own.of_training


def test_galaxy_errors() -> None:
    labels = answers(4, 1)
    given = labels + np.float32(0.01)
    given[0, 9:13] += 0.2
    given[1, 36] += 0.5
    given[2, 0] -= 0.3
    found = galaxy_errors(given, labels)
    assert [QUESTIONS[number].name for number in found[:3, 1:].argmax(axis=1)] == ["bulge", "arms", "smooth"]
    squares = (given.astype(np.float64) - labels) ** 2
    assert found[:, 0] == pytest.approx(np.sqrt(squares.mean(axis=1)), rel=1e-12)
    for number, span in enumerate(SPANS, 1):
        assert found[:, number] == pytest.approx(np.sqrt(squares[:, span].mean(axis=1)), rel=1e-12)
