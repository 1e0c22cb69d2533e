"""A short training from files on, by the command line: what `auto` chooses against plain torch, and each part alone."""

import csv
import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from bench.gpu.stages.stage import begin
from galaxy_triton.galaxyzoo.questions import COLUMNS, ID_COLUMN, PARENTS, SIZES

LADDER = {
    "plain": ("torch", "torch", "eager"),
    "auto": ("auto", "auto", "auto"),
    "augment": ("triton", "torch", "eager"),
    "loss": ("torch", "triton", "eager"),
}


def blobs(folder: Path, count: int, side: int) -> None:
    """JPEGs of elliptic Gaussians, and labels that their shape decides."""
    images = folder / "images"
    images.mkdir()
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:side, :side] / side - 0.5
    with (folder / "labels.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow([ID_COLUMN, *COLUMNS])
        for number in range(count):
            angle, ratio, width = rng.uniform(0, math.pi), rng.uniform(0.2, 1), rng.uniform(0.05, 0.2)
            along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
            light = np.exp(-(along**2 + (across / ratio) ** 2) / (2 * width**2))
            picture = light[..., None] * rng.uniform(120, 250, 3) + rng.uniform(0, 8, (side, side, 3))
            Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(images / f"{100000 + number}.jpg", quality=90)
            writer.writerow([100000 + number, *(f"{value:.6f}" for value in answers(ratio, width))])


def answers(ratio: float, width: float) -> list[float]:
    """37 cumulative fractions that obey the tree."""
    values: list[float] = []
    for question, (size, parent) in enumerate(zip(SIZES, PARENTS, strict=True)):
        weights = np.exp(np.cos(np.arange(size) + 3 * ratio + 20 * width * (question + 1)))
        above = 1.0 if parent is None else values[parent]
        values += (above * weights / weights.sum()).tolist()
    return values


def command(found, *words: object) -> str | None:
    """`galaxy-triton WORDS`; None where it failed, which is noted."""
    done = subprocess.run(
        [sys.executable, "-m", "galaxy_triton", *map(str, words)], capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return done.stdout
    print(done.stdout, done.stderr)
    found.row(what=f"galaxy-triton {words[0]}", ok=False, output=done.stderr[-500:])
    return None


def train(found, name: str, options: list[object], epochs: int) -> None:
    augment, loss, body = LADDER[name]
    choice = ["--augment", augment, "--loss", loss, "--body", body]
    started = time.perf_counter()
    said = command(found, "train", "store", "--recipe", "seed", "--epochs", epochs, "--run", name, *choice, *options)
    if said is None:
        return
    with (Path(name) / "metrics.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    first, last = ({key: float(value) for key, value in row.items()} for row in (rows[0], rows[-1]))
    found.row(
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
    count, side = (24, 64) if arguments.small else (2000, 256)
    size, epochs, names = (40, 2, ["plain"]) if arguments.small else (160, 4, list(LADDER))
    blobs(Path(), count, side)
    labels = ["--labels", "labels.csv"]
    packed = command(found, "pack", "images", *labels, "--out", "store", "--size", size, "--crop", side)
    fields = {"preprocess.frame": side, "preprocess.crop": side, "preprocess.size": size}
    options: list[object] = ["--device", arguments.device]
    if arguments.small:
        fields |= {"augmentation.size": 32, "network.hidden": 8}
        options += ["--width", "4,8", "--convs", 1, "--batch-size", 8]
    options += [word for key, value in fields.items() for word in ("--set", f"{key}={value}")]
    for name in names if packed is not None else []:
        train(found, name, options, epochs)
    sys.exit(1 if found.faults() else 0)


if __name__ == "__main__":
    main()
