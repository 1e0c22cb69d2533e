"""What the galaxies held out say about a network: asked once, for the score and for every figure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from galaxy_triton.answer import Answerer, Answers
from galaxy_triton.data import Galaxies, Split
from galaxy_triton.evaluate import Score, rmse, score

BINS = 10
EXAMPLES = 4  # galaxies of each kind


class Bins(NamedTuple):
    """Answers by predicted fraction, in bins of equal width: how many, and their mean predicted and true fraction.

    Each [BINS]; the means of an empty bin are nan.
    """

    counts: NDArray[np.int64]
    predicted: NDArray[np.float64]
    people: NDArray[np.float64]


@dataclass(frozen=True)
class Findings:
    """The galaxies held out: their rows in the store (int64 [n]), and their answers (float32 [n, 37]).

    score, mean_answer: of the network, and of the training galaxies' mean answer given to each. noise_floor: RMSE of
    the true probabilities, None where they are unknown. views: fixed views averaged.
    """

    rows: NDArray[np.int64]
    predicted: Answers
    people: Answers
    score: Score
    mean_answer: Score
    noise_floor: float | None
    views: int

    def bins(self) -> Bins:
        """All answers by their predicted fraction: the first bin is [0, 0.1), the last [0.9, 1]."""
        predicted, people = (answers.ravel().astype(np.float64) for answers in (self.predicted, self.people))
        places = np.minimum((predicted * BINS).astype(np.int64), BINS - 1)
        counts = np.bincount(places, minlength=BINS)
        sums = (np.bincount(places, values, minlength=BINS) for values in (predicted, people))
        means = [np.divide(total, counts, out=np.full(BINS, np.nan), where=counts > 0) for total in sums]
        return Bins(counts, *means)

    def examples(self) -> dict[str, NDArray[np.int64]]:
        """The places among `rows` of the galaxies answered "best", in the "middle" and "worst", no galaxy twice.

        The lowest error comes first, but the highest among the worst. Of few galaxies, the later kinds have fewer or
        none.
        """
        order = np.argsort(np.square(self.predicted.astype(np.float64) - self.people).mean(axis=1), kind="stable")
        best, rest = order[:EXAMPLES], order[EXAMPLES:]
        rest, worst = rest[:-EXAMPLES], rest[-EXAMPLES:][::-1]
        start = max(0, len(rest) - EXAMPLES) // 2
        return {"best": best, "middle": rest[start : start + EXAMPLES], "worst": worst}


def find(
    answerer: Answerer,
    galaxies: Galaxies,
    split: Split,
    truth: Answers | None,
    *,
    views: int,
    batch_size: int,
    progress: Callable[[int], None],
) -> Findings:
    """Ask the network about the galaxies held out, of which there is at least one.

    Args:
        answerer, galaxies: on one device.
        truth: the true probabilities by row, float32 [N, 37], or None.
        views: fixed views to average. batch_size: galaxies at a time.
        progress: takes the galaxies done so far.
    """
    parts = (split.train, split.validation)
    train, held_out = (torch.from_numpy(rows).to(galaxies.answers.device) for rows in parts)
    predicted = answerer.answer(galaxies, held_out, views, batch_size, progress)
    people = galaxies.answers[held_out].cpu().numpy()
    mean = galaxies.answers[train].cpu().numpy().mean(axis=0, dtype=np.float64)
    return Findings(
        rows=split.validation,
        predicted=predicted,
        people=people,
        score=score(predicted, people),
        mean_answer=score(np.broadcast_to(mean, people.shape), people),
        noise_floor=None if truth is None else rmse(truth[split.validation], people),
        views=views,
    )
