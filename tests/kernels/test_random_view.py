"""RandomView: torchvision's views of any batch, each image's its own, and the same again by (seed, epoch, id)."""

import itertools

import pytest
import torch
import torchvision.transforms.v2.functional as TF
from torch import Tensor

from galaxy_triton.kernels import AugmentDraw, AugmentParams, RandomView, Ranges, random_view, sample
from galaxy_triton.kernels.augmentation import IMPLEMENTATIONS
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


def view_of(
    batch: Tensor, params: AugmentParams, impl: str, size: tuple[int, int] = VIEW, border: str = "zeros"
) -> Tensor:
    """The views of a batch for given parameters, by the function that RandomView calls."""
    out = torch.empty((len(batch), 3, *size), device=batch.device, memory_format=torch.channels_last)
    IMPLEMENTATIONS[impl]()(batch, None, params, (0.0,) * 3, (1.0,) * 3, border, out)
    return out


@pytest.mark.parametrize(("angle", "dtype"), [*zip((-37, 0, 90, 180), DTYPES, strict=True)])
def test_view_is_torchvisions(angle: float, dtype: torch.dtype, impl: str, device: torch.device) -> None:
    """Turned, flipped twice, cropped at each corner and recoloured, where an image is not square."""
    image = images(1, device, dtype)
    for corner in itertools.product((0, WIDTH - VIEW[1]), (0, HEIGHT - VIEW[0])):
        view = View(angle, True, True, corner=corner, factors=STRONG, order=13)
        got = view_of(image, oracle.params([view], SOURCE, device), impl)
        want = oracle.recolour(oracle.warp(scaled(image[0]), view, VIEW), view)
        assert (got[0] - want).abs().max() <= tolerance(max(SOURCE), device)


# One row, a view that is the larger in height or in width, both odd.
@pytest.mark.parametrize(
    ("source", "size", "border"), [((1, 9), (4, 2), "reflect"), ((40, 5), (3, 41), "zeros"), (SOURCE, VIEW, "reflect")]
)
def test_view_is_float64s(
    source: tuple[int, int], size: tuple[int, int], border: str, impl: str, device: torch.device
) -> None:
    """Zoomed and shifted too, where an image is not square."""
    view, batch = View(-130, True, False, 0.8, (1.3, -0.6), (2, 1), STRONG, 13), images(3, device, size=source)
    got = view_of(batch, oracle.params([view] * 3, source, device), impl, size, border)
    for one, image in zip(got.cpu(), batch.cpu(), strict=True):
        assert (one - oracle.render(image, view, size, border)).abs().max() <= tolerance(max(source), device)


@pytest.mark.parametrize("size", [(HEIGHT - 1, WIDTH - 1), (HEIGHT + 7, WIDTH + 13), (HEIGHT - 5, WIDTH + 8), 21])
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


@pytest.mark.parametrize(("crop", "border"), [("centre", "zeros"), ("random", "reflect")])
def test_implementations_agree(crop: str, border: str, device: torch.device) -> None:
    """And both draw what sample() draws for (seed, epoch, ids)."""
    batch, ids = images(4, device), torch.arange(4, device=device) * 2**31
    views = [on(device, **LIVELY, crop=crop, border=border, seed=5, impl=impl) for impl in ("torch", "triton")]
    got = [view(batch, ids, 3) for view in views]
    assert (got[0] - got[1]).abs().max() <= tolerance(max(SOURCE), device)
    draw = AugmentDraw(torch.tensor(5, device=device), torch.tensor(3, device=device), ids, views[0].ranges)
    params = sample(draw, side=SOURCE, size=VIEW)
    assert torch.equal(got[0], view_of(batch, params, "torch", border=border))


def test_ranges_are_those_of_the_arguments() -> None:
    view = RandomView(9, 30, (0.1, 0.2), 1.3, 4, (0.5, 0.6, 0.7, 0.4), crop="random", impl="torch")
    assert view.ranges == Ranges(30, 0.1, 0.2, 1.3, 4, True, 0.5, 0.6, 0.7, 0.4, whole_pixels=True)


@pytest.mark.parametrize(
    ("dtype", "options"),
    [(torch.uint8, {"crop": "random"}), (torch.float16, {"border": "reflect", "dtype": torch.float16})],
)
def test_replay(dtype: torch.dtype, options: dict, impl: str, device: torch.device) -> None:
    """The same (seed, epoch, ids) in another order, in batches of other sizes and among others: the same bits."""
    batch, ids = images(3, device, dtype), torch.arange(3, device=device) + 2**40
    view = on(device, **LIVELY, **options, impl=impl)
    whole = view(batch, ids, 4)
    rows = torch.tensor([2, 0, 1, 1], device=device)
    for size in (4, 1):
        parts = [view(batch[some], ids[some], 4) for some in rows.split(size)]
        assert torch.equal(torch.cat(parts), whole[rows])


def test_views_differ_by_id_epoch_and_seed(impl: str, device: torch.device) -> None:
    same, ids = images(1, device).expand(2, -1, -1, -1), torch.arange(2, device=device)
    view, reseeded = (on(device, **LIVELY, seed=seed, impl=impl) for seed in (0, 1))
    views = torch.cat([view(same, ids, 0), view(same, ids, 1), view(same, ids + 2, 0), reseeded(same, ids, 0)])
    assert len(torch.unique(views.flatten(1), dim=0)) == 8


def test_without_ids_the_calls_are_counted(impl: str, device: torch.device) -> None:
    """A call is an epoch whose ids are the places in the batch; a state that was saved goes on from there."""
    batch = images(2, device)
    view = on(device, **LIVELY, impl=impl)
    first, second = view(batch), view(batch)
    assert not torch.equal(first, second)
    assert torch.equal(second, view(batch, torch.arange(2, device=device), 1))
    resumed = on(device, **LIVELY, impl=impl)
    resumed.load_state_dict(view.state_dict())
    assert list(view.state_dict()) == ["step"]
    assert resumed.step == 2
    assert torch.equal(resumed(batch), view(batch))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("count", [0, 2])
def test_shape_and_memory(count: int, training: bool, impl: str, device: torch.device) -> None:
    views = on(device, **LIVELY, dtype=torch.float16, impl=impl).train(training)(images(count, device))
    assert views.shape == (count, 3, *VIEW)
    assert views.dtype == torch.float16
    assert views.is_contiguous(memory_format=torch.channels_last)
    assert not views.isnan().any()


def test_memory_format_of_the_batch_does_not_matter(impl: str, device: torch.device) -> None:
    batch = images(2, device)
    view, ids = on(device, **LIVELY, impl=impl), torch.arange(2, device=device)
    assert torch.equal(view(batch.contiguous(memory_format=torch.channels_last), ids, 0), view(batch, ids, 0))
    wide = torch.cat((batch, batch), dim=3)
    assert torch.equal(view(wide[..., : SOURCE[1]], ids, 0), view(batch, ids, 0))


def test_an_unavailable_implementation_is_refused(monkeypatch: pytest.MonkeyPatch, device: torch.device) -> None:
    monkeypatch.setattr(random_view, "unavailable", lambda impl, device: "there is no GPU")
    with pytest.raises(ValueError, match=r"got 'triton' \(impl\): change it: there is no GPU"):
        on(device, impl="triton")(images(1, device))
