"""The whole path on a folder of Galaxy Zoo files, timed: pack, train, evaluate, predict; then the network fine-tuned on
the galaxies held out, in folds -> one JSON.

    python -m bench.accuracy.subset DATA --out bench/results/subset-cpu.json [--seed N]

DATA holds images_training_rev1.zip, training_solutions_rev1.csv, images_test_rev1.zip, a table of the galaxies to hold
out with their own answers, and another program's answers for these.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from torch import device

from bench.publish.made_with import made_with
from galaxy_triton.config.recipes import RECIPES

IMAGES, TEST_IMAGES, LABELS = "images_training_rev1.zip", "images_test_rev1.zip", "training_solutions_rev1.csv"
FOLDS = 5


def main() -> None:
    options = _options()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    before = made_with(device("cpu"))
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        trained = _trained(options, scratch)
        tuned = _fine_tuned(options, scratch)
    result = {
        "command": f"python -m bench.accuracy.subset DATA --out FILE{options.seed and f' --seed {options.seed}'}",
        "made_with": before,
        **trained,
        "fine_tuned": tuned,
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n")


def _trained(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """The network that has seen no galaxy whose own answers are known."""
    store, run, submission, figures = (scratch / name for name in ("store", "run", "submission.csv", "figures.json"))
    held_out = options.data / options.held_out
    own = ("--seed", options.seed) if options.seed else ()
    seconds = {
        "pack": _packed(options.data, LABELS, store),
        "train": _timed("train", store, "--recipe", "best", "--validation", held_out, "--run", run, *own),
        "evaluate": _timed("evaluate", run, "--against", options.data / options.against, "--json", figures),
        "predict": _timed("predict", run, options.data / TEST_IMAGES, "--out", submission),
    }
    return {
        "seconds": seconds,
        "evaluation": _figures(figures),
        "submission_rows": len(submission.read_text().splitlines()) - 1,
        "metrics": (run / "metrics.csv").read_text().splitlines(),
    }


def _fine_tuned(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """That network in each fold gone on with, on the galaxies of the others."""
    store, runs, figures = (scratch / name for name in ("exact.store", "folds", "exact.json"))
    seconds = {
        "pack": _packed(options.data, options.held_out, store),
        "train": _timed("train", store, "--finetune", scratch / "run", "--folds", FOLDS, "--run", runs),
        "evaluate": _timed("evaluate", runs, "--against", options.data / options.against, "--json", figures),
    }
    folds = json.loads((runs / "cross_validation.json").read_text())
    return {"seconds": seconds, "folds": folds, "evaluation": _figures(figures)}


def _figures(file: Path) -> dict[str, Any]:
    """What `evaluate` found; paths by their names alone, as they are this machine's."""
    found: dict[str, Any] = json.loads(file.read_text())
    found["subject"] = Path(found["subject"]).name
    found["comparison"]["with"] = Path(found["comparison"]["with"]).name
    return found


def _packed(data: Path, labels: str, store: Path) -> float:
    prepared = RECIPES["best"].preprocess
    size = ("--crop", prepared.crop, "--size", prepared.size)
    return _timed("pack", data / IMAGES, "--labels", data / labels, "--out", store, *size)


def _timed(command: str, *arguments: object) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "galaxy_triton", command, *map(str, arguments)], check=True)
    return time.perf_counter() - started


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", default="", help="of the training, and of the folds")
    parser.add_argument("--held-out", default="training_solutions_exact.csv")
    parser.add_argument("--against", default="plain_loop_predictions_exact.csv")
    return parser.parse_args()


if __name__ == "__main__":
    main()
