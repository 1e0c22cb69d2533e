"""Every measured way to make a training step, in the order of the table."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from bench.kernels.augment_rows import missing
from bench.peers.plain_loop import PlainLoop
from galaxy_triton.config.schema import Config
from galaxy_triton.config.toml import override
from galaxy_triton.data.galaxies import Galaxies, load
from galaxy_triton.data.store import labelled_rows, open_store
from galaxy_triton.experiments.training_steps import TrainingSteps, file_steps, make_learner, resident_steps
from galaxy_triton.experiments.writeup_pipeline import Labelled, differences
from galaxy_triton.model.backend import choose
from galaxy_triton.system.errors import UsageFault

OURS = "galaxy-triton"
TOTAL_STEPS = 100_000  # of the learning rate schedule: more than are made

Step = Callable[[], object]


@dataclass(frozen=True)
class StepScene:
    """What all rows train: the network, views and batches of `config`, on galaxies in device memory.

    images: the folder or zip from which the galaxies were packed. workers: of the DataLoader.
    """

    config: Config
    galaxies: Galaxies
    images: Path
    workers: int = os.cpu_count() or 1

    @property
    def device(self) -> torch.device:
        return self.galaxies.pixels.device


@dataclass(frozen=True)
class StepRow:
    """One way to make a step.

    build: does everything before timing, and returns a function that makes the next step.
    run: fields of `config.run` that it sets.
    devices, needs, differs: as those of scene.Row.
    """

    build: Callable[[StepScene, Config], Step]
    run: dict[str, str] = field(default_factory=dict)
    devices: tuple[str, ...] = ("cpu", "cuda")
    needs: tuple[str, ...] = ()
    differs: str = ""


def scene_of(store: Path, images: Path, config: Config, device: torch.device) -> StepScene:
    """A scene of the labelled galaxies of a store that was packed from `images`."""
    opened = open_store(store)
    galaxies, rows = load(opened, device, lambda done: None), torch.from_numpy(labelled_rows(opened)).to(device)
    return StepScene(config, Galaxies(*(part[rows] for part in galaxies)), images)


def build(row: StepRow, scene: StepScene) -> Step:
    """The function that makes a step of this row."""
    return row.build(scene, configured(row, scene))


def configured(row: StepRow, scene: StepScene) -> Config:
    return override(scene.config, {f"run.{name}": value for name, value in row.run.items()})


def reason_to_skip(row: StepRow, scene: StepScene) -> str | None:
    """Why a row cannot be measured here; None if it can."""
    if scene.device.type not in row.devices:
        return f"needs {' or '.join(row.devices)}, and this is {scene.device.type}"
    try:
        choose(configured(row, scene))
    except UsageFault as fault:
        return str(fault)
    return missing(row) or (beyond_plain(scene.config) if row.differs.startswith(PLAIN) else None)


def beyond_plain(config: Config) -> str | None:
    """Why the plain loop cannot train a recipe; None if it can."""
    a, network = config.augmentation, config.network
    jitter = max(a.brightness, a.contrast, a.saturation, a.hue) > 0
    lacks = {"colour jitter": jitter, "a random crop": a.crop == "random", "a hidden layer": network.hidden > 0}
    lacks |= {"dropout": network.dropout > 0, "the tree head": network.head == "tree"}
    missing_parts = [name for name, used in lacks.items() if used]
    return f"the plain loop lacks {', '.join(missing_parts)}" if missing_parts else None


def _ours(scene: StepScene, config: Config) -> TrainingSteps:
    galaxies, rows = scene.galaxies, torch.arange(len(scene.galaxies.ids), device=scene.device)
    learner = make_learner(config, choose(config), galaxies.answers, TOTAL_STEPS)
    return resident_steps(learner, galaxies, rows)


def _seed(scene: StepScene, config: Config) -> Step:
    galaxies = scene.galaxies
    learner = make_learner(config, choose(config), galaxies.answers, TOTAL_STEPS)
    labelled = Labelled(galaxies.ids.cpu().numpy(), galaxies.answers.cpu().numpy())
    return file_steps(learner, scene.images, labelled, scene.workers)


def _plain(memory_format: torch.memory_format) -> Callable[[StepScene, Config], Step]:
    def make(scene: StepScene, config: Config) -> Step:
        colours = scene.galaxies.pixels[..., :3].permute(0, 3, 1, 2)
        return PlainLoop(config, colours, scene.galaxies.answers, memory_format, TOTAL_STEPS)

    return make


# Nothing of ours: the ends of blocks are torch's own layers too.
TORCH = {"augment": "torch", "loss": "torch", "body": "eager", "norm": "layers"}
COMPILED = {"augment": "compile", "loss": "compile", "norm": "layers"}
TRITON = {"augment": "triton", "loss": "triton", "norm": "layers"}
PLAIN = "AdamW as torch has it, decay on every weight, the loss fetched each step"

ROWS: dict[str, StepRow] = {
    "seed's pipeline": StepRow(
        _seed, TORCH, needs=("torchvision",), differs="decodes and transforms files; contiguous layout"
    ),
    "plain loop": StepRow(_plain(torch.contiguous_format), differs=f"{PLAIN}; contiguous layout"),
    "plain loop, channels_last": StepRow(_plain(torch.channels_last), differs=PLAIN),
    "torch, eager": StepRow(_ours, TORCH, devices=("cuda",)),
    "torch.compile alone": StepRow(_ours, COMPILED | {"body": "compile"}),
    "torch.compile alone, graphs": StepRow(_ours, COMPILED | {"body": "graph"}, ("cuda",)),
    "torch.compile alone, max-autotune": StepRow(_ours, COMPILED | {"body": "autotune"}, ("cuda",)),
    "Triton, body compiled": StepRow(_ours, TRITON | {"body": "compile"}, ("cuda",)),
    "Triton, body in a graph": StepRow(_ours, TRITON | {"body": "graph"}, ("cuda",)),
    "Triton, its block ends too": StepRow(_ours, TRITON | {"body": "compile", "norm": "triton"}, ("cuda",)),
    OURS: StepRow(_ours),  # what `train` does here by itself
}


def differs(row: StepRow, config: Config) -> str:
    """How a row differs from ours with this configuration."""
    more = differences(config.augmentation) if row.build is _seed else ()
    return "; ".join([part for part in (row.differs, *more) if part])
