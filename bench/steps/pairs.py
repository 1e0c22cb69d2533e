"""Our training step against plain loops and the seed's pipeline on real images, in short bursts that take turns, so
that what else the machine does falls on all alike -> one JSON.

    python -m bench.steps.pairs DATA --out bench/results/step-cpu.json

DATA holds images_training_rev1.zip, or a folder of that name as `galaxy-triton simulate` makes it, and
training_solutions_rev1.csv. A ratio is another row's time for a burst over ours
in the same round; its interval is a bootstrap over rounds. The seed's workers decode ahead: its burst is timed in the
middle of an epoch of its own, when they keep up as they can, and they rest while the others have their turn.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bench.kernels.measure import quartiles, wait
from bench.publish.made_with import made_with
from bench.steps.rows import OURS, ROWS, StepScene, build, differs, reason_to_skip, scene_of
from galaxy_triton.config.recipes import RECIPES
from galaxy_triton.config.schema import Config
from galaxy_triton.config.toml import override
from galaxy_triton.data.galaxies import Galaxies
from galaxy_triton.data.pack import pack
from galaxy_triton.system.whole_files import whole_file

SEED = "seed's pipeline"
WARM = 3  # steps of each row before the first round
AHEAD = 6  # batches that the seed's pipeline takes before its burst and leaves after it: more than lie ready
RESAMPLES, LEVEL = 10_000, 0.95


@dataclass(frozen=True)
class Burst:
    """Steps that are timed together, after some and before others that are not."""

    step: Callable[[], object]
    steps: int
    around: int = 0

    def seconds(self, device: torch.device) -> float:
        """Of its timed steps, from an idle device to its end."""
        self._make(self.around, device)
        started = time.perf_counter()
        self._make(self.steps, device)
        seconds = time.perf_counter() - started
        self._make(self.around, device)
        return seconds

    def _make(self, steps: int, device: torch.device) -> None:
        for _ in range(steps):
            self.step()
        wait(device)


def main() -> None:
    options = _options()
    config = override(RECIPES[options.recipe], {"run.batch_size": options.batch_size, "network.head": "sigmoid"})
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as scratch:
        scene = packed(options.data, Path(scratch) / "store", config, device)
        before = made_with(device)
        bursts, left_out = prepared(scene, options.steps)
        times = taken(bursts, options.rounds, device)
    result = {
        "command": "python -m bench.steps.pairs DATA --out FILE",
        "made_with": before,
        "recipe": options.recipe,
        "batch": options.batch_size,
        "rounds": options.rounds,
        "steps_a_burst": options.steps,
        "rows": {name: row_of(name, times, scene, options.steps) for name in times},
        "left_out": left_out,
    }
    with whole_file(options.out) as file:
        file.write_text(json.dumps(result, indent=1) + "\n")
    for name, row in result["rows"].items():
        middle, low, high = row["time_of_ours"]
        print(f"{name:<28} {row['images_per_s']:8.1f} images/s  {middle:.3f} [{low:.3f}, {high:.3f}] x our time")


def packed(data: Path, store: Path, config: Config, device: torch.device) -> StepScene:
    """The folder's images, as the recipe has them."""
    archive, labels = data / "images_training_rev1.zip", data / "training_solutions_rev1.csv"
    images = archive if archive.exists() else archive.with_suffix("")
    pack(images, labels, store, size=config.preprocess.size, crop=config.preprocess.crop, workers=2)
    return scene_of(store, images, config, device)


def prepared(scene: StepScene, steps: int) -> tuple[dict[str, Burst], dict[str, str]]:
    """Every row that can run here, warm; and why the others are left out."""
    reasons = {name: reason_to_skip(row, scene) for name, row in ROWS.items()}
    bursts = {}
    for name in [name for name, reason in reasons.items() if reason is None]:
        around = AHEAD if name == SEED else 0
        mine = _first(scene, (2 * around + steps) * scene.config.run.batch_size) if name == SEED else scene
        bursts[name] = Burst(build(ROWS[name], mine), steps, around)
        if name != SEED:
            replace(bursts[name], steps=WARM).seconds(scene.device)
    return bursts, {name: reason for name, reason in reasons.items() if reason is not None}


def taken(bursts: dict[str, Burst], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of each row's bursts, a round being one of each in an order drawn for it."""
    times: dict[str, list[float]] = {name: [] for name in bursts}
    draw = random.Random(1)
    for _ in range(rounds):
        for name in draw.sample(list(bursts), len(bursts)):
            times[name].append(bursts[name].seconds(device))
    return times


def row_of(name: str, times: dict[str, list[float]], scene: StepScene, steps: int) -> dict[str, object]:
    """What is kept of a row."""
    own, ours = np.array(times[name]), np.array(times[OURS])
    return {
        "ms_a_step": [1e3 * second / steps for second in quartiles(times[name])],
        "images_per_s": scene.config.run.batch_size * steps / float(np.median(own)),
        "time_of_ours": median_with_interval(own / ours),
        "differs": differs(ROWS[name], scene.config),
    }


def median_with_interval(ratios: NDArray[np.float64]) -> list[float]:
    """The median, and the percentile bootstrap's interval of it."""
    drawn = np.random.default_rng(1).choice(ratios, (RESAMPLES, len(ratios)))
    low, high = np.quantile(np.median(drawn, axis=1), ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return [float(np.median(ratios)), float(low), float(high)]


def _first(scene: StepScene, count: int) -> StepScene:
    """So few galaxies that the seed's epoch is one burst; their files are read over and over, from the page cache."""
    pixels, ids, answers = scene.galaxies
    return replace(scene, galaxies=Galaxies(pixels[:count], ids[:count], answers[:count]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--recipe",
        default="best",
        help="one without colour jitter and dropout; its head becomes the plain loop's sigmoid",
    )
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--steps", type=int, default=4, help="of a burst")
    return parser.parse_args()


if __name__ == "__main__":
    main()
