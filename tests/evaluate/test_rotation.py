"""Rotation consistency: against a loop over poses, and of networks whose answers are known to move or not to."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from galaxy_triton.config.schema import Augmentation
from galaxy_triton.data.galaxies import Galaxies
from galaxy_triton.evaluate.rotation import POSES, RotationConsistency, poses_for, rotation_consistency
from galaxy_triton.model.head import HEADS
from galaxy_triton.model.views import Pose, ViewMaker, fixed_affines
from galaxy_triton.predict.predictor import Predictor, load_predictor

ROWS = torch.arange(5)


class Brightness(nn.Module):
    """Logits by a weighted mean of a view, of another size in each column: weight [S, S]."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, views: Tensor) -> Tensor:
        return (views * self.weight).mean(dim=(1, 2, 3))[:, None] * torch.linspace(2, 16, 37)


@pytest.fixture
def sky_of_noise() -> Galaxies:
    generator = torch.Generator().manual_seed(4)
    pixels = torch.randint(0, 256, (5, 32, 32, 4), dtype=torch.uint8, generator=generator)
    return Galaxies(pixels, torch.arange(5), torch.zeros(5, 37))


@pytest.fixture
def answering(run: Path) -> Callable[[Tensor], Predictor]:
    """answering(weight): a network that answers by the brightness of a view of 16 pixels."""
    real = load_predictor(run, "last", "cpu")

    def make(weight: Tensor) -> Predictor:
        return Predictor(
            Brightness(weight), HEADS["sigmoid"], ViewMaker(Augmentation(size=16)), real.backend, real.config
        )

    return make


def turned(predictor: Predictor, galaxies: Galaxies, views: int) -> RotationConsistency:
    return rotation_consistency(predictor, galaxies, ROWS, views, 2, lambda done, total: None)


def test_it_is_the_rms_over_galaxies_columns_and_poses(
    answering: Callable[[Tensor], Predictor], sky_of_noise: Galaxies
) -> None:
    """A probability in fp32 is within 1e-6 of the exact one in any batch and on any CPU, and so is the RMS."""
    predictor = answering(torch.randn(16, 16, generator=torch.Generator().manual_seed(5)))
    found = turned(predictor, sky_of_noise, 4)
    assert (found.galaxies, list(found.by_views)) == (5, [4, 1])
    for views, (value, low, high) in found.by_views.items():
        still, *others = (
            predictor.answer(sky_of_noise, ROWS, views, 8, lambda done: None, pose=pose).tolist()
            for pose in (Pose(), *poses_for(4))
        )
        squares = [
            (answers[row][column] - still[row][column]) ** 2
            for answers in others
            for row in range(5)
            for column in range(37)
        ]
        assert value == pytest.approx(math.sqrt(sum(squares) / len(squares)), abs=1e-6)
        assert 1e-3 < low < value < high


def test_a_network_that_sees_a_direction_is_inconsistent_and_more_views_help(
    answering: Callable[[Tensor], Predictor], sky_of_noise: Galaxies
) -> None:
    weight = torch.linspace(-1, 1, 16).expand(16, 16)
    found = turned(answering(weight), sky_of_noise, 16).by_views
    assert found[1][0] > 1e-3
    assert found[16][0] < 0.5 * found[1][0]


def test_a_network_that_sees_nothing_is_consistent(
    answering: Callable[[Tensor], Predictor], sky_of_noise: Galaxies
) -> None:
    assert turned(answering(torch.zeros(16, 16)), sky_of_noise, 16).by_views == {16: (0, 0, 0), 1: (0, 0, 0)}


def test_one_view_is_asked_once(answering: Callable[[Tensor], Predictor], sky_of_noise: Galaxies) -> None:
    seen: list[tuple[int, int]] = []
    predictor = answering(torch.ones(16, 16))
    found = rotation_consistency(predictor, sky_of_noise, ROWS, 1, 2, lambda *progress: seen.append(progress))
    assert list(found.by_views) == [1]
    total = 5 * (1 + len(POSES))
    assert seen == [(done, total) for done in range(5, total + 1, 5)]


def off(views: int, pose: Pose) -> float:
    """By how much of the turn between fixed views those of a pose miss the ones that are mirrored as they are."""
    here, there = (fixed_affines(views, 24, 16, torch.device("cpu"), each)[:, :, :2] for each in (Pose(), pose))
    alike = here[here.det() * there[0].det() > 0]
    between = alike.transpose(1, 2) @ there[0]
    turns = torch.atan2(between[:, 1, 0], between[:, 0, 0]).abs() * len(alike) / (2 * math.pi)
    return float(turns.min()) if len(alike) else math.inf


def test_no_pose_nearly_permutes_the_fixed_views() -> None:
    for views in (*range(1, 33), 72, 73, 255, 256):
        poses = poses_for(views)
        assert min(off(views, pose) for pose in poses) > 0.124, views
        assert len({pose.turn for pose in poses}) == len(POSES)
        assert [pose.mirrored for pose in poses] == [pose.mirrored for pose in POSES]


def test_poses_move_by_no_more_than_they_must() -> None:
    """Of 72 views, 10 degrees apart: 110 and 250 degrees are multiples, 65 is halfway. For 16 none moves."""
    assert poses_for(16) == POSES
    moved = [round(360 * pose.turn, 6) for pose in poses_for(72)]
    assert moved == [65, 111.25, 166, 251.25, 327]


def test_poses_of_a_permutation_would_move_nothing(
    answering: Callable[[Tensor], Predictor], sky_of_noise: Galaxies
) -> None:
    """Why the angles are odd: turned by a quarter, or mirrored, a galaxy has the same sixteen views."""
    predictor = answering(torch.linspace(-1, 1, 16).expand(16, 16))
    answers = [
        predictor.answer(sky_of_noise, ROWS, 16, 8, lambda done: None, pose=pose)
        for pose in (Pose(), Pose(0.25), Pose(0, mirrored=True), Pose(0.125, mirrored=True))
    ]
    for other in answers[1:]:
        np.testing.assert_allclose(other, answers[0], atol=1e-6)
