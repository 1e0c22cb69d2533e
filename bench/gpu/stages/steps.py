"""Whole training steps, ours and others' in turns; what a galaxy costs in an epoch of any length; the ablation."""

import csv
import json
import sys
from pathlib import Path

from bench.gpu.stages.stage import SKY_IMAGES, Commands, begin, simulate_and_pack

# The most valuable rows first: the ablation writes its table again after every row.
FIRST = ("loss", "norm", "compile-only", "minus-augment")
THEN = ("seed", "resident", "compile", "augment", "graph", "minus-loss", "minus-compile")
TINY = ("preprocess.size=24", "augmentation.size=16", "network.widths=4,8", "network.hidden=8")


def main() -> None:
    arguments, found = begin()
    commands, small = Commands(found, arguments.limit - 10), arguments.small
    simulate_and_pack(commands, 48 if small else 2048, size=24 if small else 160)
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
    """Measure these rows of the ablation; those that had time are kept."""
    fields = [word for field in TINY for word in ("--set", field)] if small else []
    work = ["--batch-size", 8, "--steps", 2, "--timed-steps", 2] if small else ["--batch-size", 256, "--steps", 200]
    chosen = [word for key in rows for word in ("--rows", key)]
    words = ["store", "--images", SKY_IMAGES, *fields, *work, "--seeds", 1, *chosen, "--out", out]
    commands.ours("ablate", *words, may_run_out=True)
    table = out / "ablation.csv"
    if table.is_file():
        with table.open(newline="") as handle:
            commands.found.fact(out.name, list(csv.DictReader(handle)))


if __name__ == "__main__":
    main()
