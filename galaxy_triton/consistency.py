"""Consistency: how far a network's answers move when the galaxy itself is turned or mirrored."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from galaxy_triton.answer import Answerer
from galaxy_triton.data import Galaxies
from galaxy_triton.scores import Estimate, root_mean_squares
from galaxy_triton.views import AS_STORED, Pose

GALAXIES = 64  # asked about at most, unless told otherwise
# No angle is near a multiple of that between the fixed views (of 16: 45 degrees), which would only permute them.
DEGREES = {65: False, 110: True, 166: False, 250: True, 327: False}  # and whether mirrored too
POSES = tuple(Pose(angle / 360, mirrored) for angle, mirrored in DEGREES.items())


@dataclass(frozen=True)
class Consistency:
    """How far answers move, by how many fixed views are averaged: the root of the mean of
    (answer of the galaxy in a pose - answer of the galaxy)^2 over galaxies, columns and POSES, with its bootstrap
    interval over galaxies."""

    galaxies: int
    by_views: dict[int, Estimate]


def consistency(
    answerer: Answerer,
    galaxies: Galaxies,
    rows: Tensor,
    views: int,
    batch_size: int,
    progress: Callable[[int, int], None],
) -> Consistency:
    """Ask about galaxies as they are stored and in every one of POSES, with `views` fixed views and with one.

    The views of a turned galaxy are drawn from the stored pixels by one interpolation, so what is measured is the
    network with its views, and not the blur of a file that was turned before. Corners that a turned view takes from
    outside the stored image are filled as in training, and so are part of what is measured.

    Args:
        galaxies, rows (int64 [n >= 1]), batch_size: as `Answerer.answer` takes them.
        progress: takes (poses of galaxies done, in all).
    """
    counts = tuple(dict.fromkeys((views, 1)))
    asked = [(count, pose) for count in counts for pose in (AS_STORED, *POSES)]
    answers = []
    for count, pose in asked:
        answers.append(answerer.answer(galaxies, rows, count, batch_size, lambda done: None, pose=pose))
        progress(len(answers) * len(rows), len(asked) * len(rows))
    # [views, as stored and in each pose, n, 37]
    by_count = np.stack(answers).astype(np.float64).reshape(len(counts), 1 + len(POSES), len(rows), -1)
    squares = np.square(by_count[:, 1:] - by_count[:, :1]).mean(axis=(1, 3))
    return Consistency(len(rows), dict(zip(counts, root_mean_squares(squares.T), strict=True)))
