"""What the galaxies held out say: bins against a loop, examples against a ranking."""

import math
from typing import Any

import numpy as np
import pytest

from galaxy_triton.evaluate import Score
from galaxy_triton.findings import BINS, Findings


def findings_of(predicted: Any, people: Any) -> Findings:
    nothing = Score(len(predicted), 0.0, (0.0, 0.0), {})
    rows = np.arange(len(predicted))
    return Findings(rows, np.float32(predicted), np.float32(people), nothing, nothing, None, 1)


def test_bins_are_those_of_a_loop() -> None:
    rng = np.random.default_rng(3)
    predicted, people = rng.beta(0.4, 1, (2, 200, 37)).astype(np.float32)
    predicted[0, :5] = 0, 1, 0.5, 0.25, 0.75
    predicted[predicted > 0.8] = 0.95  # an empty bin
    bins = findings_of(predicted, people).bins()
    for number in range(BINS):
        low, high = number / BINS, 2 if number == BINS - 1 else (number + 1) / BINS
        inside = [(float(p), float(y)) for p, y in zip(predicted.flat, people.flat, strict=True) if low <= p < high]
        assert bins.counts[number] == len(inside)
        means = np.mean(inside, axis=0) if inside else (math.nan, math.nan)
        np.testing.assert_allclose((bins.predicted[number], bins.people[number]), means, rtol=1e-12)
    assert bins.counts[8] == 0


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 9, 11, 12, 13, 40])
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
