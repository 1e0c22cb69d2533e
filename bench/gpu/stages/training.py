"""A short training by the command line: the choices of `auto` beside plain torch, and each part alone."""

import csv
import math
import sys
import time
from pathlib import Path

from bench.gpu.stages.stage import Commands, begin, simulate_and_pack

LADDER = {
    "plain": ("torch", "torch", "eager"),
    "auto": ("auto", "auto", "auto"),
    "augment": ("triton", "torch", "eager"),
    "loss": ("torch", "triton", "eager"),
}


def train(commands: Commands, name: str, options: list[object], epochs: int) -> None:
    augment, loss, body = LADDER[name]
    choice = ["--augment", augment, "--loss", loss, "--body", body]
    started = time.perf_counter()
    said = commands.ours("train", "store", "--recipe", "seed", "--epochs", epochs, "--run", name, *choice, *options)
    if said is None:
        return
    with (Path(name) / "metrics.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    first, last = ({key: float(value) for key, value in row.items()} for row in (rows[0], rows[-1]))
    commands.found.row(
        what=f"train {name}",
        augment=augment,
        loss=loss,
        body=body,
        images_per_s=last["images_per_s"],
        first_loss=first["train_loss"],
        last_loss=last["train_loss"],
        rmse=last["validation_rmse"],
        peak_mib=last["peak_memory_mib"],
        seconds=time.perf_counter() - started,
        ok=math.isfinite(last["train_loss"]) and last["train_loss"] < first["train_loss"] * 1.05,
    )


def main() -> None:
    arguments, found = begin()
    commands = Commands(found, arguments.limit - 10)
    galaxies, size, epochs, names = (24, 40, 2, ["plain"]) if arguments.small else (2000, 160, 4, list(LADDER))
    options: list[object] = ["--device", arguments.device, "--set", f"preprocess.size={size}"]
    if arguments.small:
        options += ["--width", "4,8", "--convs", 1, "--batch-size", 8]
        options += ["--set", "augmentation.size=32", "--set", "network.hidden=8"]
    packed = simulate_and_pack(commands, galaxies, size)
    for name in names if packed else []:
        train(commands, name, options, epochs)
    sys.exit(1 if found.faults() else 0)


if __name__ == "__main__":
    main()
