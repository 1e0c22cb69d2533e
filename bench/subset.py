"""The whole path on a folder of Galaxy Zoo files, timed: pack, train, evaluate, predict -> one JSON.

    python bench/subset.py DATA --out bench/results/subset-cpu.json

DATA holds images_training_rev1.zip, training_solutions_rev1.csv, images_test_rev1.zip, a CSV of the ids to hold out,
and another program's answers for these.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from galaxy_triton.display import Display
from galaxy_triton.evaluate import Asked, evaluate
from galaxy_triton.surroundings import surroundings


def main() -> None:
    options = _options()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    data = options.data
    held_out, against = data / options.held_out, data / options.against
    with tempfile.TemporaryDirectory() as scratch:
        store, run, submission = (Path(scratch) / name for name in ("store", "run", "submission.csv"))
        images, labels = data / "images_training_rev1.zip", data / "training_solutions_rev1.csv"
        seconds = {
            "pack": _timed("pack", images, "--labels", labels, "--out", store, "--crop", 256, "--size", 80),
            "train": _timed("train", store, "--recipe", "best", "--validation", held_out, "--run", run),
            "evaluate": _timed("evaluate", run, store, "--ids", held_out, "--against", against),
            "predict": _timed("predict", run, data / "images_test_rev1.zip", "--out", submission),
        }
        found = evaluate(run, store, Asked(ids=held_out, against=against, consistency=0), Display()).findings
        rows = len(submission.read_text().splitlines()) - 1
        epochs = (run / "metrics.csv").read_text().splitlines()
    result = {
        "what": "4,000 images of Galaxy Zoo; trained on 3,818 with coarse labels, scored on 182 with their own",
        "commit": _commit(),
        "surroundings": surroundings(),
        "seconds": {**seconds, "all": sum(seconds.values())},
        "evaluation": {
            "score": asdict(found.score),
            "difference": found.comparison and found.comparison.lower.overall,
        },
        "submission_rows": rows,
        "metrics": epochs,
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n")


def _timed(command: str, *arguments: object) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "galaxy_triton", command, *map(str, arguments)], check=True)
    return time.perf_counter() - started


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--held-out", default="training_solutions_exact.csv")
    parser.add_argument("--against", default="plain_loop_predictions_exact.csv")
    return parser.parse_args()


if __name__ == "__main__":
    main()
