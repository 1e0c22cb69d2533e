"""Baselines against sums written out by hand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from galaxy_triton.config.schema import Run
from galaxy_triton.data.folds import draw_folds, ids_to_hold_out
from galaxy_triton.data.pack import pack
from galaxy_triton.data.store import Store, open_store
from galaxy_triton.evaluate.baseline import baselines, central_colours, k_means
from galaxy_triton.galaxyzoo.write_tables import write_answers
from galaxy_triton.system.errors import DataFault, UsageFault

COUNT, LABELLED, SIDE = 40, 36, 30
RED = np.arange(COUNT) % 2 == 0  # the others are blue


def labels() -> NDArray[np.float32]:
    """[36, 37]: red galaxies are about 0.8 everywhere, blue ones about 0.1."""
    noise = np.random.default_rng(5).uniform(-0.05, 0.05, (LABELLED, 37))
    return (np.where(RED[:LABELLED, None], 0.8, 0.1) + noise).astype(np.float32)


def rmse(errors: NDArray[np.floating]) -> float:
    return float(np.sqrt((np.asarray(errors, dtype=np.float64) ** 2).mean()))


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Store]:
    """40 noisy images of SIDE pixels: a 10 x 10 centre of red or blue, green around it; the first 36 have labels."""
    rng = np.random.default_rng(4)

    def run(size: int = SIDE, crop: int | None = None) -> Store:
        (tmp_path / "images").mkdir()
        for number, red in enumerate(RED):
            pixels = np.full((SIDE, SIDE, 3), (0, 200, 0))
            pixels[10:20, 10:20] = (200, 0, 10) if red else (10, 0, 200)
            noisy = (pixels + rng.integers(0, 50, pixels.shape)).astype(np.uint8)
            Image.fromarray(noisy).save(tmp_path / "images" / f"{number}.png")
        write_answers(tmp_path / "labels.csv", [(range(LABELLED), labels())])
        pack(tmp_path / "images", tmp_path / "labels.csv", tmp_path / "store", size=size, crop=crop, workers=1)
        return open_store(tmp_path / "store")

    return run


def test_baselines_cross_validated(make: Callable[..., Store]) -> None:
    known = labels().round(7)
    store = make()
    folds = draw_folds(ids_to_hold_out(store, None), 4, Run().seed)
    fold = folds.numbers[np.argsort(folds.ids)]
    scores = baselines(store, folds=4, clusters=2)
    mean_errors, colour_errors = [], []
    for row in range(LABELLED):
        others = fold != fold[row]
        alike = others & (RED[:LABELLED] == RED[row])
        mean_errors.append(known[others].mean(axis=0) - known[row])
        colour_errors.append(known[alike].mean(axis=0) - known[row])
    assert scores.images == LABELLED
    assert scores.zeros == pytest.approx(rmse(known), rel=1e-5)
    assert scores.ones == pytest.approx(rmse(known - 1), rel=1e-5)
    assert scores.mean == pytest.approx(rmse(np.array(mean_errors)), rel=1e-5)
    assert scores.central_pixel == pytest.approx(rmse(np.array(colour_errors)), rel=1e-5)


def test_baselines_on_given_ids(make: Callable[..., Store]) -> None:
    known, asked = labels().round(7), np.array([35, 2, 9])
    others = np.setdiff1d(np.arange(LABELLED), asked)
    scores = baselines(make(), asked, clusters=2)
    alike = [known[others][RED[others] == RED[row]].mean(axis=0) for row in asked]
    assert scores.images == 3
    assert scores.zeros == pytest.approx(rmse(known[asked]), rel=1e-5)
    assert scores.ones == pytest.approx(rmse(known[asked] - 1), rel=1e-5)
    assert scores.mean == pytest.approx(rmse(known[others].mean(axis=0) - known[asked]), rel=1e-5)
    assert scores.central_pixel == pytest.approx(rmse(np.array(alike) - known[asked]), rel=1e-5)


def test_central_pixel_with_one_cluster_is_the_mean(make: Callable[..., Store]) -> None:
    scores = baselines(make(), clusters=1)
    assert scores.central_pixel == pytest.approx(scores.mean, rel=1e-12)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([1, 999], "ids of labelled images, got 999"),
        ([1, LABELLED], f"ids of labelled images, got {LABELLED}"),
        (range(LABELLED), "to learn from and to score, got 0 and 36"),
        ([], "to learn from and to score, got 36 and 0"),
    ],
)
def test_baselines_refuses_ids(make: Callable[..., Store], ids: list[int], message: str) -> None:
    with pytest.raises(DataFault, match=message):
        baselines(make(), np.array(ids, dtype=np.int64))


@pytest.mark.parametrize("options", [{"folds": 1}, {"clusters": 0}])
def test_baselines_refuses_options(make: Callable[..., Store], options: dict[str, int]) -> None:
    with pytest.raises(UsageFault, match="at least"):
        baselines(make(), **options)


def test_baselines_wants_labels(make: Callable[..., Store], tmp_path: Path) -> None:
    make()
    pack(tmp_path / "images", None, tmp_path / "bare", size=SIDE, workers=1)
    with pytest.raises(DataFault, match="Expected a store with labels, got one without"):
        baselines(open_store(tmp_path / "bare"))


# the source's 10 pixels are 10, 5, 10, 1 and less than 1 of the store's
@pytest.mark.parametrize(
    ("size", "crop", "start", "stop"),
    [(30, 30, 10, 20), (15, 30, 5, 10), (20, 20, 5, 15), (3, 30, 1, 2), (1, 30, 0, 1)],
)
def test_central_colours(make: Callable[..., Store], size: int, crop: int, start: int, stop: int) -> None:
    store = make(size, crop=crop)
    want = [store.pixels[row, start:stop, start:stop, :3].reshape(-1, 3).mean(axis=0) for row in range(COUNT)]
    np.testing.assert_allclose(central_colours(store), want, rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_k_means_finds_separate_groups(seed: int) -> None:
    rng = np.random.default_rng(2)
    centres = np.array([[0.0, 0], [50, 0], [0, 50], [50, 50]])
    points = np.repeat(centres, 30, axis=0) + rng.normal(size=(120, 2))
    got = k_means(rng.permutation(points), 4, np.random.default_rng(seed))
    want = points.reshape(4, 30, 2).mean(axis=1)
    distances = np.linalg.norm(got[:, None] - want, axis=2)
    assert sorted(distances.argmin(axis=1).tolist()) == [0, 1, 2, 3]
    assert distances.min(axis=1).max() < 1e-9


def test_k_means_has_no_more_centres_than_points() -> None:
    points = np.array([[1.0, 1], [2, 2], [1, 1]])
    assert np.array_equal(np.sort(k_means(points, 6, np.random.default_rng(1)), axis=0), [[1, 1], [2, 2]])
