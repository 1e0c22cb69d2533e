"""Whole training steps, ours and others' in turns; what a galaxy costs in an epoch of any length; the ablation."""

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from bench.gpu.stages.stage import Findings, begin

# In the order of their worth: the ablation writes its table again after every row.
FIRST = ("loss", "norm", "compile-only", "minus-augment")
THEN = ("seed", "resident", "compile", "augment", "graph", "minus-loss", "minus-compile")
IMAGES, LABELS = "sky/images_training_rev1", "sky/training_solutions_rev1.csv"
TINY = ("preprocess.size=24", "augmentation.size=16", "network.widths=4,8", "network.hidden=8")


class Commands:
    """Commands of this Python, until the time is used up; what fails is noted."""

    def __init__(self, found: Findings, limit: float) -> None:
        self.found, self.deadline = found, time.monotonic() + limit

    def run(self, *words: object, may_run_out: bool = False) -> str | None:
        """What a command prints; None where it failed or had no time."""
        what, left = " ".join(map(str, words[:3])), max(0.1, self.deadline - time.monotonic())
        command = [sys.executable, *map(str, words)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=left)
        except subprocess.TimeoutExpired:
            self.found.row(what=what, ok=may_run_out, summary="stopped at the stage's limit")
            return None
        if done.returncode == 0:
            return done.stdout
        print(done.stdout[-3000:], done.stderr[-3000:])
        self.found.row(what=what, ok=False, summary=done.stderr[-500:])
        return None

    def ours(self, *words: object, may_run_out: bool = False) -> str | None:
        """As `run`, of `galaxy-triton`."""
        return self.run("-m", "galaxy_triton", *words, may_run_out=may_run_out)


def main() -> None:
    arguments, found = begin()
    commands, small = Commands(found, arguments.limit - 10), arguments.small
    galaxies, workers = 48 if small else 2048, os.cpu_count() or 1
    commands.ours("simulate", "sky", "--count", galaxies, "--workers", workers)
    commands.ours("pack", IMAGES, "--labels", LABELS, "--out", "store", "--size", 24 if small else 160)
    pairs(commands, small)
    flat = commands.run("-m", "bench.steps.flat", *["--small"] * small)
    if flat is not None:
        found.fact("flat", json.loads(flat)["rows"])
    for number, rows in enumerate((("resident",),) if small else (FIRST, THEN)):
        ablate(commands, Path(f"ablation-{number}"), rows, small)
    sys.exit(1 if found.faults() else 0)


def pairs(commands: Commands, small: bool) -> None:
    work = ["--batch-size", 8, "--rounds", 3, "--steps", 1] if small else ["--batch-size", 256, "--rounds", 15]
    recipe = "demo" if small else "seed"
    words = ["-m", "bench.steps.pairs", "sky", "--out", "pairs.json", "--recipe", recipe, *work]
    if commands.run(*words) is not None:
        commands.found.fact("pairs", json.loads(Path("pairs.json").read_text()))


def ablate(commands: Commands, out: Path, rows: tuple[str, ...], small: bool) -> None:
    """The rows as they come."""
    fields = [word for field in TINY for word in ("--set", field)] if small else []
    work = ["--batch-size", 8, "--steps", 2, "--timed-steps", 2] if small else ["--batch-size", 256, "--steps", 200]
    chosen = [word for key in rows for word in ("--rows", key)]
    words = ["store", "--images", IMAGES, *fields, *work, "--seeds", 1, *chosen, "--out", out]
    commands.ours("ablate", *words, may_run_out=True)
    table = out / "ablation.csv"
    if table.is_file():
        with table.open(newline="") as handle:
            commands.found.fact(out.name, list(csv.DictReader(handle)))


if __name__ == "__main__":
    main()
