"""Baselines without a network: RMSE of constant predictions and of the central pixel's colour."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.config.schema import Run, require
from galaxy_triton.data.folds import draw_folds
from galaxy_triton.data.store import Progress, Store, labelled_rows, read_pixels, require_labels
from galaxy_triton.evaluate.scores import rmse
from galaxy_triton.galaxyzoo.ids import galaxy_id, rows_of
from galaxy_triton.galaxyzoo.tables import shown
from galaxy_triton.system.errors import DataFault, expected

PATCH = 10  # side of the central patch in pixels of the source, as in Kaggle's benchmark
ROUNDS = 100  # of k-means at most; it settles far sooner
SEED = 1  # of k-means

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Baselines:
    """RMSE of each baseline over 37 columns of so many images."""

    images: int
    zeros: float
    ones: float
    mean: float
    central_pixel: float


def baselines(
    store: Store,
    ids: Iterable[int | str] | None = None,
    *,
    folds: int = 5,
    clusters: int = 6,
    progress: Progress = lambda done, total: None,
) -> Baselines:
    """Score four baselines on a store's labels: all zeros, all ones, the mean label and the central pixel.

    The central pixel is k-means on the mean colour of the 10 x 10 centre patch of the source, each cluster predicting
    its mean label. Kaggle's own central-pixel file has 6 distinct rows, hence 6 clusters.

    With `ids` (or names), those galaxies are scored, and the mean and the clusters are of all other labelled ones.
    Without, all labelled galaxies are scored by cross-validation, in the folds of `train --folds` at its default seed.

    Raises:
        UsageFault: fewer than 2 folds or 1 cluster, or fewer labelled galaxies than folds.
        DataFault: no label; an id that is not in the store or has no label; no galaxy to learn from; damaged pixels.
    """
    require(clusters >= 1, "clusters", "at least 1", clusters)
    labels = require_labels(store).astype(np.float64)
    parts = _folds(store, folds) if ids is None else [_split(store, list(map(str, ids)))]
    colours = central_colours(store, progress)
    known = np.concatenate([labels[test] for _, test in parts])
    means = [np.tile(labels[train].mean(axis=0), (len(test), 1)) for train, test in parts]
    by_colour = [_by_colour(colours, labels, train, test, clusters) for train, test in parts]
    predictions = (np.zeros_like(known), np.ones_like(known), np.concatenate(means), np.concatenate(by_colour))
    return Baselines(len(known), *(rmse(each, known) for each in predictions))


def central_colours(store: Store, progress: Progress = lambda done, total: None) -> Floats:
    """The mean colour of each image's central patch: float64 [N, 3], 0 to 255.

    The patch is 10 x 10 pixels of the source, in the store's pixels 10 S / crop, rounded and at least 1.

    Raises:
        DataFault: damaged pixels.
    """
    size = store.preprocess.size
    side = min(size, max(1, round(PATCH * size / store.preprocess.crop)))
    centre = slice((size - side) // 2, (size - side) // 2 + side)
    blocks = read_pixels(store, progress)
    return np.concatenate([block[:, centre, centre, :3].mean(axis=(1, 2)) for _, block in blocks])


def k_means(points: Floats, clusters: int, rng: np.random.Generator) -> Floats:
    """Centres [K <= clusters, D] of points [N, D]: Lloyd's algorithm from k-means++ (Arthur and Vassilvitskii 2007).

    There are no more centres than distinct points.
    """
    centres = _first_centres(points, min(clusters, len(np.unique(points, axis=0))), rng)
    for _ in range(ROUNDS):
        moved = _means(points, _nearest(points, centres), centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres


def _folds(store: Store, count: int) -> list[tuple[Rows, Rows]]:
    """Each fold's rows to learn from, and to score."""
    folds = draw_folds(store.ids[labelled_rows(store)], count, Run().seed)
    rows = rows_of(store.ids, folds.ids)
    return [(rows[folds.numbers != number], rows[folds.numbers == number]) for number in range(1, count + 1)]


def _split(store: Store, names: list[str]) -> tuple[Rows, Rows]:
    """The rows to learn from, and those of the galaxies with these ids or names."""
    labelled, test = labelled_rows(store), rows_of(store.ids, np.array(list(map(galaxy_id, names)), np.int64))
    if len(wrong := np.flatnonzero(~np.isin(test, labelled))):
        got, do = shown(names[wrong[0]]), "take it out of the list of ids"
        raise DataFault(expected("ids of labelled images", got, store.path, do))
    train = np.setdiff1d(labelled, test)
    if not len(train) or not len(test):
        got = f"{len(train)} and {len(test)}"
        raise DataFault(expected("images to learn from and to score", got, store.path, "mend the list of ids"))
    return train, test


def _by_colour(colours: Floats, labels: Floats, train: Rows, test: Rows, clusters: int) -> Floats:
    centres = k_means(colours[train], clusters, np.random.default_rng(SEED))
    mean = np.tile(labels[train].mean(axis=0), (len(centres), 1))
    predictions = _means(labels[train], _nearest(colours[train], centres), mean)
    return predictions[_nearest(colours[test], centres)]


def _first_centres(points: Floats, clusters: int, rng: np.random.Generator) -> Floats:
    """k-means++: each next centre is drawn by its squared distance to the nearest so far."""
    centres: Floats = points[rng.integers(len(points))][None]
    while len(centres) < clusters:
        squared = _squared_distances(points, centres).min(axis=1)
        centres = np.vstack([centres, points[rng.choice(len(points), p=squared / squared.sum())]])
    return centres


def _nearest(points: Floats, centres: Floats) -> NDArray[np.int64]:
    nearest: NDArray[np.int64] = _squared_distances(points, centres).argmin(axis=1)
    return nearest


def _squared_distances(points: Floats, centres: Floats) -> Floats:
    return np.stack([np.square(points - centre).sum(axis=1) for centre in centres], axis=1)


def _means(values: Floats, cluster: NDArray[np.int64], default: Floats) -> Floats:
    """The mean of each cluster's values [N, D], a row for each cluster [K, D]; `default` for an empty cluster."""
    means = default.copy()
    for number in np.unique(cluster):
        means[number] = values[cluster == number].mean(axis=0)
    return means
