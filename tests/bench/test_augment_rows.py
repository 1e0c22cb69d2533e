"""The rows of the augmentation benchmark: each gives views, and none does less than its label says."""

import dataclasses
import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from bench.kernels.augment_rows import ROWS, missing, reason_to_skip
from bench.kernels.scene import Fill, Row, Scene
from bench.peers import drawing, fixed_order, triton_augment
from galaxy_triton.kernels import AugmentParams, Ranges, augment, unavailable, view_affine

SIDE, SIZE, BATCH = 24, 16, 3
COLOURS = ("brightness", "contrast", "saturation", "hue")
CPU = torch.device("cpu")

# What a peer warns of is no fault of its row.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def scene() -> Scene:
    generator = torch.Generator().manual_seed(5)
    pixels = torch.randint(0, 256, (6, SIDE, SIDE, 4), dtype=torch.uint8, generator=generator)
    return Scene(pixels, SIZE, BATCH, torch.float32)


@pytest.fixture(autouse=True)
def uncompiled() -> Iterator[None]:
    """torch.compile runs plain torch: compiling takes ten seconds a row."""
    with torch.compiler.set_stance("force_eager"):
        yield


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch):
    """ready(name): the row, or a skip; Triton runs in its interpreter."""

    def check(name: str) -> Row:
        row = ROWS[name]
        reason = missing(row) or unavailable(row.impl, CPU)
        if reason:
            pytest.skip(f"{name}: {reason}")
        if name == "triton-augment":
            monkeypatch.setattr("triton_augment.functional._validate_image_tensor", lambda *_: None)  # asks for a GPU
            monkeypatch.setattr(triton_augment, "_tune", lambda: None)  # there is nothing to time
        return row

    return check


@pytest.mark.parametrize("name", ROWS)
def test_views_of_a_row(name: str, ready, scene: Scene) -> None:
    check_views(ready(name).build(scene), scene)


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize(("flips", "axes"), [((1, 0), [3]), ((0, 1), [2])])
def test_a_row_that_only_flips_and_cuts_the_centre(
    name: str, flips: tuple[float, float], axes: list[int], ready, scene: Scene
) -> None:
    """So that none is measured at less; a peer without one of the flips reaches it by another way."""
    asked = dataclasses.replace(scene, ranges=Ranges(0, *flips))
    check_centre(ready(name).build(asked), scene, axes)


@pytest.mark.parametrize("name", ROWS)
def test_a_row_rotates_about_the_centre_and_black_lies_outside(name: str, ready) -> None:
    """Its views of a bright ramp stand among ours by 1,440 angles; torchvision's own border would be 0.25 away."""
    ramp, size = torch.linspace(100, 255, SIDE), SIDE - 2
    channels = torch.broadcast_tensors(ramp, ramp[:, None], torch.tensor(255.0), torch.tensor(0.0))
    asked = Scene(torch.stack(channels, dim=2).to(torch.uint8)[None], size, BATCH, torch.float32, Ranges(180))
    angles, ones, none = torch.arange(1440) / 1440, torch.ones(1440), torch.zeros(1440, 2)
    places = view_affine(angles, none + 1, ones, none, none + 1, side=SIDE)
    ours = augment(asked.pixels, torch.zeros(1440, dtype=torch.int64), AugmentParams(places), size=size, impl="torch")
    views = ready(name).build(asked)(torch.zeros(BATCH, dtype=torch.int64))
    furthest = (views[:, None] - ours).abs().flatten(2).amax(dim=2)
    assert furthest.min(dim=1).values.max() < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.impl == "compile"])
def test_compiled_row(name: str, ready, scene: Scene) -> None:
    torch.compiler.reset()
    with torch.compiler.set_stance("default"):
        check_views(ready(name).build(scene), scene)
        check_centre(ready(name).build(dataclasses.replace(scene, ranges=Ranges())), scene, [])


@pytest.mark.parametrize("strengths", [*torch.eye(4).tolist(), [1.0, 1.0, 1.0, 1.0]])
def test_fastest_torch_is_our_reference_in_one_order(scene: Scene, strengths: list[float]) -> None:
    """Each colour operation alone, and all of them."""
    jitter = dict(zip(COLOURS, strengths, strict=True)) | {"hue": strengths[3] / 2}
    asked = dataclasses.replace(scene, ranges=Ranges(180, 0.5, 0.5, random_crop=True, **jitter))
    index, drawn = torch.tensor([3, 1, 0]), drawing.draw(asked, BATCH, CPU)
    words = scene.pixels.view(torch.int32).view(-1)
    found = fixed_order.apply(words, index, drawn, asked)
    torch.testing.assert_close(found, by_reference(asked, index, drawn), rtol=0, atol=2e-4)


def test_drawn_affine_is_ours(scene: Scene) -> None:
    drawn = drawing.draw(scene, 200, CPU)
    flips = torch.where(torch.stack(drawn.flips, dim=1), -1.0, 1.0)
    corner, ones, none = torch.stack(drawn.corner, dim=1), torch.ones(200), torch.zeros(200, 2)
    ours = view_affine(drawn.degrees / 360, flips, ones, none, corner, side=SIDE)
    torch.testing.assert_close(drawing.matrix(drawing.affine(drawn, SIDE)), ours, rtol=0, atol=1e-4)


def test_drawing_fills_its_ranges(scene: Scene) -> None:
    drawn = drawing.draw(scene, 4000, CPU)
    assert -180 <= drawn.degrees.min() < -170 < 170 < drawn.degrees.max() <= 180
    flips, jitter = torch.stack(drawn.flips).float(), torch.stack(drawn.jitter)
    assert (flips.mean(dim=1) - 0.5).abs().max() < 0.05
    assert [corner.unique().tolist() for corner in drawn.corner] == 2 * [list(range(SIDE - SIZE + 1))]
    middle, spread = torch.tensor([1, 1, 1, 0.0]), torch.tensor([0.1, 0.1, 0.1, 0.05])
    torch.testing.assert_close(jitter.amin(dim=1), middle - spread, rtol=0, atol=1e-3)
    torch.testing.assert_close(jitter.amax(dim=1), middle + spread, rtol=0, atol=1e-3)
    correlation = torch.corrcoef(torch.stack((drawn.degrees, *flips, *drawn.corner, *jitter)))
    assert (correlation - torch.eye(9)).abs().max() < 5 / math.sqrt(4000)


def test_reason_to_skip() -> None:
    absent = Row(ROWS["torch reference"].build, needs=("no-such-distribution",))
    assert reason_to_skip(absent, CPU) == "no-such-distribution is not installed"
    assert reason_to_skip(ROWS["Triton, drawing its own"], CPU) == "needs cuda, and this is cpu"
    assert reason_to_skip(ROWS["torch reference"], CPU) is None


def check_views(fill: Fill, scene: Scene) -> None:
    """Finite, in [0, 1], of the right form, and other ones at each call."""
    index = torch.tensor([4, 0, 4])
    first, second = fill(index).clone(), fill(index).clone()
    assert first.shape == (BATCH, 3, SIZE, SIZE)
    assert first.dtype == scene.dtype
    assert first.is_contiguous(memory_format=torch.channels_last)
    assert first.isfinite().all()
    assert 0 <= first.min() < 0.2 < 0.8 < first.max() <= 1
    assert (first - second).abs().max() > 0.05


def check_centre(fill: Fill, scene: Scene, flipped: list[int]) -> None:
    index, margin = torch.tensor([1, 5, 2]), (SIDE - SIZE) // 2
    centre = scene.pixels[index, margin:-margin, margin:-margin, :3].permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(fill(index), centre.flip(flipped), rtol=0, atol=1 / 255)


def by_reference(scene: Scene, index: Tensor, drawn: drawing.Drawn) -> Tensor:
    order = torch.zeros(len(index), dtype=torch.int32)  # brightness, contrast, saturation, hue
    params = AugmentParams(drawing.matrix(drawing.affine(drawn, scene.side)), torch.stack(drawn.jitter, dim=1), order)
    return augment(scene.pixels, index, params, size=scene.size, impl="torch")
