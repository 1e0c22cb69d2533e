"""The rows of the step benchmark: the plain loop trains the same network on the same kind of views as ours."""

from typing import Any

import pytest
import torch

from bench.peers.plain_loop import PlainLoop, network, views
from bench.steps.rows import OURS, ROWS, StepScene, build, differs, reason_to_skip, scene_of
from galaxy_triton.config.recipes import RECIPES
from galaxy_triton.config.schema import Augmentation
from galaxy_triton.config.toml import override
from galaxy_triton.model.head import make_network

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def scene(sky: Any, tiny: dict[str, Any]) -> StepScene:
    """As the tests' sky, in the recipe's way: no jitter, no dropout."""
    fields = {"network.hidden": 0, "network.head": "sigmoid", "run.batch_size": 8}
    # fast enough that 40 steps are seen to learn, whatever the seed
    config = override(RECIPES["best"], {**tiny, **fields, "optimiser.lr": 0.2})
    return scene_of(sky.store, sky.images, config, CPU)


@pytest.mark.parametrize("name", [name for name in ROWS if "compile" not in name])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_each_call_makes_a_step(name: str, scene: StepScene) -> None:
    reason = reason_to_skip(ROWS[name], scene)
    if reason:
        assert reason == "needs cuda, and this is cpu"
        return
    step = build(ROWS[name], scene)
    losses = [float(step()) for _ in range(40)]  # type: ignore[arg-type]
    assert sum(losses[-10:]) < sum(losses[:10])


def test_the_networks_are_of_one_shape() -> None:
    """Layer by layer, as `best` has them."""
    options = RECIPES["best"].network
    theirs = [tuple(weight.shape) for weight in network(options).state_dict().values()]
    assert theirs == [tuple(weight.shape) for weight in make_network(options).state_dict().values()]


def test_plain_views_are_cut_from_the_centre() -> None:
    still = Augmentation(size=4, rotation=0, horizontal_flip=0, vertical_flip=0, crop="centre")
    images = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8)
    torch.testing.assert_close(views(images, still), images[:, :, 2:6, 2:6] / 255)


@pytest.mark.parametrize("axis", [2, 3])
def test_plain_views_are_flipped(axis: int) -> None:
    flips = {"vertical_flip": float(axis == 2), "horizontal_flip": float(axis == 3)}
    images = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8)
    flipped = views(images, Augmentation(size=8, rotation=0, crop="centre", **flips))
    torch.testing.assert_close(flipped, images.flip(axis) / 255)


def test_plain_views_move_no_further_than_the_recipe(scene: StepScene) -> None:
    """A row of light at the middle stays within the shift."""
    images = torch.zeros(64, 3, 41, 41, dtype=torch.uint8)
    images[:, :, 20, 20] = 255
    still = Augmentation(size=41, rotation=0, horizontal_flip=0, vertical_flip=0, crop="centre", shift=0.1)
    places = views(images, still).mean(dim=1).flatten(1).argmax(dim=1)
    moved = torch.stack([places // 41 - 20, places % 41 - 20])
    assert 3 <= moved.abs().max() <= 4


def test_layouts_are_kept(scene: StepScene) -> None:
    pixels = scene.galaxies.pixels[..., :3].permute(0, 3, 1, 2)
    for layout in (torch.contiguous_format, torch.channels_last):
        loop = PlainLoop(scene.config, pixels, scene.galaxies.answers, layout, 100)
        assert loop.network[0].weight.is_contiguous(memory_format=layout)
        loop()


def test_differences_are_named(scene: StepScene) -> None:
    assert differs(ROWS[OURS], scene.config) == ""
    assert "8 bits between its steps" in differs(ROWS["seed's pipeline"], scene.config)
