"""Our training step beside plain loops and the write-up's pipeline on real images, in short bursts that take turns.

    python -m bench.steps.pairs DATA --out bench/results/step-cpu.json

Taking turns spreads whatever else the machine does over all rows alike. A ratio is another row's time for a burst over
ours in the same round; its interval is a bootstrap over rounds. The workers of the write-up's pipeline decode ahead, so
its burst is timed in the middle of an epoch, and the workers rest during the bursts of others. DATA holds
images_training_rev1.zip, or a folder as `galaxy-triton simulate` makes it, and training_solutions_rev1.csv.
"""

import argparse
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
from bench.scripts import IMAGES, LABELS, option_parser, pack_images, write_result
from bench.steps.rows import OURS, ROWS, StepScene, build, differs, reason_to_skip, scene_of
from galaxy_triton.config.recipes import RECIPES
from galaxy_triton.config.schema import Config
from galaxy_triton.config.toml import override
from galaxy_triton.data.galaxies import Galaxies

SEED = "seed's pipeline"
WARM = 3  # steps of each row before the first round
AHEAD = 6  # batches that the seed's pipeline takes before its burst and leaves after it: more than lie ready
RESAMPLES, LEVEL = 10_000, 0.95


@dataclass(frozen=True)
class Burst:
    """Timed steps, with `around` untimed steps before and after them."""

    step: Callable[[], object]
    steps: int
    around: int = 0

    def seconds(self, device: torch.device) -> float:
        """Seconds of the timed steps, from an idle device to its end."""
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
        times = timed(bursts, options.rounds, device)
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
    write_result(options.out, result)
    for name, row in result["rows"].items():
        middle, low, high = row["time_of_ours"]
        print(f"{name:<28} {row['images_per_s']:8.1f} images/s  {middle:.3f} [{low:.3f}, {high:.3f}] x our time")


def packed(data: Path, store: Path, config: Config, device: torch.device) -> StepScene:
    """Pack the folder's images as the recipe wants them."""
    archive = data / IMAGES
    images = archive if archive.exists() else archive.with_suffix("")
    pack_images(images, data / LABELS, store, config.preprocess)
    return scene_of(store, images, config, device)


def prepared(scene: StepScene, steps: int) -> tuple[dict[str, Burst], dict[str, str]]:
    """The bursts of every row that can run here, warmed up; and the reasons of the rows left out."""
    reasons = {name: reason_to_skip(row, scene) for name, row in ROWS.items()}
    bursts = {}
    for name in [name for name, reason in reasons.items() if reason is None]:
        around = AHEAD if name == SEED else 0
        mine = _first(scene, (2 * around + steps) * scene.config.run.batch_size) if name == SEED else scene
        bursts[name] = Burst(build(ROWS[name], mine), steps, around)
        if name != SEED:
            replace(bursts[name], steps=WARM).seconds(scene.device)
    return bursts, {name: reason for name, reason in reasons.items() if reason is not None}


def timed(bursts: dict[str, Burst], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of each row's bursts. A round is one burst of each row, in random order."""
    times: dict[str, list[float]] = {name: [] for name in bursts}
    draw = random.Random(1)
    for _ in range(rounds):
        for name in draw.sample(list(bursts), len(bursts)):
            times[name].append(bursts[name].seconds(device))
    return times


def row_of(name: str, times: dict[str, list[float]], scene: StepScene, steps: int) -> dict[str, object]:
    """The figures of a row."""
    own, ours = np.array(times[name]), np.array(times[OURS])
    return {
        "ms_a_step": [1e3 * second / steps for second in quartiles(times[name])],
        "images_per_s": scene.config.run.batch_size * steps / float(np.median(own)),
        "time_of_ours": median_with_interval(own / ours),
        "differs": differs(ROWS[name], scene.config),
    }


def median_with_interval(ratios: NDArray[np.float64]) -> list[float]:
    """[median, low, high], by the percentile bootstrap."""
    drawn = np.random.default_rng(1).choice(ratios, (RESAMPLES, len(ratios)))
    low, high = np.quantile(np.median(drawn, axis=1), ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return [float(np.median(ratios)), float(low), float(high)]


def _first(scene: StepScene, count: int) -> StepScene:
    """The first galaxies, so that an epoch is one burst; their files come from the page cache."""
    pixels, ids, answers = scene.galaxies
    return replace(scene, galaxies=Galaxies(pixels[:count], ids[:count], answers[:count]))


def _options() -> argparse.Namespace:
    parser = option_parser(__doc__)
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
