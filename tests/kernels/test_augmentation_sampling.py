"""What views are drawn: their distributions, what they depend on, and the kernel's own draw against sample()."""

import dataclasses
import math

import pytest
import torch
import triton
import triton.language as tl
from torch import Tensor

from galaxy_triton.kernels import AugmentDraw, AugmentParams, Ranges, augment, sample
from galaxy_triton.kernels.augmentation.fused import _corner_constants, _kernel_ranges
from galaxy_triton.kernels.augmentation.fused_draw import draw_affine, draw_jitter
from galaxy_triton.kernels.augmentation.parameters import centred_corner
from tests.kernels.scenes import SIZES, scenes, tolerance

SIDE, SIZE = 24, 16
# Below a quarter turn the flips can be read off the matrix.
RANGES = Ranges(
    rotation=80,
    horizontal_flip=0.5,
    vertical_flip=0.3,
    zoom=1.4,
    shift=2.5,
    random_crop=True,
    brightness=0.2,
    contrast=0.3,
    saturation=0.4,
    hue=0.1,
)
FULL = dataclasses.replace(RANGES, rotation=180)
COUNT = 20_000
PROGRAMS = 30  # of a kernel that draws for one image each


def _draw(ids: Tensor, ranges: Ranges = RANGES, *, seed: int = 2**61 + 3, epoch: int = 5) -> AugmentDraw:
    return AugmentDraw(torch.tensor(seed, device=ids.device), torch.tensor(epoch, device=ids.device), ids, ranges)


def _ids(count: int, device: torch.device) -> Tensor:
    """Below and above 2**32."""
    return torch.arange(count, device=device) * (2**33 // count + 1)


@pytest.fixture(scope="module")
def drawn() -> AugmentParams:
    return sample(_draw(_ids(COUNT, torch.device("cpu"))), side=SIDE, size=SIZE)


@pytest.fixture(scope="module")
def views(drawn: AugmentParams) -> dict[str, Tensor]:
    """The drawn matrices taken apart again: affine = scale R(angle) diag(flips)."""
    matrix = drawn.affine[:, :, :2].double()
    flips = torch.stack((matrix[:, 0, 0].sign(), matrix[:, 1, 1].sign()), dim=1)
    turned = matrix * flips[:, None]
    angle = torch.atan2(turned[:, 1, 0], turned[:, 0, 0]).rad2deg()
    return {"angle": angle, "flips": flips, "log_scale": turned.det().log() / 2}


def _is_uniform(values: Tensor, low: float, high: float) -> bool:
    """Within its bounds, and Kolmogorov's distance below its 1e-6 quantile."""
    slack = 1e-5 * (high - low)
    inside = low - slack <= values.min() and values.max() <= high + slack
    place = (values.double().sort().values - low) / (high - low)
    steps = (torch.arange(len(values)) + 0.5) / len(values)
    return bool(inside and (place - steps).abs().max() < 2.7 / len(values) ** 0.5)


def test_sample_geometry(views: dict[str, Tensor]) -> None:
    assert _is_uniform(views["angle"], -80, 80)
    assert _is_uniform(views["log_scale"], -math.log(1.4), math.log(1.4))
    for flips, chance in zip(views["flips"].unbind(1), (0.5, 0.3), strict=True):
        assert abs((flips < 0).double().mean() - chance) < 5 * (chance * (1 - chance) / COUNT) ** 0.5


def test_sample_shift_and_crop() -> None:
    """The centre of the view shows where it went: with neither turn nor zoom it moves by shift and crop alone."""
    ids = _ids(COUNT, torch.device("cpu"))
    shifted = sample(_draw(ids, Ranges(shift=2.5)), side=SIDE, size=SIZE).affine[:, :, 2] - (SIDE - SIZE) / 2
    assert all(_is_uniform(axis, -2.5, 2.5) for axis in shifted.unbind(1))
    assert torch.corrcoef(shifted.T)[0, 1].abs() < 5 / COUNT**0.5
    corners = sample(_draw(ids, Ranges(random_crop=True)), side=SIDE, size=SIZE).affine[:, :, 2]
    for axis in corners.unbind(1):
        counts = torch.bincount(axis.long(), minlength=SIDE - SIZE + 1)
        assert torch.equal(axis, axis.round())
        assert len(counts) == SIDE - SIZE + 1
        assert (counts / COUNT - 1 / 9).abs().max() < 5 * (1 / 9 / COUNT) ** 0.5


def test_sample_jitter(drawn: AugmentParams) -> None:
    bounds = [(0.8, 1.2), (0.7, 1.3), (0.6, 1.4), (-0.1, 0.1)]
    assert all(_is_uniform(one, *bound) for one, bound in zip(drawn.jitter.unbind(1), bounds, strict=True))
    counts = torch.bincount(drawn.order, minlength=24) / COUNT
    assert len(counts) == 24
    assert (counts - 1 / 24).abs().max() < 5 * (1 / 24 / COUNT) ** 0.5


def test_sample_draws_are_independent(drawn: AugmentParams, views: dict[str, Tensor]) -> None:
    columns = [views["angle"], views["log_scale"], *views["flips"].T, *drawn.jitter.T, drawn.order]
    correlation = torch.corrcoef(torch.stack([column.double() for column in columns]))
    assert (correlation - torch.eye(len(columns))).abs().max() < 5 / COUNT**0.5


def test_sample_without_ranges_changes_nothing(device: torch.device) -> None:
    params = sample(_draw(_ids(5, device), Ranges()), side=SIDE, size=SIZE)
    middle = (SIDE - SIZE) / 2
    assert params.affine.tolist() == [[[1, 0, middle], [0, 1, middle]]] * 5
    assert params.jitter is None
    assert params.order is None


@pytest.mark.parametrize("change", [{"seed": 4}, {"epoch": 6}, {"ids": 1}])
def test_sample_depends_on(change: dict[str, int], device: torch.device) -> None:
    ids = _ids(50, device)
    before = sample(_draw(ids), side=SIDE, size=SIZE)
    ids = ids + change.pop("ids", 0)
    after = sample(_draw(ids, **change), side=SIDE, size=SIZE)
    assert (before.affine != after.affine).flatten(1).any(1).all()
    assert (before.jitter != after.jitter).all()


def test_sample_has_the_same_bits_in_any_batch(device: torch.device) -> None:
    """Vectorised routines treat the last elements of a batch apart; a draw must not show it."""
    ids = _ids(61, device)
    whole = sample(_draw(ids), side=SIDE, size=SIZE)
    for size in (1, 3, 8, 17):
        parts = [sample(_draw(part), side=SIDE, size=SIZE) for part in ids.split(size)]
        for place, column in enumerate(whole):
            assert torch.equal(column, torch.cat([part[place] for part in parts])), AugmentParams._fields[place]


@triton.jit
def _affine_kernel(
    seed_ptr, epoch_ptr, ids_ptr, affine_ptr, turns, horizontal, vertical, log_zoom, shift,
    HEIGHT: tl.constexpr, WIDTH: tl.constexpr, VIEW_HEIGHT: tl.constexpr, VIEW_WIDTH: tl.constexpr,
    CORNER_X: tl.constexpr, CORNER_Y: tl.constexpr, RANDOM_CROP: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    a00, a01, a02, a10, a11, a12 = draw_affine(
        tl.load(seed_ptr), tl.load(epoch_ptr), tl.load(ids_ptr + row), turns, horizontal, vertical, log_zoom, shift,
        HEIGHT, WIDTH, VIEW_HEIGHT, VIEW_WIDTH, CORNER_X, CORNER_Y, RANDOM_CROP,
    )  # fmt: skip
    target = affine_ptr + row * 6
    tl.store(target, a00)
    tl.store(target + 1, a01)
    tl.store(target + 2, a02)
    tl.store(target + 3, a10)
    tl.store(target + 4, a11)
    tl.store(target + 5, a12)


@pytest.mark.parametrize("crop", [{}, {"whole_pixels": True}, {"random_crop": True}])
@pytest.mark.parametrize(("source", "view"), [((SIDE, SIDE), (SIZE, SIZE)), ((33, 47), (20, 32))])
def test_kernel_draws_the_bits_of_sample(
    source: tuple[int, int], view: tuple[int, int], crop: dict[str, bool], device: torch.device
) -> None:
    draw = _draw(_ids(PROGRAMS, device), dataclasses.replace(FULL, **{"random_crop": False, **crop}))
    got = torch.empty(PROGRAMS, 2, 3, device=device)
    numbers = _kernel_ranges(draw.ranges)[:5]
    corner = None if draw.ranges.random_crop else centred_corner(source, view, draw.ranges.whole_pixels)
    constants = {"HEIGHT": source[0], "WIDTH": source[1], "VIEW_HEIGHT": view[0], "VIEW_WIDTH": view[1]}
    constants |= {**_corner_constants(corner), "enable_fp_fusion": False}
    _affine_kernel[(PROGRAMS,)](draw.seed, draw.epoch, draw.ids, got, *numbers, **constants)
    assert torch.equal(got, sample(draw, side=source, size=view).affine)


@triton.jit
def _jitter_kernel(seed_ptr, epoch_ptr, ids_ptr, jitter_ptr, order_ptr, brightness, contrast, saturation, hue):
    row = tl.program_id(0)
    b, c, s, h, order = draw_jitter(
        tl.load(seed_ptr), tl.load(epoch_ptr), tl.load(ids_ptr + row), brightness, contrast, saturation, hue
    )
    target = jitter_ptr + row * 4
    tl.store(target, b)
    tl.store(target + 1, c)
    tl.store(target + 2, s)
    tl.store(target + 3, h)
    tl.store(order_ptr + row, order)


@pytest.mark.parametrize(("seed", "epoch"), [(2**61 + 3, 5), (-7, 2**32 - 1)])
def test_kernel_draws_the_jitter_of_sample(seed: int, epoch: int, device: torch.device) -> None:
    draw = _draw(_ids(PROGRAMS, device), seed=seed, epoch=epoch)
    jitter, order = (
        torch.empty(PROGRAMS, 4, device=device),
        torch.full((PROGRAMS,), -1, dtype=torch.int32, device=device),
    )
    strengths = _kernel_ranges(draw.ranges)[5:]
    _jitter_kernel[(PROGRAMS,)](draw.seed, draw.epoch, draw.ids, jitter, order, *strengths, enable_fp_fusion=False)
    want = sample(draw, side=SIDE, size=SIZE)
    assert torch.equal(jitter, want.jitter)
    assert torch.equal(order, want.order)


@pytest.mark.parametrize(("border", "side", "size"), [("zeros", *SIZES[0]), ("reflect", *SIZES[-1])])
def test_augment_draws_what_sample_draws(border: str, side: int, size: int, impl: str, device: torch.device) -> None:
    """Between them the ids draw many of the 24 orders, so another order, flip or crop would show."""
    pixels = scenes(side, device)
    draw = _draw(_ids(12, device), FULL)
    index = torch.arange(12, device=device) % len(pixels)
    drawn = augment(pixels, index, draw, size=size, border=border, impl=impl)
    params = sample(draw, side=side, size=size)
    assert len(params.order.unique()) >= 8
    given = augment(pixels, index, params, size=size, border=border, impl=impl)
    assert (drawn - given).abs().max() <= tolerance(side, device)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue"])
def test_augment_draws_one_jitter(name: str, device: torch.device) -> None:
    """The kernel leaves out operations of no range; the reference applies them with a factor that does nothing."""
    pixels = scenes(SIDE, device)
    index = torch.arange(4, device=device)
    draw = _draw(index, Ranges(**{name: 0.4}))
    views = [augment(pixels, index, draw, size=SIZE, impl=impl) for impl in ("torch", "triton")]
    assert (views[0] - views[1]).abs().max() <= tolerance(SIDE, device)
