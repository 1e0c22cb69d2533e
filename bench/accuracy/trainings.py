"""What the measurements of many small trainings share: their options, where each is kept, intervals over seeds and
galaxies."""

import argparse
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.data.pack import pack

RESAMPLES, LEVEL = 4000, 0.95

# [seeds, galaxies]: mean squared error of a galaxy's 37 answers; or what is drawn of them
Squares = NDArray[np.float64]


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that all take."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("data", type=Path)
    options.add_argument("--work", type=Path, required=True)
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    options.add_argument("--jobs", type=int, default=os.cpu_count())
    options.add_argument("--held-out", default="training_solutions_exact.csv")
    return options


def packed(data: Path, work: Path, size: int, crop: int) -> Path:
    """The store of the folder's images, made where it is not there yet."""
    store = work / f"crop-{crop}-size-{size}.store"
    if not store.exists():
        images, labels = data / "images_training_rev1.zip", data / "training_solutions_rev1.csv"
        pack(images, labels, store, size=size, crop=crop, workers=2)
    return store


def kept_as(work: Path, made_of: object) -> Path:
    """The file of a training, named by all that it is made of: an earlier call may have meant another by its name."""
    return work / f"{hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:12]}.npz"


def paired(statistic: Callable[[Squares, Squares], float], one: Squares, other: Squares) -> list[float]:
    """A statistic of two, and its percentile bootstrap interval: seeds and galaxies are drawn, the same for both."""
    rng, (seeds, galaxies) = np.random.default_rng(1), one.shape
    drawn = []
    for _ in range(RESAMPLES):
        chosen = np.ix_(rng.integers(seeds, size=seeds), rng.integers(galaxies, size=galaxies))
        drawn.append(statistic(one[chosen], other[chosen]))
    low, high = np.quantile(drawn, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return [statistic(one, other), float(low), float(high)]
