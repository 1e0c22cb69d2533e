"""How near `best` comes to the volunteers' noise on a simulated sky, which no network can be below -> one JSON.

    python bench/sky.py --work FOLDER --out bench/results/sky-cpu.json [--count 60000] [--epochs 90]

What FOLDER holds of the same count and epochs is not made again, and a training that was stopped there goes on.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from made_with import made_with
from torch import device

from galaxy_triton import run_folder
from galaxy_triton.config import RECIPES
from galaxy_triton.data import answers_by_row
from galaxy_triton.files import whole_file
from galaxy_triton.ids import rows_of
from galaxy_triton.simulate import IMAGES, TRUTH, VOTES
from galaxy_triton.store import open_store

HELD_OUT, SEED = 0.1, 1
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
    sky, store, run = places(options)
    _make(sky, store, options)
    _train(store, run, options.epochs)
    figures = options.work / "figures.json"
    _call("evaluate", run, store, "--json", figures)
    found, floor = json.loads(figures.read_text()), noise_floor(sky, store, run)
    result = _settings(options) | {
        "made_with": before,
        "noise_floor": floor,
        "in_noise_floors": [value / floor for value in found["rmse"]],
        "evaluation": found | {"subject": run.name},
        "metrics": (run / run_folder.METRICS).read_text().splitlines(),
    }
    with whole_file(options.out) as file:
        file.write_text(json.dumps(result, indent=1) + "\n")


def _settings(options: argparse.Namespace) -> dict[str, object]:
    given = {"count": options.count, "epochs": options.epochs}
    words = " ".join(f"--{name} {value}" for name, value in given.items())
    return {"command": f"python bench/sky.py --work FOLDER --out FILE {words}", **given, "settings": SETTINGS}


def places(options: argparse.Namespace) -> tuple[Path, Path, Path]:
    """Of the sky, its store and the run."""
    name = f"sky-{options.count}"
    return options.work / name, options.work / f"{name}.store", options.work / f"{name}-epochs-{options.epochs}"


def noise_floor(sky: Path, store: Path, run: Path) -> float:
    """RMSE of the true probabilities of the galaxies that a run held out, against their votes."""
    opened, ids = open_store(store), run_folder.read_split(run)["validation"]
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


def _train(store: Path, run: Path, epochs: int) -> None:
    """From the start, or what is left of it: whoever stopped it may have moved the store."""
    if run.exists():
        _call("train", store, "--run", run, "--resume")
    else:
        own = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
        _call("train", store, "--recipe", "best", "--epochs", epochs, "--validation", HELD_OUT, *own, "--run", run)


def _call(command: str, *arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "galaxy_triton", command, *map(str, arguments)], check=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=60_000)
    parser.add_argument("--epochs", type=int, default=90)
    return parser.parse_args()


if __name__ == "__main__":
    main()
