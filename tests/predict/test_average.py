"""Statistics over views against float64, and cases that are plain by hand."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from galaxy_triton.galaxyzoo.questions import SPANS
from galaxy_triton.predict.average import mean, mean_and_spread

BAR = SPANS[2]  # two columns


def drawn(views: int, galaxies: int = 30) -> Tensor:
    return torch.rand(views, galaxies, 37, generator=torch.Generator().manual_seed(views))


def of_bar(*pairs: tuple[float, float]) -> Tensor:
    """A galaxy whose views differ in the two answers to the bar's question alone."""
    views = drawn(1, 1).repeat(len(pairs), 1, 1)
    views[:, 0, BAR] = torch.tensor(pairs)
    return views


def bar_spread(*pairs: tuple[float, float]) -> list[float]:
    return mean_and_spread(of_bar(*pairs))[0, 37:][BAR].tolist()


def exact_spread(views: Tensor) -> NDArray[np.float64]:
    """In float64, a galaxy and a question at a time."""
    answers = views.double().numpy()
    spread = np.empty(answers.shape[1:])
    for galaxy in range(len(spread)):
        for span in SPANS:
            weights = answers[:, galaxy, span].sum(axis=1)
            fractions = answers[:, galaxy, span] / weights[:, None]
            centre = np.average(fractions, axis=0, weights=weights)
            spread[galaxy, span] = np.sqrt(np.average((fractions - centre) ** 2, axis=0, weights=weights))
    return spread


@pytest.mark.parametrize("views", [2, 3, 16])
def test_mean_and_spread(views: int) -> None:
    answers = drawn(views)
    found = mean_and_spread(answers)
    assert (found.dtype, found.shape) == (torch.float32, (30, 74))
    assert torch.equal(found[:, :37], mean(answers))
    assert mean(answers).double().numpy() == pytest.approx(answers.double().numpy().mean(axis=0), abs=1e-6)
    np.testing.assert_allclose(found[:, 37:].double().numpy(), exact_spread(answers), rtol=1e-5, atol=1e-7)


def test_spread_of_two_views() -> None:
    """Of 0.2 and 0.4: 0.1, and the same for the answer that makes up the rest."""
    assert bar_spread((0.1, 0.4), (0.2, 0.3)) == pytest.approx([0.1, 0.1], rel=1e-5)


def test_spread_of_a_small_difference() -> None:
    """No difference of large sums: a few parts in a million are seen."""
    assert bar_spread((0.2, 0.2), (0.200004, 0.199996)) == pytest.approx([5e-6, 5e-6], rel=0.05)
    assert mean_and_spread(drawn(1).repeat(16, 1, 1))[:, 37:].max() < 1e-6


def test_spread_gives_a_view_the_say_of_those_it_asks() -> None:
    """Weights 3 and 1: about 0.25 · 0.2 + 0.75 · 0.4 = 0.35, a deviation of sqrt(0.75 · 0.05² + 0.25 · 0.15²)."""
    assert bar_spread((0.24, 0.36), (0.04, 0.16)) == pytest.approx([0.0866025] * 2, rel=1e-4)
    assert bar_spread((0.1, 0.4), (0.2, 0.3), (0.0, 0.0)) == pytest.approx([0.1, 0.1], rel=1e-5)
    assert bar_spread((0.1, 0.4), (0.2, 0.3), (1e-12, 0.0)) == pytest.approx([0.1, 0.1], rel=1e-5)
    assert bar_spread((0.0, 0.0), (0.0, 0.0)) == [0, 0]


def test_spread_of_one_view() -> None:
    """It says nothing, and not that there is none."""
    assert mean_and_spread(drawn(1))[:, 37:].isnan().all()
    assert torch.equal(mean_and_spread(drawn(1))[:, :37], drawn(1)[0])


def test_no_galaxy() -> None:
    assert mean(drawn(4, 0)).shape == (0, 37)
    assert mean_and_spread(drawn(4, 0)).shape == (0, 74)
