"""Statistics over views against float64, and cases that are plain by hand."""

import numpy as np
import pytest
import torch
from torch import Tensor

from galaxy_triton.galaxyzoo.questions import SPANS
from galaxy_triton.predict.average import mean, mean_and_spread

BAR = SPANS[2]  # two columns


def random_answers(views: int, galaxies: int = 30) -> Tensor:
    return torch.rand(views, galaxies, 37, generator=torch.Generator().manual_seed(views))


@pytest.mark.parametrize("views", [2, 3, 16])
def test_mean_and_spread(views: int) -> None:
    answers = random_answers(views)
    found, exact = mean_and_spread(answers), answers.double().numpy()
    assert (found.dtype, found.shape) == (torch.float32, (30, 74))
    assert torch.equal(found[:, :37], mean(answers))
    np.testing.assert_allclose(found[:, :37], exact.mean(axis=0), atol=1e-6)
    for galaxy in range(30):
        for span in SPANS:
            weights = exact[:, galaxy, span].sum(axis=1)
            fractions = exact[:, galaxy, span] / weights[:, None]
            centre = np.average(fractions, axis=0, weights=weights)
            spread = np.sqrt(np.average((fractions - centre) ** 2, axis=0, weights=weights))
            np.testing.assert_allclose(found[galaxy, 37:][span], spread, atol=1e-6)


@pytest.mark.parametrize(
    ("views", "spread"),
    [
        (((0.1, 0.4), (0.2, 0.3)), 0.1),  # fractions 0.2 and 0.4
        # Of a small difference: it is no difference of large sums.
        (((0.2, 0.2), (0.200004, 0.199996)), 5e-6),
        # Weights 3/4 and 1/4: about 0.35, sqrt(3/4 · 0.05² + 1/4 · 0.15²).
        (((0.24, 0.36), (0.04, 0.16)), 0.0866025),
        # A view in which nobody is asked the question has no weight.
        (((0.1, 0.4), (0.2, 0.3), (0.0, 0.0)), 0.1),
        (((0.1, 0.4), (0.2, 0.3), (1e-12, 0.0)), 0.1),
        (((0.0, 0.0), (0.0, 0.0)), 0),
    ],
)
def test_spread_of_the_bar(views: tuple[tuple[float, float], ...], spread: float) -> None:
    answers = random_answers(1, 1).repeat(len(views), 1, 1)
    answers[:, 0, BAR] = torch.tensor(views)
    found = mean_and_spread(answers)[0, 37:]
    assert found[BAR].tolist() == pytest.approx([spread] * 2, rel=1e-4, abs=3e-7)
    assert found[: BAR.start].max() < 1e-6, "other questions have no spread"


def test_spread_of_one_view_is_unknown() -> None:
    found = mean_and_spread(random_answers(1))
    assert found[:, 37:].isnan().all()
    assert torch.equal(found[:, :37], random_answers(1)[0])


def test_no_galaxy() -> None:
    assert mean(random_answers(4, 0)).shape == (0, 37)
    assert mean_and_spread(random_answers(4, 0)).shape == (0, 74)
