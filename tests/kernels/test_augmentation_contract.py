"""Promises of augment for any view: memory, dtypes, bits that do not depend on the batch, launches."""

import dataclasses
import itertools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from galaxy_triton.kernels import AugmentDraw, AugmentParams, Ranges, augment
from galaxy_triton.kernels.augmentation import IMPLEMENTATIONS, fused, fused_image, reference
from tests.kernels import oracle
from tests.kernels.oracle import View
from tests.kernels.scenes import SIDE, SIZE, scenes, tolerance

RANGES = Ranges(180, 0.5, 0.5, 1.2, 2.0, True, 0.3, 0.3, 0.3, 0.1)
INTERPRETED = not torch.cuda.is_available()


def _draw(ids: Tensor, ranges: Ranges = RANGES) -> AugmentDraw:
    return AugmentDraw(torch.tensor(9, device=ids.device), torch.tensor(2, device=ids.device), ids, ranges)


def _params(count: int, device: torch.device, side: int = SIDE) -> AugmentParams:
    factors = (1.2, 0.8, 1.3, 0.1)
    views = [View(40 * k, k % 2 == 1, zoom=1.1, corner=(k % 5, 3), factors=factors, order=k) for k in range(count)]
    return oracle.params(views, side, device)


@pytest.mark.parametrize(("source", "count", "layout"), [("params", 0, 3), ("draw", 5, 4)])
def test_augment_shape_and_memory(source: str, count: int, layout: int, impl: str, device: torch.device) -> None:
    index = torch.arange(count, device=device) % 4
    given = _params(count, device) if source == "params" else _draw(index)
    views = augment(scenes(SIDE, device), index, given, size=SIZE, layout=layout, impl=impl)
    assert views.shape == (count, layout, SIZE, SIZE)
    assert views.dtype == torch.float32
    assert views.is_contiguous(memory_format=torch.channels_last)
    assert not views.isnan().any()
    assert (views[:, 3:] == 0).all()


@pytest.mark.parametrize("layout", [3, 4])
def test_augment_fills_out(layout: int, impl: str, device: torch.device) -> None:
    """All of `out`, and nothing beside it: its rows lie between others."""
    pixels, index = scenes(SIDE, device), torch.arange(3, device=device)
    buffer = torch.empty((5, layout, SIZE, SIZE), device=device, memory_format=torch.channels_last)
    assert buffer.isnan().all()
    got = augment(pixels, index, _params(3, device), size=SIZE, out=buffer[1:4], impl=impl)
    assert got.data_ptr() == buffer[1:4].data_ptr()
    assert torch.equal(buffer[1:4], augment(pixels, index, _params(3, device), size=SIZE, layout=layout, impl=impl))
    assert buffer[0].isnan().all()
    assert buffer[4].isnan().all()


def test_augment_ignores_the_fourth_byte(impl: str, device: torch.device) -> None:
    pixels, index = scenes(SIDE, device), torch.arange(4, device=device)
    want = augment(pixels, index, _params(4, device), size=SIZE, impl=impl)
    pixels[..., 3] = 255
    assert torch.equal(augment(pixels, index, _params(4, device), size=SIZE, impl=impl), want)


def test_augment_normalises(impl: str, device: torch.device) -> None:
    """After the colours; the channel that layout 4 adds stays zero."""
    pixels, index = scenes(SIDE, device), torch.arange(4, device=device)
    mean, std = (0.1, 0.5, 0.9), (0.5, 2.0, 0.25)
    plain = augment(pixels, index, _params(4, device), size=SIZE, impl=impl)
    got = augment(pixels, index, _params(4, device), size=SIZE, mean=mean, std=std, layout=4, impl=impl)
    columns = [torch.tensor(values, device=device)[:, None, None] for values in (mean, std)]
    want = (plain - columns[0]) / columns[1]
    assert ((got[:, :3] - want).abs() <= 1e-6 * (1 + want.abs())).all()
    assert (got[:, 3] == 0).all()


# The interpreter truncates where a GPU and torch round.
_BF16 = pytest.param(torch.bfloat16, marks=pytest.mark.skipif(INTERPRETED, reason="the interpreter truncates bfloat16"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_augment_layouts_hold_the_same_views(dtype: torch.dtype, impl: str, device: torch.device) -> None:
    """Below zero too, bit for bit, and the fourth channel is zero; in whatever way the types are written."""
    pixels, index, given = scenes(SIDE, device), torch.arange(4, device=device), _params(4, device)
    options = {"size": SIZE, "mean": (0.4, 0.5, 0.6), "dtype": dtype, "impl": impl}
    three, four = (augment(pixels, index, given, layout=layout, **options) for layout in (3, 4))
    assert (three < 0).any()
    assert torch.equal(four[:, :3], three)
    assert (four[:, 3] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, _BF16])
def test_augment_rounds_once(dtype: torch.dtype, impl: str, device: torch.device) -> None:
    pixels, index = scenes(SIDE, device), torch.arange(4, device=device)
    exact = augment(pixels, index, _params(4, device), size=SIZE, mean=(0.5,) * 3, impl=impl)
    got = augment(pixels, index, _params(4, device), size=SIZE, mean=(0.5,) * 3, dtype=dtype, impl=impl)
    assert got.dtype == dtype
    assert torch.equal(got, exact.to(dtype))


# A part of a tile; several tiles and a part, every option another.
BATCHES = [
    ("params", SIDE, SIZE, {}),
    ("draw", 40, 35, {"border": "reflect", "layout": 4, "dtype": torch.float16, "mean": (0.5,) * 3}),
]


@pytest.mark.parametrize(("source", "side", "size", "options"), BATCHES, ids=["plain", "tiles"])
def test_augment_has_the_same_bits_in_any_batch(
    source: str, side: int, size: int, options: dict, impl: str, device: torch.device
) -> None:
    """Parts of a permutation, and some of the images again among others."""
    pixels, index = scenes(side, device), torch.arange(4, device=device)
    params, ids = _params(4, device, side), index * 3 + 2**33

    def views(rows: Tensor) -> Tensor:
        chosen = AugmentParams(*(column[rows] for column in params)) if source == "params" else _draw(ids[rows])
        return augment(pixels, index[rows], chosen, size=size, **options, impl=impl)

    whole = views(index)
    for rows in ([3, 0, 2], [1], [2, 2, 0]):
        assert torch.equal(views(torch.tensor(rows, device=device)), whole[rows])


@pytest.fixture
def two_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("two_threads")
def test_contrast_has_the_same_bits_in_any_batch(device: torch.device) -> None:
    """At a size where torch.mean divides a single image among threads, but several by image."""
    images = torch.rand(5, 3, 224, 224, generator=torch.Generator().manual_seed(0)).to(device)
    factors = torch.full((5,), 0.5, device=device)
    alone = [reference.contrast(image, factor) for image, factor in zip(images.split(1), factors.split(1), strict=True)]
    assert torch.equal(torch.cat(alone), reference.contrast(images, factors))


class Calls(TorchDispatchMode):
    """Every operator that torch dispatches."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(str(func))
        return func(*args, **kwargs or {})


@pytest.mark.parametrize("source", ["params", "draw"])
def test_augment_is_one_launch(source: str, launches, device: torch.device) -> None:
    """Of the one kernel; on the CPU torch looks at the values given, and computes nothing beside it."""
    pixels, index = scenes(SIDE, device), torch.arange(4, device=device)
    views = _params(4, device) if source == "params" else _draw(index)
    out = torch.empty((4, 3, SIZE, SIZE), device=device, memory_format=torch.channels_last)
    launched = launches(fused)
    with Calls() as calls:
        augment(pixels, index, views, size=SIZE, out=out, impl="triton")
    assert [(one.kernel, one.grid[0]) for one in launched] == [(f"_{source}_kernel", 4)]
    looks = ("view", "amin", "amax", "_local_scalar_dense")
    computed = [name for name in calls.names if not any(look in name for look in looks)]
    assert computed == [f"galaxy_triton.augment_{source}.default"]


NOTHING = Ranges(180, 0.5, 0.5, 1.2, 2.0, True)
JITTERS = ("brightness", "contrast", "saturation", "hue")


@pytest.mark.skipif(not INTERPRETED, reason="a compiled kernel holds what it calls")
@pytest.mark.parametrize(("jitters", "passes"), [(JITTERS, 4), (("brightness", "saturation", "hue"), 0), (None, 0)])
def test_augment_takes_the_mean_only_for_contrast(
    jitters: tuple[str, ...] | None, passes: int, monkeypatch: pytest.MonkeyPatch, device: torch.device
) -> None:
    """None: the views of an evaluation, whose parameters are given."""
    walked = []
    mean_grey = fused_image._mean_grey
    monkeypatch.setattr(fused_image, "_mean_grey", lambda *given: walked.append(1) or mean_grey(*given))
    index = torch.arange(4, device=device)
    drawn = _draw(index, dataclasses.replace(NOTHING, **dict.fromkeys(jitters or (), 0.1)))
    given = AugmentParams(_params(4, device).affine) if jitters is None else drawn
    augment(scenes(SIDE, device), index, given, size=SIZE, impl="triton")
    assert len(walked) == passes


@pytest.mark.parametrize("asked", [*itertools.combinations(JITTERS, 1), JITTERS[1:], ()])
def test_augment_compiles_the_drawn_jitters_alone(asked: tuple[str, ...], launches, device: torch.device) -> None:
    """The jitters are a constant of the kernel, a bit for each of some strength."""
    index, launched = torch.arange(1, device=device), launches(fused)
    draw = _draw(index, dataclasses.replace(NOTHING, **dict.fromkeys(asked, 0.1)))
    augment(scenes(SIDE, device), index, draw, size=SIZE, impl="triton")
    assert [one.constants["OPERATIONS"] for one in launched] == [sum(1 << JITTERS.index(name) for name in asked)]


def _op_arguments(device: torch.device) -> dict[str, tuple]:
    pixels, index = scenes(SIDE, device), torch.arange(2, device=device)
    out = torch.zeros((2, 3, SIZE, SIZE), device=device).contiguous(memory_format=torch.channels_last)
    rest = ([0.0] * 3, [1.0] * 3, False, out)
    draw = _draw(index)
    numbers = fused._kernel_ranges(RANGES)
    return {
        "augment_params": (pixels, index, *_params(2, device), *rest),
        "augment_draw": (pixels, index, draw.seed, draw.epoch, draw.ids, numbers, None, *rest),
    }


@pytest.mark.parametrize(("name", "source"), [("augment_params", "batch"), ("augment_draw", "store")])
def test_ops_are_registered_soundly(name: str, source: str, device: torch.device) -> None:
    arguments = _op_arguments(device)[name]
    if source == "batch":
        arguments = (torch.rand(2, 3, SIDE, SIDE + 1, device=device), None, *arguments[2:])
    torch.library.opcheck(getattr(torch.ops.galaxy_triton, name).default, arguments)


def test_augment_inside_a_compiled_graph(device: torch.device) -> None:
    """Opaque to the compiler, and no break of the graph."""
    pixels, index = scenes(SIDE, device), torch.arange(4, device=device)

    def step(ids: Tensor) -> Tensor:
        return augment(pixels, index, _draw(ids), size=SIZE, impl="triton") * 2

    want = step(index)
    assert torch.equal(torch.compile(step, fullgraph=True, backend="aot_eager")(index), want)


def test_augment_compile_traces_the_reference(monkeypatch: pytest.MonkeyPatch, device: torch.device) -> None:
    """The function that torch.compile traces, run in eager: it computes every operation and keeps the chosen."""
    monkeypatch.setitem(IMPLEMENTATIONS, "compile", lambda: reference.augment_by_mask)
    pixels, index = scenes(SIDE, device), torch.arange(4, device=device)
    views = [augment(pixels, index, _draw(index), size=SIZE, impl=impl) for impl in ("torch", "compile")]
    assert torch.equal(*views)


@pytest.mark.slow  # 20 to 40 s for each border on a CPU
@pytest.mark.parametrize("border", ["zeros", "reflect"])
def test_augment_compiled(border: str, device: torch.device) -> None:
    pixels, index = scenes(SIDE, device), torch.arange(4, device=device)
    views = [augment(pixels, index, _draw(index), size=SIZE, border=border, impl=impl) for impl in ("torch", "compile")]
    assert (views[0] - views[1]).abs().max() <= tolerance(SIDE, device)
