"""Rotation consistency: how much predictions change when a galaxy is turned or mirrored."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from galaxy_triton.data.galaxies import Galaxies
from galaxy_triton.evaluate.scores import Estimate, root_mean_squares
from galaxy_triton.model.views import AS_STORED, Pose
from galaxy_triton.predict.predictor import Predictor, check_finite

GALAXIES = 64  # turned by default, at most
# Degrees and whether mirrored too. 16 fixed views are 45 degrees apart: a pose near a multiple would only permute them.
DEGREES = {65: False, 110: True, 166: False, 250: True, 327: False}
POSES = tuple(Pose(angle / 360, mirrored) for angle, mirrored in DEGREES.items())
CLEAR = 1 / 8  # least distance of a pose from a multiple of the turn between fixed views, in such turns


@dataclass(frozen=True)
class RotationConsistency:
    """The RMS change of predictions between a galaxy as stored and in every pose.

    galaxies: how many were turned. by_views: by the number of fixed views averaged, the root of the mean squared change
    over galaxies, columns and poses, with its bootstrap interval over galaxies.
    """

    galaxies: int
    by_views: dict[int, Estimate]

    @property
    def poses(self) -> tuple[Pose, ...]:
        """The poses that the galaxies were turned to."""
        return poses_for(max(self.by_views))


def poses_for(views: int) -> tuple[Pose, ...]:
    """POSES for this many fixed views; a pose that would nearly permute them is turned a little further or less."""
    rotations = views // 2 if views % 2 == 0 else views
    return tuple(pose._replace(turn=_clear(pose.turn * rotations) / rotations) for pose in POSES)


def _clear(steps: float) -> float:
    """The number nearest to this one that is at least CLEAR from every whole number."""
    off = steps - round(steps)
    return steps if abs(off) >= CLEAR else round(steps) + math.copysign(CLEAR, off)


def rotation_consistency(
    predictor: Predictor,
    galaxies: Galaxies,
    rows: Tensor,
    views: int,
    batch_size: int,
    progress: Callable[[int, int], None],
) -> RotationConsistency:
    """Predict galaxies as stored and in every pose, averaged over `views` fixed views and over one.

    Each view of a turned galaxy is interpolated once, from the stored pixels, so no blur of an image turned beforehand
    is measured. Corners outside the stored image are filled as in training.

    Args:
        galaxies, rows (int64 [n >= 1]), batch_size: as in `Predictor.answer`.
        progress: called with (poses of galaxies done, in all).

    Raises:
        DataFault: predictions that are not finite.
    """
    counts, poses = tuple(dict.fromkeys((views, 1))), (AS_STORED, *poses_for(views))
    todo = [(count, pose) for count in counts for pose in poses]
    predictions = []
    for count, pose in todo:
        predictions.append(predictor.answer(galaxies, rows, count, batch_size, lambda done: None, pose=pose))
        check_finite(predictions[-1], "the network")
        progress(len(predictions) * len(rows), len(todo) * len(rows))
    # [counts of views, as stored and in each pose, n, 37]
    by_count = np.stack(predictions).astype(np.float64).reshape(len(counts), len(poses), len(rows), -1)
    squares = np.square(by_count[:, 1:] - by_count[:, :1]).mean(axis=(1, 3))
    return RotationConsistency(len(rows), dict(zip(counts, root_mean_squares(squares.T), strict=True)))
