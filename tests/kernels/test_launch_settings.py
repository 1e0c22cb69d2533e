"""Launch settings change the speed and nothing else: how many programs share the work, and how much each takes."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from galaxy_triton.kernels import AugmentDraw, AugmentParams, Ranges, augment
from galaxy_triton.kernels.augmentation import fused
from galaxy_triton.kernels.launch_settings import BY_GPU, Launch, Settings
from tests.kernels import oracle
from tests.kernels.oracle import View
from tests.kernels.scenes import scenes, tolerance

SIDE, SIZE = 40, 35  # four tiles of 256 pixels and a part of a fifth
COUNT = 2
Set = Callable[..., None]


@pytest.fixture
def tiles_of(monkeypatch: pytest.MonkeyPatch) -> Set:
    """tiles_of(pixels, multiprocessors): as if these were the settings of augment, and the GPU had so many."""

    def choose(pixels: int, multiprocessors: int) -> None:
        monkeypatch.setattr(fused, "settings", lambda device: Settings(augment=Launch(pixels, 4)))
        monkeypatch.setattr(fused, "_multiprocessors", lambda device: multiprocessors)

    return choose


def _views(source: str, contrast: float, device: torch.device, **options: object) -> Tensor:
    """Of noise and of grey, each in an order of its own; params have all jitters, a draw those of some strength."""
    index, factors = torch.arange(COUNT, device=device) + 1, (1.2, 0.8, 1.3, 0.1)
    views = [View(40 * k, k == 1, zoom=1.1, corner=(k, 3), factors=factors, order=7 * k) for k in range(COUNT)]
    given: AugmentParams | AugmentDraw = oracle.params(views, SIDE, device)
    if source == "draw":
        ranges = Ranges(180, 0.5, 0.5, 1.2, 2.0, True, 0.3, contrast, 0.3, 0.1)
        given = AugmentDraw(torch.tensor(9, device=device), torch.tensor(2, device=device), index, ranges)
    return augment(scenes(SIDE, device), index, given, size=SIZE, impl="triton", **options)


HALF, WIDE = {"border": "reflect", "layout": 4, "dtype": torch.float16}, {"layout": 4, "mean": (0.5,) * 3}


@pytest.mark.parametrize(("source", "contrast", "options"), [("params", 0.3, WIDE), ("draw", 0.3, HALF)])
def test_programs_that_share_an_image_give_the_same_bits(
    source: str, contrast: float, options: dict, tiles_of: Set, launches, device: torch.device
) -> None:
    """One, and four of them, where a tile is left over."""
    launched, seen = launches(fused), []
    for programs in (1, 4):
        tiles_of(256, programs * COUNT)
        seen.append(_views(source, contrast, device, **options))
        assert launched[-1].grid == (COUNT, programs)
    assert not seen[0].isnan().any()
    assert torch.equal(*seen)


@pytest.mark.parametrize("contrast", [0.3, 0.0])
def test_tiles_of_any_size_give_the_same_views(contrast: float, tiles_of: Set, device: torch.device) -> None:
    """The mean of the grey image is summed in another order, so only views without contrast have the same bits."""
    usual = _views("draw", contrast, device)
    for tile in (128, 2048):
        tiles_of(tile, 1)
        error = (_views("draw", contrast, device) - usual).abs().max()
        assert error <= (tolerance(SIDE, device) if contrast else 0)


@pytest.mark.parametrize(
    ("multiprocessors", "tile", "programs"),
    [(3, 256, 1), (7, 256, 2), (8, 256, 4), (132, 256, 4), (132, 4096, 1)],
)
def test_images_are_shared_where_multiprocessors_are_idle(
    multiprocessors: int, tile: int, programs: int, tiles_of: Set, launches, device: torch.device
) -> None:
    """Among a power of two, at most one for each tile and all together at most one for each multiprocessor."""
    tiles_of(tile, multiprocessors)
    launched, index = launches(fused), torch.arange(COUNT, device=device)
    still = oracle.params([View()] * COUNT, SIDE, device)
    augment(scenes(SIDE, device), index, still, size=SIZE, impl="triton")
    assert [one.grid for one in launched] == [(COUNT, programs)]


def test_every_gpu_has_settings_that_fit() -> None:
    """A tile is a power of two, and a program alone takes whole tiles."""
    for chosen in (Settings(), *BY_GPU.values()):
        for launch in (chosen.augment, chosen.sigmoid, chosen.tree, chosen.norm_pool):
            assert launch.tile.bit_count() == launch.warps.bit_count() == 1
            assert launch.alone % launch.tile == 0
