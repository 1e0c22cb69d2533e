"""RandomView: torchvision's views of any batch, each image's its own, and the same again by (seed, epoch, id)."""

import itertools
import math

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as TF
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset
from torchvision.transforms import InterpolationMode, v2

from galaxy_triton.kernels import AugmentDraw, AugmentParams, RandomView, Ranges, random_view, sample, view_affine
from galaxy_triton.kernels.augmentation import IMPLEMENTATIONS, fused, reference
from tests.kernels import oracle
from tests.kernels.oracle import View
from tests.kernels.scenes import SOURCE, VIEW, tolerance

HEIGHT, WIDTH = SOURCE
LIVELY = {"degrees": 180, "flips": (0.5, 0.5), "zoom": 1.2, "shift": 2.0, "jitter": (0.4, 0.4, 0.4, 0.2)}
DTYPES = (torch.uint8, torch.float32, torch.float16, torch.bfloat16)
STRONG = (1.3, 0.6, 1.7, 0.21)


def images(
    count: int, device: torch.device, dtype: torch.dtype = torch.uint8, size: tuple[int, int] = SOURCE
) -> Tensor:
    """Noise [count, 3, *size]; the first images are saturated, so that channels tie."""
    noise = torch.randint(0, 256, (count, 3, *size), generator=torch.Generator().manual_seed(count))
    noise[:2] = noise[:2] // 128 * 255
    pixels = noise.to(torch.uint8) if dtype == torch.uint8 else (noise / 255).to(dtype)
    return pixels.to(device)


def on(device: torch.device, size: object = VIEW, **options: object) -> RandomView:
    return RandomView(size, **options).to(device)


def scaled(image: Tensor) -> Tensor:
    return TF.to_dtype(image, torch.float32, scale=True)


def adjusted(image: Tensor, factors: tuple[float, ...], order: int) -> Tensor:
    """torchvision's four colour operations, one after the other."""
    adjust = (TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation, TF.adjust_hue)
    for operation in list(itertools.permutations(range(4)))[order]:
        image = adjust[operation](image, factors[operation])
    return image


def view_of(
    batch: Tensor, params: AugmentParams, impl: str, size: tuple[int, int] = VIEW, border: str = "zeros"
) -> Tensor:
    """What RandomView calls, given the parameters instead of a draw."""
    out = torch.empty((len(batch), 3, *size), device=batch.device, memory_format=torch.channels_last)
    IMPLEMENTATIONS[impl]()(batch, None, params, (0.0,) * 3, (1.0,) * 3, border, out)
    return out


def params_of(
    angle: float, corner: tuple[int, int], factors: tuple[float, ...] | None, orders: list[int], device: torch.device
) -> AugmentParams:
    """One view, with its colour operations in each of the orders; both axes are flipped."""
    count = len(orders)
    numbers = (torch.full((count,), angle / 360), -torch.ones(count, 2), torch.ones(count), torch.zeros(count, 2))
    affine = view_affine(*numbers, torch.tensor([corner] * count, dtype=torch.float32), side=SOURCE).to(device)
    if factors is None:
        return AugmentParams(affine)
    order = torch.tensor(orders, dtype=torch.int32, device=device)
    return AugmentParams(affine, torch.tensor([factors] * count, device=device), order)


@pytest.mark.parametrize(("angle", "dtype"), [*zip((0, 0.01, 90, 180), DTYPES, strict=True), (-37, torch.uint8)])
def test_view_is_torchvisions(angle: float, dtype: torch.dtype, impl: str, device: torch.device) -> None:
    """Turned, flipped twice, cropped at each corner and recoloured, where an image is not square."""
    image = images(1, device, dtype)
    turned = TF.vflip(TF.hflip(TF.rotate(scaled(image), angle, InterpolationMode.BILINEAR, fill=None)))
    for corner in itertools.product((0, SOURCE[1] - VIEW[1]), (0, SOURCE[0] - VIEW[0])):
        want = adjusted(TF.crop(turned, corner[1], corner[0], *VIEW), STRONG, 13)
        got = view_of(image, params_of(angle, corner, STRONG, [13], device), impl)
        assert (got - want).abs().max() <= tolerance(max(SOURCE), device)


def test_orders_are_torchvisions(impl: str, device: torch.device) -> None:
    """All 24 in one batch."""
    batch = images(24, device)
    got = view_of(batch, params_of(0, (4, 9), STRONG, list(range(24)), device), impl)
    flipped = TF.crop(TF.vflip(TF.hflip(scaled(batch))), 9, 4, *VIEW)
    want = torch.stack([adjusted(image, STRONG, order) for order, image in enumerate(flipped)])
    assert (got - want).abs().max() <= tolerance(max(SOURCE), device)


@pytest.mark.parametrize("place", range(4))
def test_each_jitter_is_torchvisions(place: int, impl: str, device: torch.device) -> None:
    factors = [1.0, 1.0, 1.0, 0.0]
    factors[place] = STRONG[place]
    batch = images(2, device, torch.float32)
    got = view_of(batch, params_of(0, (0, 0), tuple(factors), [0, 0], device), impl)
    want = adjusted(TF.crop(TF.vflip(TF.hflip(batch)), 0, 0, *VIEW), tuple(factors), 0)
    assert (got - want).abs().max() <= tolerance(max(SOURCE), device)


# One row, a view that is the larger in height or in width, both odd.
@pytest.mark.parametrize(("source", "size"), [((1, 9), (4, 2)), ((40, 5), (3, 41)), (SOURCE, VIEW)])
@pytest.mark.parametrize("border", ["zeros", "reflect"])
def test_view_is_float64s(
    border: str, source: tuple[int, int], size: tuple[int, int], impl: str, device: torch.device
) -> None:
    """Zoomed and shifted too, where an image is not square."""
    view, batch = View(-130, True, False, 0.8, (1.3, -0.6), (2, 1), STRONG, 13), images(3, device, size=source)
    got = view_of(batch, oracle.params([view] * 3, source, device), impl, size, border)
    for one, image in zip(got.permute(0, 2, 3, 1), batch.permute(0, 2, 3, 1), strict=True):
        want = oracle.render(image.cpu().numpy(), view, size, border)
        assert np.abs(one.cpu().numpy() - want).max() <= tolerance(max(source), device)


CENTRES = [VIEW, SOURCE, (HEIGHT - 1, WIDTH - 1), (8, 5), (HEIGHT + 7, WIDTH + 13), (HEIGHT - 5, WIDTH + 7), 21]


@pytest.mark.parametrize("size", CENTRES)
def test_eval_is_torchvisions_centre_crop(size: object, impl: str, device: torch.device) -> None:
    """Whole pixels, also where one more lies on one side than on the other, and where the view is the larger."""
    batch = images(1, device)
    mean, std = (0.1, 0.5, 0.9), (0.5, 2.0, 0.25)
    view = on(device, size, **LIVELY, mean=mean, std=std, impl=impl).eval()
    want = TF.normalize(TF.center_crop(scaled(batch), size), list(mean), list(std))
    assert (view(batch) - want).abs().max() <= tolerance(max(SOURCE), device) / min(std)
    assert torch.equal(view(batch), view(batch))
    assert view.step == 0


def test_centre_is_the_same_in_training_and_eval(impl: str, device: torch.device) -> None:
    view = on(device, impl=impl)
    batch = images(3, device)
    assert torch.equal(view(batch), view.eval()(batch))


@pytest.mark.parametrize("border", ["zeros", "reflect"])
@pytest.mark.parametrize("crop", ["centre", "random"])
def test_implementations_agree(crop: str, border: str, device: torch.device) -> None:
    """And both draw what sample() draws for (seed, epoch, ids)."""
    batch, ids = images(6, device), torch.arange(6, device=device) * 2**31
    views = [on(device, **LIVELY, crop=crop, border=border, seed=5, impl=impl) for impl in ("torch", "triton")]
    got = [view(batch, ids, 3) for view in views]
    assert (got[0] - got[1]).abs().max() <= tolerance(max(SOURCE), device)
    if border == "zeros":
        draw = AugmentDraw(torch.tensor(5, device=device), torch.tensor(3, device=device), ids, views[0].ranges)
        params = sample(draw, side=SOURCE, size=VIEW)
        assert torch.equal(got[0], view_of(batch, params, "torch"))


def test_ranges_are_what_was_asked_for() -> None:
    view = RandomView(9, 30, (0.1, 0.2), 1.3, 4, (0.5, 0.6, 0.7, 0.4), crop="random", impl="torch")
    assert view.ranges == Ranges(30, 0.1, 0.2, 1.3, 4, True, 0.5, 0.6, 0.7, 0.4, whole_pixels=True)
    assert "size=(9, 9)" in repr(view)
    assert "impl='torch'" in repr(view)


@pytest.mark.parametrize("options", [{"crop": "random"}, {"border": "reflect", "dtype": torch.float16}])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16])
def test_replay(dtype: torch.dtype, options: dict, impl: str, device: torch.device) -> None:
    """The same (seed, epoch, ids) in another order, in batches of other sizes and among others: the same bits."""
    batch, ids = images(7, device, dtype), torch.arange(7, device=device) + 2**40
    view = on(device, **LIVELY, **options, impl=impl)
    whole = view(batch, ids, 4)
    rows = torch.tensor([4, 0, 6, 2, 5, 1, 3, 3, 3, 6, 0], device=device)
    for size in (11, 3, 1):
        parts = [view(batch[some], ids[some], 4) for some in rows.split(size)]
        assert torch.equal(torch.cat(parts), whole[rows])


def test_views_differ_by_id_epoch_and_seed(impl: str, device: torch.device) -> None:
    same = images(1, device).expand(4, -1, -1, -1)
    ids = torch.arange(4, device=device)
    view = on(device, **LIVELY, impl=impl)
    others = [
        view(same, ids, 0),
        view(same, ids, 1),
        view(same, ids + 4, 0),
        on(device, **LIVELY, seed=1, impl=impl)(same, ids, 0),
    ]
    rows = torch.cat(others).flatten(1)
    assert len(torch.unique(rows, dim=0)) == 16


def test_without_ids_the_calls_are_counted(impl: str, device: torch.device) -> None:
    """A call is an epoch whose ids are the places in the batch; a state that was saved goes on from there."""
    batch = images(3, device)
    view = on(device, **LIVELY, impl=impl)
    first, second = view(batch), view(batch)
    assert not torch.equal(first, second)
    assert torch.equal(second, view(batch, torch.arange(3, device=device), 1))
    resumed = on(device, **LIVELY, impl=impl)
    resumed.load_state_dict(view.state_dict())
    assert list(view.state_dict()) == ["step"]
    assert resumed.step == 2
    assert torch.equal(resumed(batch), view(batch))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_shape_and_memory(count: int, training: bool, impl: str, device: torch.device) -> None:
    views = on(device, **LIVELY, dtype=torch.float16, impl=impl).train(training)(images(count, device))
    assert views.shape == (count, 3, *VIEW)
    assert views.dtype == torch.float16
    assert views.is_contiguous(memory_format=torch.channels_last)
    assert not views.isnan().any()


def test_memory_format_of_the_batch_does_not_matter(impl: str, device: torch.device) -> None:
    batch = images(4, device)
    view, ids = on(device, **LIVELY, impl=impl), torch.arange(4, device=device)
    assert torch.equal(view(batch.contiguous(memory_format=torch.channels_last), ids, 0), view(batch, ids, 0))
    wide = torch.cat((batch, batch), dim=3)
    assert torch.equal(view(wide[..., : SOURCE[1]], ids, 0), view(batch, ids, 0))


def test_in_a_loop_over_a_data_loader(impl: str, device: torch.device) -> None:
    """Whatever the batches and their order, a sample's view in an epoch is one; and another in the next."""
    samples = TensorDataset(images(7, torch.device("cpu")), torch.arange(7))
    view = on(device, **LIVELY, crop="random", impl=impl)

    def epoch(number: int, size: int, shuffle: bool) -> Tensor:
        loader = DataLoader(samples, size, shuffle, generator=torch.Generator().manual_seed(size))
        ids, views = [], []
        for batch, names in loader:
            ids.append(names)
            views.append(view(batch.to(device), names.to(device), number))
        return torch.cat(views)[torch.cat(ids).argsort().to(device)]

    assert torch.equal(epoch(0, 4, True), epoch(0, 3, False))
    assert (epoch(0, 5, True) != epoch(1, 5, True)).flatten(1).any(1).all()


def test_in_front_of_a_network(impl: str, device: torch.device) -> None:
    """As a layer: gradients reach the weights behind it, the module moves and is copied with the model."""
    model = torch.nn.Sequential(RandomView(VIEW, **LIVELY, impl=impl), torch.nn.Conv2d(3, 2, 3)).to(device)
    model(images(2, device)).sum().backward()
    assert model[1].weight.grad.abs().sum() > 0
    assert model[0].step == 1


def test_is_one_launch(launches, device: torch.device) -> None:
    launched = launches(fused)
    on(device, **LIVELY, impl="triton")(images(4, device))
    assert [(one.kernel, one.grid[0]) for one in launched] == [("_draw_kernel", 4)]


def test_compile_traces_the_reference(monkeypatch: pytest.MonkeyPatch, device: torch.device) -> None:
    """What torch.compile is given, run as it stands."""
    monkeypatch.setitem(IMPLEMENTATIONS, "compile", lambda: reference.augment_by_mask)
    views = [on(device, **LIVELY, impl=impl)(images(4, device)) for impl in ("torch", "compile")]
    assert torch.equal(*views)


def test_statistics_are_torchvisions() -> None:
    """Drawn by each, not given: the same mean and spread of grey over many views of one image, within five sigma."""
    image = images(1, torch.device("cpu"), torch.float32, (12, 20))
    ours = RandomView((8, 12), 40, (0.5, 0.0), jitter=(0.4, 0.3, 0.2, 0.1), crop="random", impl="torch")
    steps = [v2.RandomRotation(40, InterpolationMode.BILINEAR, fill=None), v2.RandomHorizontalFlip()]
    theirs = v2.Compose([*steps, v2.RandomCrop((8, 12)), v2.ColorJitter(0.4, 0.3, 0.2, 0.1)])
    torch.manual_seed(0)
    count = 400
    samples = [ours(image.expand(count, -1, -1, -1)), torch.cat([theirs(image) for _ in range(count)])]
    means = [one.mean((2, 3)).double() for one in samples]  # [count, 3]
    error = sum(one.var(0) / count for one in means).sqrt()
    assert ((means[0].mean(0) - means[1].mean(0)).abs() < 5 * error).all()
    spread = [one.std(0) for one in means]
    assert (spread[0] / spread[1] - 1).abs().max() < 5 / math.sqrt(count)


def test_what_cannot_run_is_refused(monkeypatch: pytest.MonkeyPatch, device: torch.device) -> None:
    monkeypatch.setattr(random_view, "unavailable", lambda impl, device: "there is no GPU")
    with pytest.raises(ValueError, match=r"got 'triton' \(impl\): change it: there is no GPU"):
        on(device, impl="triton")(images(1, device))
