"""Views: the fixed ones against NumPy, the random ones a function of seed, epoch and id."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from galaxy_triton.config.recipes import RECIPES
from galaxy_triton.config.schema import Augmentation
from galaxy_triton.data.feed import batch_of
from galaxy_triton.data.galaxies import Galaxies
from galaxy_triton.evaluate.rotation import POSES
from galaxy_triton.kernels import view_affine
from galaxy_triton.model.views import AS_STORED, Pose, ViewMaker, fixed_affines, training_ranges

CPU = torch.device("cpu")
STILL = Augmentation(size=16)
LIVELY = replace(RECIPES["seed"].augmentation, size=16, zoom=1.2, shift=0.05)


def galaxies(count: int = 6, side: int = 24) -> Galaxies:
    generator = torch.Generator().manual_seed(4)
    pixels = torch.randint(0, 256, (count, side, side, 4), dtype=torch.uint8, generator=generator)
    return Galaxies(pixels, torch.arange(count) * 1003 + 2**40, torch.empty(count, 37))


def fixed(count: int, sky: Galaxies, size: int = 16, pose: Pose = AS_STORED) -> np.ndarray[Any, Any]:
    """All fixed views of all galaxies: [count, N, 3, size, size]."""
    maker, rows = ViewMaker(replace(STILL, size=size)), torch.arange(len(sky.ids))
    affines = fixed_affines(count, sky.pixels.shape[1], size, CPU, pose)
    buffer = maker.empty(len(rows), CPU)
    return np.stack([maker.fixed(batch_of(sky, rows), affine, buffer).numpy().copy() for affine in affines])


def random(augmentation: Augmentation, sky: Galaxies, rows: list[int], seed: int = 1, epoch: int = 0) -> torch.Tensor:
    maker = ViewMaker(augmentation)
    chosen = torch.tensor(rows)
    views = maker.random(batch_of(sky, chosen), torch.tensor(seed), torch.tensor(epoch), maker.empty(len(rows), CPU))
    return views.clone()


@pytest.mark.parametrize("count", [1, 3, 16])
def test_fixed_views_begin_with_the_centred_crop(count: int) -> None:
    sky = galaxies()
    crop = sky.pixels[:, 4:20, 4:20, :3].permute(0, 3, 1, 2).numpy() / 255
    assert fixed(count, sky)[0] == pytest.approx(crop, abs=1e-6)


def test_fixed_views_of_eight_are_the_symmetries_of_the_square() -> None:
    sky = galaxies()
    crop = sky.pixels[:, 4:20, 4:20, :3].permute(0, 3, 1, 2).numpy() / 255
    symmetries = [np.rot90(image, turns, (2, 3)) for image in (crop, crop[..., ::-1]) for turns in range(4)]
    views = fixed(8, sky)
    for view in views:
        assert sum(np.allclose(view, symmetry, atol=2e-6) for symmetry in symmetries) == 1
    for symmetry in symmetries:
        assert sum(np.allclose(view, symmetry, atol=2e-6) for view in views) == 1


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("quarters", [0, 1, 3])
@pytest.mark.parametrize("count", [1, 3, 6])
def test_the_views_of_a_pose_are_those_of_a_turned_copy(count: int, quarters: int, mirrored: bool) -> None:
    """By quarter turns a copy is made without interpolation: turned counter-clockwise, then mirrored."""
    sky = galaxies()
    copy = np.rot90(sky.pixels.numpy(), quarters, (1, 2))
    copy = copy[:, :, ::-1] if mirrored else copy
    want = fixed(count, sky._replace(pixels=torch.from_numpy(copy.copy())))
    assert fixed(count, sky, pose=Pose(quarters / 4, mirrored)) == pytest.approx(want, abs=1e-5)


@pytest.mark.parametrize("pose", POSES)
def test_a_pose_turns_by_any_angle(pose: Pose) -> None:
    """A galaxy of known shape, drawn as stored and turned: its view in the pose is the view of the other."""
    angle = np.deg2rad(360 * pose.turn)
    y, x = np.mgrid[:48, :48] - 23.5
    x = -x if pose.mirrored else x
    # y points down: counter-clockwise as seen
    turned = (x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle))
    still = np.mgrid[:48, :48][::-1] - 23.5
    views = []
    for (along, across), seen in ((still, pose), (turned, Pose())):
        light = 250 * np.exp(-0.5 * (((along - 3) / 7) ** 2 + ((across + 2) / 4) ** 2))
        pixels = torch.from_numpy(np.repeat(light[None, :, :, None], 4, axis=3).astype(np.uint8))
        sky = Galaxies(pixels, torch.arange(1), torch.empty(1, 37))
        views.append(fixed(1, sky, 24, seen))
    assert views[0] == pytest.approx(views[1], abs=0.015)
    assert views[0].max() > 0.9


def test_as_stored_the_fixed_views_have_the_same_bits() -> None:
    assert torch.equal(fixed_affines(16, 24, 16, CPU), fixed_affines(16, 24, 16, CPU, Pose()))
    corner, flips = torch.full((4, 2), 4.0), torch.tensor([[1.0, 1], [1, 1], [-1, 1], [-1, 1]])
    want = view_affine(torch.tensor([0, 0.5, 0, 0.5]), flips, torch.ones(4), torch.zeros(4, 2), corner, side=24)
    assert torch.equal(fixed_affines(4, 24, 16, CPU), want)


@pytest.mark.parametrize("count", [2, 3, 16])
def test_fixed_affines(count: int) -> None:
    """Even: count / 2 evenly spaced turns, each plain and mirrored; odd: count turns. All keep the centre."""
    affines = fixed_affines(count, 25, 16, CPU).double()
    linear, offset = affines[:, :, :2], affines[:, :, 2]
    centre = torch.full((2,), 7.5, dtype=torch.float64)
    assert (linear @ centre + offset - 12).abs().max() < 1e-5
    assert (linear @ linear.mT - torch.eye(2)).abs().max() < 1e-6
    mirrored = torch.linalg.det(linear) < 0
    turns = count // 2 if count % 2 == 0 else count
    assert int(mirrored.sum()) == count - turns
    for kind in (linear[~mirrored], linear[mirrored]):
        angles = torch.atan2(kind[:, 0, 1], kind[:, 1, 1]) / (2 * np.pi) * turns
        assert sorted((angles.round().long() % turns).tolist()) == list(range(turns))[: len(angles)]
        assert ((angles - angles.round()).abs() < 1e-5).all()


def test_random_views_of_a_still_recipe_are_crops() -> None:
    """No rotation, no flips, no shift: each view is one of the 9 x 9 whole-pixel crops, and not always the same."""
    sky = galaxies()
    still = replace(STILL, rotation=0, horizontal_flip=0, vertical_flip=0)
    places = set()
    for epoch in range(20):
        for row, view in enumerate(random(still, sky, list(range(6)), epoch=epoch)):
            image = sky.pixels[row, :, :, :3].permute(2, 0, 1).float() / 255
            crops = image.unfold(1, 16, 1).unfold(2, 16, 1)  # [3, 9, 9, 16, 16]
            matches = ((crops - view[:, None, None]).abs().amax((0, 3, 4)) < 1e-6).nonzero()
            assert len(matches) == 1
            places.add(tuple(matches[0].tolist()))
    assert len(places) > 50


def test_random_views_of_a_centred_recipe_are_the_centre() -> None:
    sky = galaxies()
    still = replace(STILL, rotation=0, horizontal_flip=0, vertical_flip=0, crop="centre")
    assert random(still, sky, list(range(6))).numpy() == pytest.approx(fixed(1, sky)[0], abs=1e-6)


def test_random_views_are_a_function_of_seed_epoch_and_id() -> None:
    """The same bits in any batch, at any place of the store; other views for another seed, epoch or id."""
    sky = galaxies()
    whole = random(LIVELY, sky, [0, 1, 2, 3, 4, 5])
    assert torch.equal(random(LIVELY, sky, [4, 1]), whole[[4, 1]])
    assert torch.equal(random(LIVELY, sky, [3]), whole[3:4])
    turned = Galaxies(sky.pixels.flip(0), sky.ids.flip(0), sky.answers)
    assert torch.equal(random(LIVELY, turned, [0, 1, 2, 3, 4, 5]), whole.flip(0))
    same_pixels = Galaxies(sky.pixels[:1].repeat(6, 1, 1, 1), sky.ids, sky.answers)
    others = [random(LIVELY, sky, [0], seed=2), random(LIVELY, sky, [0], epoch=1)]
    views = torch.cat([random(LIVELY, same_pixels, [0, 1, 2, 3, 4, 5]), *others])
    assert len(torch.unique(views.flatten(1), dim=0)) == 8


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_buffers(dtype: torch.dtype) -> None:
    """A batch smaller than the buffer fills its first places and leaves the rest."""
    maker, sky = ViewMaker(STILL, dtype), galaxies()
    buffer = maker.empty(5, CPU).fill_(7)
    assert (buffer.shape, buffer.dtype) == ((5, 3, 16, 16), dtype)
    assert buffer.is_contiguous(memory_format=torch.channels_last)
    views = maker.random(batch_of(sky, torch.tensor([2, 0])), torch.tensor(1), torch.tensor(0), buffer)
    assert views.data_ptr() == buffer.data_ptr()
    assert views.shape == (2, 3, 16, 16)
    assert (views <= 1).all()
    assert (buffer[2:] == 7).all()


def test_training_ranges() -> None:
    """The recipe's fraction of a side becomes pixels; everything else keeps its unit."""
    ranges = training_ranges(replace(LIVELY, crop="centre", horizontal_flip=0.3), 80)
    assert (ranges.shift, ranges.rotation, ranges.zoom) == (4.0, 180.0, 1.2)
    assert (ranges.horizontal_flip, ranges.vertical_flip, ranges.random_crop) == (0.3, 0.5, False)
    assert ranges.jitter == (0.1, 0.1, 0.1, 0.05)
    assert training_ranges(LIVELY, 80).random_crop


def test_border_reaches_the_kernel() -> None:
    """Turned by an eighth, a white image shows black corners or none."""
    white = Galaxies(torch.full((1, 16, 16, 4), 255, dtype=torch.uint8), torch.tensor([1]), torch.empty(1, 37))
    corner = []
    for border in ("zeros", "reflect"):
        maker = ViewMaker(replace(STILL, border=border))
        still = torch.zeros(1, 2), torch.zeros(1, 2)
        affine = view_affine(torch.tensor([0.125]), torch.ones(1, 2), torch.ones(1), *still, side=16)[0]
        view = maker.fixed(batch_of(white, torch.tensor([0])), affine, maker.empty(1, CPU))
        corner.append(view[0, 0, 0, 0].item())
    assert corner == [0, 1]
