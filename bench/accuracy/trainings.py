"""Shared by the scripts that compare many small trainings: options, files of results, intervals."""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bench import scripts
from galaxy_triton.config.schema import Preprocess

RESAMPLES, LEVEL = 4000, 0.95

# [seeds, galaxies]: mean squared error of a galaxy's 37 predictions, or a resampling of it
Squares = NDArray[np.float64]
Job = TypeVar("Job")


def option_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser of the options that all these scripts take."""
    parser = scripts.option_parser(description)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="trainings at the same time")
    parser.add_argument("--validation", default=scripts.OWN_LABELS, help="CSV in DATA")
    return parser


def packed(data: Path, work: Path, preprocess: Preprocess) -> Path:
    """The store of DATA's images; packed unless it is there."""
    store = work / f"crop-{preprocess.crop}-size-{preprocess.size}.store"
    if not store.exists():
        scripts.pack_images(data / scripts.IMAGES, data / scripts.LABELS, store, preprocess)
    return store


def file_of(work: Path, settings: object) -> Path:
    """The file of a training's result, named by the hash of all its settings."""
    return work / f"{hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:12]}.npz"


def run_all(train: Callable[[Job], None], jobs: dict[Path, Job], processes: int) -> None:
    """Train every job whose file does not exist, several at the same time."""
    missing = [job for file, job in jobs.items() if not file.exists()]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for number, _ in enumerate(pool.map(train, missing), 1):
            print(f"{number} of {len(missing)} trained", file=sys.stderr)


def paired(statistic: Callable[[Squares, Squares], float], one: Squares, other: Squares) -> list[float]:
    """A statistic of two trainings with its percentile bootstrap interval: [value, low, high].

    Seeds and galaxies are resampled, the same ones for both.
    """
    rng, (seeds, galaxies) = np.random.default_rng(1), one.shape
    drawn = []
    for _ in range(RESAMPLES):
        chosen = np.ix_(rng.integers(seeds, size=seeds), rng.integers(galaxies, size=galaxies))
        drawn.append(statistic(one[chosen], other[chosen]))
    low, high = np.quantile(drawn, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return [statistic(one, other), float(low), float(high)]
