"""augment against the float64 oracle and against torchvision, given the same parameters."""

import dataclasses
import itertools

import pytest
import torch
from torch import Tensor

from galaxy_triton.kernels import augment
from tests.kernels import oracle
from tests.kernels.oracle import View
from tests.kernels.scenes import SCENES, SIDE, SIZE, SIZES, scenes, tolerance

JITTERS = ("brightness", "contrast", "saturation", "hue")
IDENTITY = (1.0, 1.0, 1.0, 0.0)
STRONG = (1.3, 0.6, 1.7, 0.21)
# Quarter turns take torchvision's exact paths; their neighbours do not.
ANGLES = [base + near for base in (0, 90, 180, 270) for near in (-0.01, 0, 0.01)] + [-45, 13.7, 123.4]


def _check(
    views: list[View],
    side: int,
    size: int,
    impl: str,
    device: torch.device,
    names: tuple[str, ...] = SCENES,
    border: str = "zeros",
) -> None:
    """Every view of every named scene, in one batch, against float64."""
    pixels = scenes(side, device)
    pairs = list(itertools.product([SCENES.index(name) for name in names], views))
    index = torch.tensor([scene for scene, _ in pairs], device=device)
    params = oracle.params([view for _, view in pairs], side, device)
    got = augment(pixels, index, params, size=size, border=border, impl=impl)
    for one, (scene, view) in zip(got.cpu(), pairs, strict=True):
        error = (one - oracle.render(_planes(pixels)[scene].cpu(), view, size, border)).abs().max()
        assert error <= tolerance(side, device), (error, SCENES[scene], view)


def _planes(pixels: Tensor) -> Tensor:
    """Images [N, H, W, 4] as [N, 3, H, W]."""
    return pixels[..., :3].permute(0, 3, 1, 2)


def test_augment_orders(impl: str, device: torch.device) -> None:
    orders = [View(31, True, factors=STRONG, order=order) for order in range(24)]
    _check(orders, SIDE, SIZE, impl, device, ("noise",))


@pytest.mark.parametrize("operation", JITTERS)
def test_augment_one_jitter(operation: str, impl: str, device: torch.device) -> None:
    values = (-0.5, 0.001, 0.3) if operation == "hue" else (0.0, 0.3, 1.8)
    place = JITTERS.index(operation)
    factors = [(*IDENTITY[:place], value, *IDENTITY[place + 1 :]) for value in values]
    _check([View(factors=one) for one in factors], SIDE, SIZE, impl, device)


@pytest.mark.parametrize("angle", ANGLES)
def test_augment_is_torchvisions_warp(angle: float, impl: str, device: torch.device) -> None:
    """Nothing of the source is cropped away, so the whole border is seen; without flips, with each, and with both."""
    noise, index = scenes(SIDE, device)[1:2], torch.zeros(4, dtype=torch.int64, device=device)
    views = [View(angle, *flips) for flips in itertools.product((False, True), repeat=2)]
    got = augment(noise, index, oracle.params(views, SIDE, device), size=SIDE, impl=impl)
    want = torch.stack([oracle.warp(_planes(noise)[0].float() / 255, view, SIDE) for view in views])
    assert (got - want).abs().max() <= tolerance(SIDE, device)


@pytest.mark.parametrize(("side", "size"), SIZES)
def test_augment_crop_corners(side: int, size: int, impl: str, device: torch.device) -> None:
    last = side - size
    corners = [(0, 0), (last, 0), (0, last), (last, last)]
    _check([View(corner=corner) for corner in corners], side, size, impl, device, ("noise",))
    _check([View(-77, corner=(last, 1), factors=STRONG, order=13)], side, size, impl, device, ("noise", "ties"))


def test_augment_is_exact_where_nothing_is_interpolated(impl: str, device: torch.device) -> None:
    """Quarter turns, flips and crops of whole pixels only move bytes."""
    pixels = scenes(SIDE, device)[1:2]
    views = [View(angle, flip, corner=(3, 5)) for angle in (0, 90, 180, 270) for flip in (False, True)]
    index = torch.zeros(len(views), dtype=torch.int64, device=device)
    got = augment(pixels, index, oracle.params(views, SIDE, device), size=SIZE, impl=impl)
    want = torch.stack([oracle.warp(_planes(pixels)[0].float() / 255, view, SIZE) for view in views])
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


@pytest.mark.parametrize("border", ["zeros", "reflect"])
def test_augment_zoom_shift_and_border(border: str, impl: str, device: torch.device) -> None:
    views = [dataclasses.replace(view, factors=STRONG, order=3 * k) for k, view in enumerate(ORACLE_VIEWS)]
    _check(views, SIDE, SIZE, impl, device, ("noise",), border)


# One pixel, odd sides, a view larger than the source, a row and a pixel more than a tile of the kernel.
ANY_SIZES = [(1, 1), (1, 6), (6, 1), (7, 5), (33, 32), (34, 45)]


@pytest.mark.parametrize("border", ["zeros", "reflect"])
@pytest.mark.parametrize(("side", "size"), ANY_SIZES)
def test_augment_any_size(side: int, size: int, border: str, impl: str, device: torch.device) -> None:
    middle = ((side - size) / 2,) * 2
    view = View(33, True, zoom=1.2, shift=(0.3, -0.2), corner=middle, factors=STRONG, order=13)
    _check([view], side, size, impl, device, ("noise",), border)
