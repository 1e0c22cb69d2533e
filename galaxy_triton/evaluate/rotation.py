"""Consistency: how far a network's answers move when the galaxy itself is turned or mirrored."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from galaxy_triton.data.galaxies import Galaxies
from galaxy_triton.evaluate.scores import Estimate, root_mean_squares
from galaxy_triton.model.views import AS_STORED, Pose
from galaxy_triton.predict.predictor import Predictor, check_finite

GALAXIES = 64  # asked about at most, unless told otherwise
# No angle is near a multiple of that between 16 fixed views (45 degrees), which would only permute them.
DEGREES = {65: False, 110: True, 166: False, 250: True, 327: False}  # and whether mirrored too
POSES = tuple(Pose(angle / 360, mirrored) for angle, mirrored in DEGREES.items())
CLEAR = 1 / 8  # of the turn between fixed views: how far a pose is from its multiples, at least


@dataclass(frozen=True)
class Consistency:
    """How far answers move, by how many fixed views are averaged: the root of the mean of
    (answer of the galaxy in a pose - answer of the galaxy)^2 over galaxies, columns and poses, with its bootstrap
    interval over galaxies."""

    galaxies: int
    by_views: dict[int, Estimate]

    @property
    def poses(self) -> tuple[Pose, ...]:
        """Those the galaxies were turned to."""
        return poses_for(max(self.by_views))


def poses_for(views: int) -> tuple[Pose, ...]:
    """POSES, where so many fixed views are asked for: turned a little further or less where a turn is so near a
    multiple of that between the views that it would hardly do more than permute them."""
    rotations = views // 2 if views % 2 == 0 else views
    return tuple(pose._replace(turn=_clear(pose.turn * rotations) / rotations) for pose in POSES)


def _clear(steps: float) -> float:
    """The number nearest to this one that is at least CLEAR from every whole number."""
    off = steps - round(steps)
    return steps if abs(off) >= CLEAR else round(steps) + math.copysign(CLEAR, off)


def consistency(
    predictor: Predictor,
    galaxies: Galaxies,
    rows: Tensor,
    views: int,
    batch_size: int,
    progress: Callable[[int, int], None],
) -> Consistency:
    """Ask about galaxies as they are stored and in every pose for `views` fixed views, with as many and with one.

    The views of a turned galaxy are drawn from the stored pixels by one interpolation, so what is measured is the
    network with its views, and not the blur of a file that was turned before. Corners that a turned view takes from
    outside the stored image are filled as in training, and so are part of what is measured.

    Args:
        galaxies, rows (int64 [n >= 1]), batch_size: as `Answerer.answer` takes them.
        progress: takes (poses of galaxies done, in all).

    Raises:
        DataFault: answers that are no numbers.
    """
    counts, poses = tuple(dict.fromkeys((views, 1))), (AS_STORED, *poses_for(views))
    asked = [(count, pose) for count in counts for pose in poses]
    answers = []
    for count, pose in asked:
        answers.append(predictor.answer(galaxies, rows, count, batch_size, lambda done: None, pose=pose))
        check_finite(answers[-1], "the network")
        progress(len(answers) * len(rows), len(asked) * len(rows))
    # [views, as stored and in each pose, n, 37]
    by_count = np.stack(answers).astype(np.float64).reshape(len(counts), len(poses), len(rows), -1)
    squares = np.square(by_count[:, 1:] - by_count[:, :1]).mean(axis=(1, 3))
    return Consistency(len(rows), dict(zip(counts, root_mean_squares(squares.T), strict=True)))
