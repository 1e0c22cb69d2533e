"""How near `best` comes to the volunteers' noise, which no network can beat, on a simulated sky.

    python -m bench.accuracy.sky --work FOLDER --out bench/results/sky-cpu.json
        [--count 60000] [--epochs 75] [--more 12]

A training, then fine-tuning on the same galaxies at a low rate. What FOLDER holds for the same numbers is not made
again, and a training that was stopped there goes on.
"""

import argparse
import json
from pathlib import Path

from torch import device

from bench.publish.made_with import made_with
from bench.scripts import galaxy_triton, option_parser, pack_images, write_result
from galaxy_triton.config.recipes import RECIPES
from galaxy_triton.data.galaxies import answers_by_row
from galaxy_triton.data.store import open_store
from galaxy_triton.evaluate.report import PAGE
from galaxy_triton.evaluate.scores import rmse
from galaxy_triton.galaxyzoo.ids import rows_of
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.simulation.sky import IMAGES, TRUTH, VOTES

VALIDATION, SEED, VIEWS = 0.1, 1, 64
LOW_RATE = 1e-3  # peak learning rate of the fine-tuning
# Over `best`: all galaxies of a sky have one scale and lie in the middle, and there are enough for a block more.
SETTINGS = {
    "augmentation.zoom": 1,
    "augmentation.shift": 0,
    "network.widths": [24, 48, 96, 128, 160, 192],
    "run.views": 1,
}


def main() -> None:
    options = _options()
    options.work.mkdir(parents=True, exist_ok=True)
    before = made_with(device("cpu"))
    sky, store, run, tuned = places(options)
    _make(sky, store, options)
    own = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    _train(store, run, "--recipe", "best", "--epochs", options.epochs, *own)
    _train(store, tuned, "--finetune", run, "--epochs", options.more, "--lr", LOW_RATE)
    figures = options.work / "figures.json"
    galaxy_triton("evaluate", tuned, store, "--views", VIEWS, "--json", figures)
    found, floor = json.loads(figures.read_text()), noise_floor(sky, store, tuned)
    result = _settings(options) | {
        "made_with": before,
        "noise_floor": floor,
        "in_noise_floors": [value / floor for value in found["rmse"]],
        "evaluation": found | {"subject": tuned.name},
        "metrics": {each.name: (each / run_folder.METRICS).read_text().splitlines() for each in (run, tuned)},
    }
    write_result(options.out, result)


def _settings(options: argparse.Namespace) -> dict[str, object]:
    given = {"count": options.count, "epochs": options.epochs, "more": options.more}
    words = " ".join(f"--{name} {value}" for name, value in given.items())
    return {"command": f"python -m bench.accuracy.sky --work FOLDER --out FILE {words}", **given, "settings": SETTINGS}


def places(options: argparse.Namespace) -> tuple[Path, Path, Path, Path]:
    """The folders of the sky, the store, the run and the fine-tuned run."""
    sky = options.work / f"sky-{options.count}"
    run = options.work / f"{sky.name}-epochs-{options.epochs}"
    return sky, options.work / f"{sky.name}.store", run, options.work / f"{run.name}-tuned-{options.more}"


def noise_floor(sky: Path, store: Path, run: Path) -> float:
    """RMSE of the true probabilities against the votes, over a run's validation galaxies."""
    opened, ids = open_store(store), run_folder.read_split(run).validation
    votes, truth = (answers_by_row(sky / table, opened) for table in (VOTES, TRUTH))
    rows = rows_of(opened.ids, ids)
    return rmse(votes[rows], truth[rows])


def _make(sky: Path, store: Path, options: argparse.Namespace) -> None:
    if not sky.exists():
        galaxy_triton("simulate", sky, "--count", options.count, "--seed", SEED)
    if not store.exists():
        pack_images(sky / IMAGES, sky / VOTES, store, RECIPES["best"].preprocess)


def _train(store: Path, run: Path, *new: object) -> None:
    """Train a new run, or go on with one that was stopped."""
    if (run / PAGE).exists():
        return
    how = ("--resume",) if run.exists() else (*new, "--validation", VALIDATION)
    galaxy_triton("train", store, "--run", run, *how)


def _options() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=60_000)
    parser.add_argument("--epochs", type=int, default=75)
    parser.add_argument("--more", type=int, default=12)
    return parser.parse_args()


if __name__ == "__main__":
    main()
