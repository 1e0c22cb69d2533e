"""The whole path on a folder of Galaxy Zoo files, timed: pack, train, evaluate, predict -> one JSON.

    python bench/subset.py DATA --out bench/results/subset-cpu.json
    python bench/subset.py DATA --folds 5 --out bench/results/folds-cpu.json

DATA holds images_training_rev1.zip, training_solutions_rev1.csv, images_test_rev1.zip, a CSV of the ids to hold out,
and another program's answers for these. With --folds a part of these ids is held out at a time, and the others are
trained on too, four times an epoch.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from made_with import made_with
from torch import device

from galaxy_triton.config import RECIPES

REPEATS = 4  # times an epoch that galaxies whose own answers are known are trained on


def main() -> None:
    options = _options()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    before = made_with(device("cpu"))
    with tempfile.TemporaryDirectory() as scratch:
        result = _folds(options, Path(scratch)) if options.folds else _whole_path(options, Path(scratch))
    folds = f"--folds {options.folds} " if options.folds else ""
    command = f"python bench/subset.py DATA {folds}--out FILE"
    options.out.write_text(json.dumps({"command": command, "made_with": before, **result}, indent=1) + "\n")


def _whole_path(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    store, run, submission, figures = (scratch / name for name in ("store", "run", "submission.csv", "figures.json"))
    held_out = options.data / options.held_out
    seconds = {
        "pack": _packed(options.data, store),
        "train": _timed("train", store, "--recipe", "best", "--validation", held_out, "--run", run),
        "evaluate": _timed("evaluate", run, "--against", options.data / options.against, "--json", figures),
        "predict": _timed("predict", run, options.data / "images_test_rev1.zip", "--out", submission),
    }
    return {
        "seconds": seconds,
        "evaluation": _figures(figures),
        "submission_rows": len(submission.read_text().splitlines()) - 1,
        "metrics": (run / "metrics.csv").read_text().splitlines(),
    }


def _folds(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    store, runs, figures = (scratch / name for name in ("store", "runs", "figures.json"))
    folds = ("--folds", options.folds, "--fold-ids", options.data / options.held_out, "--repeat-ids", REPEATS)
    seconds = {
        "pack": _packed(options.data, store),
        "train": _timed("train", store, "--recipe", "best", *folds, "--run", runs),
        "evaluate": _timed("evaluate", runs, "--against", options.data / options.against, "--json", figures),
    }
    return {
        "seconds": seconds,
        "folds": json.loads((runs / "cross_validation.json").read_text()),
        "evaluation": _figures(figures),
    }


def _figures(file: Path) -> dict[str, Any]:
    """What `evaluate` found; paths by their names alone, as they are this machine's."""
    found: dict[str, Any] = json.loads(file.read_text())
    found["subject"] = Path(found["subject"]).name
    found["comparison"]["with"] = Path(found["comparison"]["with"]).name
    return found


def _packed(data: Path, store: Path) -> float:
    prepared = RECIPES["best"].preprocess
    images, labels = data / "images_training_rev1.zip", data / "training_solutions_rev1.csv"
    size = ("--crop", prepared.crop, "--size", prepared.size)
    return _timed("pack", images, "--labels", labels, "--out", store, *size)


def _timed(command: str, *arguments: object) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "galaxy_triton", command, *map(str, arguments)], check=True)
    return time.perf_counter() - started


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--folds", type=int)
    parser.add_argument("--held-out", default="training_solutions_exact.csv")
    parser.add_argument("--against", default="plain_loop_predictions_exact.csv")
    return parser.parse_args()


if __name__ == "__main__":
    main()
