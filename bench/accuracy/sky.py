"""How near `best` comes to the volunteers' noise on a simulated sky, which no network can be below -> one JSON.

    python -m bench.accuracy.sky --work FOLDER --out bench/results/sky-cpu.json [--count 60000] [--epochs 75] [--more 12]

A training of so many epochs, then fine-tuning on the same galaxies for so many more, at a low rate. What FOLDER holds
of the same numbers is not made again, and a training that was stopped there goes on.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from torch import device

from bench.publish.made_with import made_with
from galaxy_triton.config.recipes import RECIPES
from galaxy_triton.data.galaxies import answers_by_row
from galaxy_triton.data.store import open_store
from galaxy_triton.evaluate.report import PAGE
from galaxy_triton.galaxyzoo.ids import rows_of
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.simulation.sky import IMAGES, TRUTH, VOTES
from galaxy_triton.system.whole_files import whole_file

HELD_OUT, SEED, VIEWS = 0.1, 1, 64
LOW_RATE = 1e-3  # of the fine-tuning, at its peak
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
    _call("evaluate", tuned, store, "--views", VIEWS, "--json", figures)
    found, floor = json.loads(figures.read_text()), noise_floor(sky, store, tuned)
    result = _settings(options) | {
        "made_with": before,
        "noise_floor": floor,
        "in_noise_floors": [value / floor for value in found["rmse"]],
        "evaluation": found | {"subject": tuned.name},
        "metrics": {each.name: (each / run_folder.METRICS).read_text().splitlines() for each in (run, tuned)},
    }
    with whole_file(options.out) as file:
        file.write_text(json.dumps(result, indent=1) + "\n")


def _settings(options: argparse.Namespace) -> dict[str, object]:
    given = {"count": options.count, "epochs": options.epochs, "more": options.more}
    words = " ".join(f"--{name} {value}" for name, value in given.items())
    return {"command": f"python -m bench.accuracy.sky --work FOLDER --out FILE {words}", **given, "settings": SETTINGS}


def places(options: argparse.Namespace) -> tuple[Path, Path, Path, Path]:
    """Of the sky, its store, the run and the fine-tuned one."""
    sky = options.work / f"sky-{options.count}"
    run = options.work / f"{sky.name}-epochs-{options.epochs}"
    return sky, options.work / f"{sky.name}.store", run, options.work / f"{run.name}-tuned-{options.more}"


def noise_floor(sky: Path, store: Path, run: Path) -> float:
    """RMSE of the true probabilities of the galaxies that a run held out, against their votes."""
    opened, ids = open_store(store), run_folder.read_split(run).validation
    votes, truth = (answers_by_row(sky / table, opened) for table in (VOTES, TRUTH))
    rows = rows_of(opened.ids, ids)
    return float(np.sqrt(np.mean((votes[rows].astype(np.float64) - truth[rows]) ** 2)))


def _make(sky: Path, store: Path, options: argparse.Namespace) -> None:
    if not sky.exists():
        _call("simulate", sky, "--count", options.count, "--seed", SEED)
    if not store.exists():
        prepared = RECIPES["best"].preprocess
        size = ("--crop", prepared.crop, "--size", prepared.size)
        _call("pack", sky / IMAGES, "--labels", sky / VOTES, "--out", store, *size)


def _train(store: Path, run: Path, *new: object) -> None:
    """A new run, or what is left of it: whoever stopped it may have moved the store."""
    if (run / PAGE).exists():
        return
    how = ("--resume",) if run.exists() else (*new, "--validation", HELD_OUT)
    _call("train", store, "--run", run, *how)


def _call(command: str, *arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "galaxy_triton", command, *map(str, arguments)], check=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=60_000)
    parser.add_argument("--epochs", type=int, default=75)
    parser.add_argument("--more", type=int, default=12)
    return parser.parse_args()


if __name__ == "__main__":
    main()
