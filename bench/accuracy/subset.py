"""The whole path on a folder of Galaxy Zoo files, timed: pack, train, evaluate, predict, fine-tune in folds.

    python -m bench.accuracy.subset DATA --out bench/results/subset-cpu.json [--seed N]

DATA holds images_training_rev1.zip, training_solutions_rev1.csv, images_test_rev1.zip, a table of validation galaxies
with their own labels, and another program's predictions for these. Fine-tuning uses these galaxies, in folds.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from torch import device

from bench.publish.made_with import made_with
from bench.scripts import (
    IMAGES,
    LABELS,
    OWN_LABELS,
    TEST_IMAGES,
    galaxy_triton,
    option_parser,
    pack_images,
    write_result,
)
from galaxy_triton.config.recipes import RECIPES

FOLDS = 5


def main() -> None:
    options = _options()
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
    write_result(options.out, result)


def _trained(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Train and score `best` on all galaxies but those of the validation table."""
    store, run, submission, figures = (scratch / name for name in ("store", "run", "submission.csv", "figures.json"))
    validation = options.data / options.validation
    own = ("--seed", options.seed) if options.seed else ()
    seconds = {
        "pack": _pack(options.data, LABELS, store),
        "train": galaxy_triton("train", store, "--recipe", "best", "--validation", validation, "--run", run, *own),
        "evaluate": galaxy_triton("evaluate", run, "--against", options.data / options.against, "--json", figures),
        "predict": galaxy_triton("predict", run, options.data / TEST_IMAGES, "--out", submission),
    }
    return {
        "seconds": seconds,
        "evaluation": _figures(figures),
        "submission_rows": len(submission.read_text().splitlines()) - 1,
        "metrics": (run / "metrics.csv").read_text().splitlines(),
    }


def _fine_tuned(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Fine-tune that network on the validation table's galaxies, in folds, and score it."""
    store, runs, figures = (scratch / name for name in ("exact.store", "folds", "exact.json"))
    seconds = {
        "pack": _pack(options.data, options.validation, store),
        "train": galaxy_triton("train", store, "--finetune", scratch / "run", "--folds", FOLDS, "--run", runs),
        "evaluate": galaxy_triton("evaluate", runs, "--against", options.data / options.against, "--json", figures),
    }
    folds = json.loads((runs / "cross_validation.json").read_text())
    return {"seconds": seconds, "folds": folds, "evaluation": _figures(figures)}


def _figures(file: Path) -> dict[str, Any]:
    """The figures of `evaluate`, with names in place of this machine's paths."""
    found: dict[str, Any] = json.loads(file.read_text())
    found["subject"] = Path(found["subject"]).name
    found["comparison"]["with"] = Path(found["comparison"]["with"]).name
    return found


def _pack(data: Path, labels: str, store: Path) -> float:
    return pack_images(data / IMAGES, data / labels, store, RECIPES["best"].preprocess)


def _options() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", default="", help="of the training, and of the folds")
    parser.add_argument("--validation", default=OWN_LABELS, help="CSV in DATA")
    parser.add_argument("--against", default="plain_loop_predictions_exact.csv", help="CSV in DATA")
    return parser.parse_args()


if __name__ == "__main__":
    main()
