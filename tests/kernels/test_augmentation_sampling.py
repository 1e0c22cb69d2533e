"""sample(): its distributions and its arguments; the kernel draws the same views."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from galaxy_triton.kernels import AugmentDraw, AugmentParams, Ranges, augment, sample
from tests.kernels.scenes import scenes, tolerance

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
    for size in (1, 8, 17):
        parts = [sample(_draw(part), side=SIDE, size=SIZE) for part in ids.split(size)]
        for place, column in enumerate(whole):
            assert torch.equal(column, torch.cat([part[place] for part in parts])), AugmentParams._fields[place]


@pytest.mark.parametrize(("seed", "epoch"), [(2**61 + 3, 5), (-7, 2**32 - 1)])
def test_augment_draws_what_sample_draws(seed: int, epoch: int, impl: str, device: torch.device) -> None:
    """Between them the ids draw many of the 24 orders, so another order, flip or crop would show."""
    pixels = scenes(SIDE, device)
    draw = _draw(_ids(8, device), FULL, seed=seed, epoch=epoch)
    index = torch.arange(8, device=device) % len(pixels)
    drawn = augment(pixels, index, draw, size=SIZE, impl=impl)
    params = sample(draw, side=SIDE, size=SIZE)
    assert len(params.order.unique()) >= 6
    given = augment(pixels, index, params, size=SIZE, impl=impl)
    assert (drawn - given).abs().max() <= tolerance(SIDE, device)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue"])
def test_augment_draws_one_jitter(name: str, device: torch.device) -> None:
    """The kernel leaves out operations of no range; the reference applies them with a factor that does nothing."""
    pixels = scenes(SIDE, device)
    index = torch.arange(4, device=device)
    draw = _draw(index, Ranges(**{name: 0.4}))
    views = [augment(pixels, index, draw, size=SIZE, impl=impl) for impl in ("torch", "triton")]
    assert (views[0] - views[1]).abs().max() <= tolerance(SIDE, device)
