"""What no network scores: RMSEs of constant answers and of the central pixel's colour."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.config.schema import Run, require
from galaxy_triton.data.folds import draw_folds
from galaxy_triton.data.store import Progress, Store, require_labels, verified_pixels
from galaxy_triton.galaxyzoo.ids import rows_of
from galaxy_triton.galaxyzoo.questions import COLUMNS
from galaxy_triton.system.errors import DataFault, expected

PATCH = 10  # side of the central patch in pixels of the source, as in Kaggle's benchmark
ROUNDS = 100  # of k-means at most; it settles far sooner
SEED = 1  # of k-means

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Learner = Callable[[Rows, Rows], Floats]  # (rows to learn from, rows to answer) -> answers [M, 37]


@dataclass(frozen=True)
class Baselines:
    """Root mean squared errors over `images` rows and 37 columns."""

    images: int
    zeros: float
    ones: float
    mean: float
    central_pixel: float


def baselines(
    store: Store,
    ids: NDArray[np.int64] | None = None,
    *,
    folds: int = 5,
    clusters: int = 6,
    progress: Progress = lambda done, total: None,
) -> Baselines:
    """Score four baselines on a store's labels.

    All zeros; all ones; the mean label; and the central pixel: k-means on the mean colour of the 10 x 10 centre patch
    of the source, each cluster answering with its mean label. Kaggle's own central-pixel file has 6 distinct rows,
    hence 6 clusters.

    With `ids`, those rows are scored and the last two learn from all other labelled rows. Without, every labelled row
    is scored by what learnt from the other folds, which are those of `train --folds` at its default seed.

    Raises:
        UsageFault: fewer than 2 folds or 1 cluster, or fewer labelled rows than folds.
        DataFault: no label; an id that is not in the store or has no label; no row to learn from; damaged pixels.
    """
    require(clusters >= 1, "clusters", "at least 1", clusters)
    labels = _labels(store)
    parts = _folds(store, folds) if ids is None else [_split(store, ids)]
    colours = central_colours(store, progress)
    learners: dict[str, Learner] = {
        "zeros": lambda known, asked: np.zeros((len(asked), len(COLUMNS))),
        "ones": lambda known, asked: np.ones((len(asked), len(COLUMNS))),
        "mean": lambda known, asked: np.tile(labels[known].mean(axis=0), (len(asked), 1)),
        "central_pixel": lambda known, asked: _by_colour(colours, labels, known, asked, clusters),
    }
    scores = {name: _score(learner, parts, labels) for name, learner in learners.items()}
    return Baselines(images=sum(len(asked) for _, asked in parts), **scores)


def central_colours(store: Store, progress: Progress = lambda done, total: None) -> Floats:
    """The mean colour of each image's central patch: float64 [N, 3], 0 to 255.

    The patch is the source's 10 x 10 in the store's pixels, 10 S / crop, rounded and at least 1.

    Raises:
        DataFault: damaged pixels.
    """
    size = store.preprocess.size
    side = min(size, max(1, round(PATCH * size / store.preprocess.crop)))
    centre = slice((size - side) // 2, (size - side) // 2 + side)
    blocks = verified_pixels(store, progress)
    return np.concatenate([block[:, centre, centre, :3].mean(axis=(1, 2)) for _, block in blocks])


def k_means(points: Floats, clusters: int, rng: np.random.Generator) -> Floats:
    """Centres [K <= clusters, D] of points [N, D]: Lloyd's algorithm from k-means++ (Arthur and Vassilvitskii 2007).

    There are no more centres than distinct points.
    """
    centres = _spread(points, min(clusters, len(np.unique(points, axis=0))), rng)
    for _ in range(ROUNDS):
        nearest = _nearest(points, centres)
        moved = _means(points, nearest, centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres


def _folds(store: Store, count: int) -> list[tuple[Rows, Rows]]:
    folds = draw_folds(store.ids[np.flatnonzero(store.labelled)], count, Run().seed)
    rows = rows_of(store.ids, folds.ids)
    return [(rows[folds.numbers != number], rows[folds.numbers == number]) for number in range(1, count + 1)]


def _split(store: Store, ids: NDArray[np.int64]) -> tuple[Rows, Rows]:
    labelled = np.flatnonzero(store.labelled)
    asked = rows_of(store.ids, ids)
    scored = np.isin(asked, labelled)
    if not scored.all():
        wrong = ids[~scored][0]
        raise DataFault(expected("ids of labelled images", f"{wrong}", store.path, "mend the list of ids"))
    known = np.setdiff1d(labelled, asked)
    if not len(known) or not len(asked):
        got = f"{len(known)} and {len(asked)}"
        raise DataFault(expected("images to learn from and to score", got, store.path, "mend the list of ids"))
    return known, asked


def _labels(store: Store) -> Floats:
    return require_labels(store).astype(np.float64)


def _score(learner: Learner, parts: list[tuple[Rows, Rows]], labels: Floats) -> float:
    """sqrt(mean over rows and columns of (answer - label)^2)"""
    errors = [learner(known, asked) - labels[asked] for known, asked in parts]
    return float(np.sqrt(np.square(np.concatenate(errors)).mean()))


def _by_colour(colours: Floats, labels: Floats, known: Rows, asked: Rows, clusters: int) -> Floats:
    centres = k_means(colours[known], clusters, np.random.default_rng(SEED))
    mean = np.tile(labels[known].mean(axis=0), (len(centres), 1))
    answers = _means(labels[known], _nearest(colours[known], centres), mean)
    return answers[_nearest(colours[asked], centres)]


def _spread(points: Floats, clusters: int, rng: np.random.Generator) -> Floats:
    """k-means++: each next centre is drawn by its squared distance to the nearest so far."""
    centres: Floats = points[rng.integers(len(points))][None]
    while len(centres) < clusters:
        squared = _squared(points, centres).min(axis=1)
        centres = np.vstack([centres, points[rng.choice(len(points), p=squared / squared.sum())]])
    return centres


def _nearest(points: Floats, centres: Floats) -> NDArray[np.int64]:
    nearest: NDArray[np.int64] = _squared(points, centres).argmin(axis=1)
    return nearest


def _squared(points: Floats, centres: Floats) -> Floats:
    return np.stack([np.square(points - centre).sum(axis=1) for centre in centres], axis=1)


def _means(values: Floats, cluster: NDArray[np.int64], otherwise: Floats) -> Floats:
    """The mean of each cluster's values [N, D], one row a cluster [K, D]; an empty cluster keeps `otherwise`."""
    means = otherwise.copy()
    for number in np.unique(cluster):
        means[number] = values[cluster == number].mean(axis=0)
    return means
