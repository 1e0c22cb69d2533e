"""augment against torchvision's float path and against the float64 oracle, given the same parameters."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as TF
from torch import Tensor
from torchvision.transforms import InterpolationMode

from galaxy_triton.kernels import augment
from tests.kernels import oracle
from tests.kernels.oracle import View
from tests.kernels.scenes import SCENES, SIDE, SIZE, SIZES, scenes, tolerance

JITTERS = ("brightness", "contrast", "saturation", "hue")
IDENTITY = (1.0, 1.0, 1.0, 0.0)
STRONG = (1.3, 0.6, 1.7, 0.21)
# Quarter turns take torchvision's exact paths; their neighbours do not.
ANGLES = [base + near for base in (0, 90, 180, 270) for near in (-0.01, 0, 0.01)] + [-45, 13.7, 123.4]

sizes = pytest.mark.parametrize(("side", "size"), SIZES)


def _torchvision(image: Tensor, view: View, size: int) -> Tensor:
    """uint8 [S, S, 4] -> fp32 [3, size, size] by torchvision, one operation after the other; no zoom, no shift."""
    image = image[..., :3].permute(2, 0, 1).float() / 255
    image = TF.rotate(image, view.angle, InterpolationMode.BILINEAR, fill=None)
    image = TF.hflip(image) if view.flip_x else image
    image = TF.vflip(image) if view.flip_y else image
    image = TF.crop(image, int(view.corner[1]), int(view.corner[0]), size, size)
    if view.factors is not None:
        adjust = (TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation, TF.adjust_hue)
        for operation in list(itertools.permutations(range(4)))[view.order]:
            image = adjust[operation](image, view.factors[operation])
    return image


def _check(
    views: list[View], side: int, size: int, impl: str, device: torch.device, names: tuple[str, ...] = SCENES
) -> None:
    """Every view of every named scene, in one batch, against torchvision and against float64."""
    pixels = scenes(side, device)
    pairs = list(itertools.product([SCENES.index(name) for name in names], views))
    index = torch.tensor([scene for scene, _ in pairs], device=device)
    params = oracle.params([view for _, view in pairs], side, device)
    got = augment(pixels, index, params, size=size, impl=impl)
    for one, (scene, view) in zip(got, pairs, strict=True):
        theirs = (one - _torchvision(pixels[scene], view, size)).abs().max().item()
        errors = {"torchvision": theirs, "float64": _error(one, pixels[scene], view, size)}
        assert all(error <= tolerance(side, device) for error in errors.values()), (errors, SCENES[scene], view)


def _error(got: Tensor, image: Tensor, view: View, size: int, border: str = "zeros") -> float:
    """Largest difference of a view [3, size, size] from float64's."""
    want = oracle.render(image.cpu().numpy(), view, size, border)
    return float(np.abs(got.permute(1, 2, 0).cpu().numpy() - want).max())


@pytest.mark.parametrize("order", range(24))
def test_augment_order(order: int, impl: str, device: torch.device) -> None:
    _check([View(31, True, factors=STRONG, order=order)], SIDE, SIZE, impl, device)


@pytest.mark.parametrize("operation", JITTERS)
def test_augment_one_jitter(operation: str, impl: str, device: torch.device) -> None:
    values = (-0.5, -0.3, 0.001, 0.5) if operation == "hue" else (0.0, 0.3, 1.0, 1.8)
    place = JITTERS.index(operation)
    factors = [(*IDENTITY[:place], value, *IDENTITY[place + 1 :]) for value in values]
    _check([View(factors=one) for one in factors], SIDE, SIZE, impl, device)


@sizes
@pytest.mark.parametrize(("flip_x", "flip_y"), [(True, False), (False, True), (True, True)])
def test_augment_flips(flip_x: bool, flip_y: bool, side: int, size: int, impl: str, device: torch.device) -> None:
    _check([View(20, flip_x, flip_y, corner=(3, 5))], side, size, impl, device, ("noise",))


def test_augment_angles(impl: str, device: torch.device) -> None:
    """Nothing of the source is cropped away, so the whole border is seen."""
    _check([View(angle) for angle in ANGLES], SIDE, SIDE, impl, device, ("smooth", "noise"))


@sizes
def test_augment_crop_corners(side: int, size: int, impl: str, device: torch.device) -> None:
    last = side - size
    corners = [(0, 0), (last, 0), (0, last), (last, last)]
    _check([View(corner=corner) for corner in corners], side, size, impl, device, ("noise",))
    _check([View(-77, corner=(last, 1), factors=STRONG, order=13)], side, size, impl, device)


def test_augment_is_exact_where_nothing_is_interpolated(impl: str, device: torch.device) -> None:
    """Quarter turns, flips and crops of whole pixels only move bytes."""
    pixels = scenes(SIDE, device)[1:2]
    views = [View(angle, flip, corner=(3, 5)) for angle in (0, 90, 180, 270) for flip in (False, True)]
    index = torch.zeros(len(views), dtype=torch.int64, device=device)
    got = augment(pixels, index, oracle.params(views, SIDE, device), size=SIZE, impl=impl)
    want = torch.stack([_torchvision(pixels[0], view, SIZE) for view in views])
    assert torch.equal((got * 255).round(), (want * 255).round())
    assert (got - want).abs().max() <= tolerance(SIDE, device) / 10


ORACLE_VIEWS = [
    View(zoom=1.3),
    View(zoom=1 / 1.5),
    View(shift=(2.25, -3.5)),
    View(200, True, False, 1.1, (-1.7, 0.4), (5, 2)),
    View(77.7, False, True, 0.75, (40, -55), (0, 8)),  # far outside: many reflections
    View(-15, True, True, 1.4, (0.5, 0.5), (8, 8)),
]


@sizes
@pytest.mark.parametrize("border", ["zeros", "reflect"])
def test_augment_zoom_shift_and_border(border: str, side: int, size: int, impl: str, device: torch.device) -> None:
    views = [dataclasses.replace(view, factors=STRONG, order=3 * k) for k, view in enumerate(ORACLE_VIEWS)]
    pixels, names = scenes(side, device), SCENES if (side, size) == (SIDE, SIZE) else ("noise",)
    for scene in names:
        image = pixels[SCENES.index(scene)]
        index = torch.zeros(len(views), dtype=torch.int64, device=device)
        got = augment(image[None], index, oracle.params(views, side, device), size=size, border=border, impl=impl)
        for one, view in zip(got, views, strict=True):
            error = _error(one, image, view, size, border)
            assert error <= tolerance(side, device), (error, scene, view)


# One pixel, odd sides, a view larger than the source, a row and a pixel more than a tile of the kernel.
ANY_SIZES = [(1, 1), (1, 6), (6, 1), (2, 3), (7, 5), (5, 33), (33, 32), (34, 45)]


@pytest.mark.parametrize("border", ["zeros", "reflect"])
@pytest.mark.parametrize(("side", "size"), ANY_SIZES)
def test_augment_any_size(side: int, size: int, border: str, impl: str, device: torch.device) -> None:
    middle = ((side - size) / 2,) * 2
    turned = View(33, True, zoom=1.2, shift=(0.3, -0.2), corner=middle, factors=STRONG, order=13)
    noise, index = scenes(side, device)[1], torch.zeros(1, dtype=torch.int64, device=device)
    for view in (View(corner=middle), turned):
        given = oracle.params([view], side, device)
        got = augment(noise[None], index, given, size=size, border=border, impl=impl)
        assert _error(got[0], noise, view, size, border) <= tolerance(side, device)


def test_augment_without_jitter(impl: str, device: torch.device) -> None:
    """No factors: the warp alone, in [0, 1]."""
    pixels, view = scenes(SIDE, device), View(50, zoom=1.2)
    params = oracle.params([view] * len(SCENES), SIDE, device)
    got = augment(pixels, torch.arange(len(SCENES), device=device), params, size=SIZE, impl=impl)
    for one, image in zip(got, pixels, strict=True):
        assert _error(one, image, view, SIZE) <= tolerance(SIDE, device)


def test_oracle_agrees_with_torchvision() -> None:
    """The oracle is code too: both references give one answer where both are defined."""
    pixels = scenes(SIDE, torch.device("cpu"))
    view = View(33, True, True, corner=(1, 7), factors=STRONG, order=20)
    for image in pixels:
        want = _torchvision(image, view, SIZE).permute(1, 2, 0).numpy()
        assert np.abs(oracle.render(image.numpy(), view, SIZE) - want).max() <= 5e-5
