"""A training step by each row of step_rows.py: one call is one step, on batches that keep coming."""

import os

import pytest
import torch

from bench.steps.rows import ROWS, StepScene, build, differs, reason_to_skip, scene_of
from galaxy_triton.config.recipes import RECIPES
from galaxy_triton.config.schema import Config
from galaxy_triton.config.toml import override
from galaxy_triton.data.pack import pack
from galaxy_triton.simulation.sky import simulate

RECIPE = {"cuda": "seed", "cpu": "best"}
GALAXIES = {"cuda": 2048, "cpu": 320}
BATCH = {"cuda": 256, "cpu": 64}
SMALL = {"preprocess.size": 20, "augmentation.size": 16, "network.widths": (4, 8), "run.batch_size": 4}


def planned(device: str) -> list[tuple[str, str, int]]:
    """(what, row, batch), the most wanted first: time may run out."""
    return [("step", name, BATCH[device]) for name in reversed(ROWS)]


@pytest.fixture(scope="module")
def scene(device: torch.device, small: bool, tmp_path_factory: pytest.TempPathFactory) -> StepScene:
    """Simulated galaxies as JPEGs of 424 px, and packed."""
    folder, config = tmp_path_factory.mktemp("sky"), _config(device, small)
    sky = simulate(folder / "sky", 12 if small else GALAXIES[device.type], seed=1, workers=os.cpu_count() or 1)
    size, crop = config.preprocess.size, config.preprocess.crop
    pack(sky.images, sky.labels, folder / "store", size=size, crop=crop, workers=2)
    return scene_of(folder / "store", sky.images, config, device)


@pytest.mark.parametrize(("what", "row", "batch"), planned("cuda" if torch.cuda.is_available() else "cpu"))
def test_step_speed(what: str, row: str, batch: int, timed, scene: StepScene, device: torch.device) -> None:
    chosen = ROWS[row]
    reason = reason_to_skip(chosen, scene)
    if reason:
        pytest.skip(reason)
    timed(
        lambda: build(chosen, scene),
        images=scene.config.run.batch_size,
        differs=differs(chosen, scene.config),
        recipe=RECIPE[device.type],
        side=scene.config.preprocess.size,
        size=scene.config.augmentation.size,
    )


def _config(device: torch.device, small: bool) -> Config:
    # the sigmoid head: the plain loops have no other
    asked = {"run.batch_size": BATCH[device.type], "run.device": device.type, "network.head": "sigmoid"}
    return override(RECIPES[RECIPE[device.type]], asked | SMALL if small else asked)
