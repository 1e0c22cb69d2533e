"""Findings: examples against a ranking, rows against the functions that they come from."""

from typing import Any

import numpy as np
import pytest

from galaxy_triton.evaluate.findings import Comparison, Findings
from galaxy_triton.evaluate.scores import compare, constant_scores, rmse, score
from galaxy_triton.galaxyzoo.questions import QUESTIONS


def findings_of(predicted: Any, people: Any, comparison: Comparison | None = None) -> Findings:
    predictions, labels = np.float32(predicted), np.float32(people)
    names, constants = [f"g{place}" for place in range(len(labels))], constant_scores(labels, None)
    return Findings(names, predictions, labels, score(predictions, labels), constants, comparison=comparison)


@pytest.mark.parametrize("count", [1, 4, 7, 12, 40])
def test_no_galaxy_is_two_examples(count: int) -> None:
    errors = np.random.default_rng(count).permutation(count) / count
    people = np.zeros((count, 37))
    kinds = findings_of(people + errors[:, None], people).examples()
    chosen = np.concatenate(list(kinds.values()))
    assert len(set(chosen.tolist())) == len(chosen) == min(count, 12)
    ranked = np.argsort(errors)
    assert kinds["best"].tolist() == ranked[:4].tolist()
    assert kinds["worst"].tolist() == ranked[::-1][: max(0, min(4, count - 4))].tolist()
    ranks = [int(np.flatnonzero(ranked == place)[0]) for place in kinds["middle"]]
    assert not ranks or abs((ranks[0] + ranks[-1]) / 2 - (count - 1) / 2) <= 0.5


def test_by_galaxy_begins_with_the_worst() -> None:
    people = np.random.default_rng(1).random((5, 37))
    predicted = people.copy()
    for place, size in enumerate((0.1, 0.4, 0.0, 0.3, 0.2)):
        predicted[place, 15 + place] += size
    rows = findings_of(predicted, people).by_galaxy()
    assert rows["GalaxyID"].tolist() == ["g1", "g3", "g4", "g0", "g2"]
    assert rows["worst_question"].tolist()[:4] == ["round", "odd_feature", "odd_feature", "round"]
    assert rows["rmse"].iloc[0] == pytest.approx(0.4 / 37**0.5, abs=1e-7)
    assert rows["worst_question_rmse"].iloc[0] == pytest.approx(0.4 / 3**0.5, abs=1e-7)


def test_by_question() -> None:
    """Predictions that obey the tree but for one column of one galaxy."""
    rng = np.random.default_rng(1)
    people, others = rng.random((2, 6, 37)).astype(np.float32)
    predicted = np.zeros((6, 37))
    predicted[:, [0, 13, 15]] = 1
    predicted[2, 13] = 0.4
    lower = compare(np.float32(predicted), others, people)
    found = findings_of(predicted, people, Comparison("others", lower, 0, False))
    rows = {row.name: row for row in found.by_question()}
    assert list(rows) == [question.name for question in QUESTIONS]
    assert (rows["odd"].tree_largest, rows["odd"].tree_mean) == pytest.approx((0.6, 0.1))
    # column 13 leads to odd_feature
    assert (rows["odd_feature"].tree_largest, rows["odd_feature"].tree_mean) == pytest.approx((1, 5.4 / 6))
    assert (rows["round"].tree_largest, rows["round"].tree_mean) == (0, 0)
    bar = people[:, 5:7]
    assert rows["bar"].rmse.value == pytest.approx(rmse(predicted[:, 5:7], bar))
    assert rows["bar"].mean_answer == pytest.approx(rmse(bar.mean(axis=0) + 0 * bar, bar))
    assert rows["bar"].lower == lower.questions["bar"]
    assert all(row.lower is None for row in findings_of(predicted, people).by_question())
