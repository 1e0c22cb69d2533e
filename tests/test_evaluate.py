"""Scores against NumPy by hand, intervals that cover, and what an evaluation says of its run."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from galaxy_triton.answer import open_run
from galaxy_triton.display import Display
from galaxy_triton.errors import DataFault, UsageFault
from galaxy_triton.evaluate import Asked, compare, evaluate, rmse, score
from galaxy_triton.pack import pack
from galaxy_triton.run_folder import read_split
from galaxy_triton.table import write_answers

ASKED = Asked(views=1, device="cpu")
FIRST_COLUMNS = {"smooth": (0, 3), "edge_on": (3, 5), "bar": (5, 7), "spiral": (7, 9), "bulge": (9, 13)}


def answers(rows: int = 30, seed: int = 1) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).random((rows, 37), dtype=np.float32)


def write_ids(path: Path, ids: Any) -> Path:
    path.write_text("GalaxyID\n" + "".join(f"{number}\n" for number in ids))
    return path


def test_rmse() -> None:
    ours, labels = answers(2, 1).tolist(), answers(2, 2).tolist()
    total = sum((ours[row][column] - labels[row][column]) ** 2 for row in range(2) for column in range(37))
    assert rmse(answers(2, 1), answers(2, 2)) == pytest.approx((total / 74) ** 0.5, rel=1e-7)
    assert rmse(answers(2, 2), answers(2, 2)) == 0


def test_score() -> None:
    ours, labels = answers(30, 1), answers(30, 2)
    found = score(ours, labels)
    squares = (ours.astype(np.float64) - labels) ** 2
    assert found.galaxies == 30
    assert found.rmse == pytest.approx(np.sqrt(squares.mean()), rel=1e-12)
    assert len(found.questions) == 11
    for name, (start, stop) in FIRST_COLUMNS.items():
        assert found.questions[name][0] == pytest.approx(np.sqrt(squares[:, start:stop].mean()), rel=1e-12)
    for value, low, high in ((found.rmse, *found.interval), *found.questions.values()):
        assert low < value < high


def test_score_interval_is_the_bootstraps() -> None:
    """The same percentiles from resamples drawn here, row by row."""
    ours, labels = answers(30, 1), answers(30, 2)
    each = ((ours.astype(np.float64) - labels) ** 2).mean(axis=1)
    rng = np.random.default_rng(99)
    means = [np.sqrt(each[rng.integers(0, 30, 30)].mean()) for _ in range(20_000)]
    want = np.quantile(means, (0.025, 0.975))
    width = want[1] - want[0]
    assert score(ours, labels).interval == pytest.approx(tuple(want), abs=0.05 * width)


def test_score_interval_covers() -> None:
    """Of 300 samples from one law, the share whose 95 % interval holds the true RMSE: 0.95 less a small sample's."""
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(300):
        # An error of size s in all columns of a galaxy, s^2 exponential with mean 0.01: the true RMSE is 0.1.
        errors = np.sqrt(rng.exponential(0.01, (80, 1))) * np.ones((1, 37))
        low, high = score(errors.astype(np.float32), np.zeros((80, 37), np.float32)).interval
        covered += low < 0.1 < high
    assert 0.89 < covered / 300 < 0.98


def test_score_of_one_galaxy() -> None:
    found = score(answers(1, 1), answers(1, 2))
    assert found.interval == pytest.approx((found.rmse, found.rmse))


def test_compare() -> None:
    labels = answers(200, 1)
    noise = np.random.default_rng(3).normal(0, 1, (200, 37)).astype(np.float32)
    better, worse = labels + 0.10 * noise, labels + 0.11 * noise
    value, low, high = compare(better, worse, labels)
    assert value == pytest.approx(rmse(worse, labels) - rmse(better, labels), rel=1e-12)
    # Paired: the errors are the same but for a factor, so the difference is known far better than either.
    assert 0 < low < value < high
    interval = score(better, labels).interval
    assert high - low < 0.2 * (interval[1] - interval[0])
    assert compare(worse, better, labels) == pytest.approx((-value, -high, -low))
    assert compare(better, better, labels) == (0, 0, 0)


def test_evaluate(run: Path, sky: Any, display: Display) -> None:
    """By default on what the run held out, and so without a warning."""
    found = evaluate(run, sky.store, ASKED, display)
    held_out = np.isin(sky.ids[:44], read_split(run)["validation"])
    assert (found.score.galaxies, held_out.sum()) == (11, 11)
    assert (found.trained_on, found.chosen_on, found.difference) == (0, False, None)
    last = (run / "metrics.csv").read_text().splitlines()[-1].split(",")
    assert found.score.rmse == pytest.approx(float(last[3]), rel=1e-5)  # one view, as the run's validation


def test_evaluate_warns_of_galaxies_trained_on(run: Path, sky: Any, display: Display, tmp_path: Path) -> None:
    parts = read_split(run)
    ids = write_ids(tmp_path / "ids.csv", [*parts["train"][:5], *parts["validation"][:3]])
    found = evaluate(run, sky.store, replace(ASKED, ids=ids), display)
    assert (found.score.galaxies, found.trained_on) == (8, 5)


@pytest.mark.parametrize(("which", "part", "chosen_on"), [("best", "validation", True), ("best", "train", False)])
def test_evaluate_warns_of_galaxies_that_chose(
    which: str, part: str, chosen_on: bool, run: Path, sky: Any, display: Display, tmp_path: Path
) -> None:
    ids = write_ids(tmp_path / "ids.csv", read_split(run)[part])
    assert evaluate(run, sky.store, replace(ASKED, which=which, ids=ids), display).chosen_on == chosen_on


def test_evaluate_averages_views(run: Path, sky: Any, display: Display) -> None:
    """The RMSE of a mean over views is not above the views' own root mean square."""
    one = evaluate(run, sky.store, ASKED, display).score.rmse
    many = evaluate(run, sky.store, replace(ASKED, views=8), display).score.rmse
    assert many != one
    assert many < 1.05 * one


def test_evaluate_is_the_same_in_any_batch(run: Path, sky: Any, display: Display) -> None:
    scores = [evaluate(run, sky.store, replace(ASKED, views=4, batch_size=size), display) for size in (1, 4, 256)]
    for found in scores[1:]:
        assert found.score.rmse == pytest.approx(scores[0].score.rmse, rel=1e-6)


def test_evaluate_against(run: Path, sky: Any, display: Display, tmp_path: Path) -> None:
    """The labels themselves, in another order and with others' rows: the difference is minus our RMSE."""
    order = np.random.default_rng(2).permutation(44)
    write_answers(tmp_path / "others.csv", [(sky.ids[:44][order], sky.answers[order]), ([5], answers(1))])
    found = evaluate(run, sky.store, replace(ASKED, against=tmp_path / "others.csv"), display)
    value, low, high = found.difference
    assert value == pytest.approx(-found.score.rmse, abs=1e-6)
    assert (-high, -low) == pytest.approx(found.score.interval, abs=1e-6)


def spoil_unknown(run: Path, sky: Any, folder: Path) -> Asked:
    return replace(ASKED, ids=write_ids(folder / "ids.csv", [sky.ids[0], 5, 6]))


def spoil_unlabelled(run: Path, sky: Any, folder: Path) -> Asked:
    return replace(ASKED, ids=write_ids(folder / "ids.csv", [sky.ids[0], sky.ids[45]]))


def spoil_against(run: Path, sky: Any, folder: Path) -> Asked:
    write_answers(folder / "others.csv", [(sky.ids[:1], sky.answers[:1])])
    return replace(ASKED, against=folder / "others.csv")


def spoil_split(run: Path, sky: Any, folder: Path) -> Asked:
    split = run / "split.csv"
    split.write_text(split.read_text().replace("validation", "train"))
    return ASKED


def spoil_best(run: Path, sky: Any, folder: Path) -> Asked:
    shutil.rmtree(run / "best")
    return replace(ASKED, which="best")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_unknown, r"Expected ids of labelled galaxies in .*, got 2 others, 5 the first \(.*ids.csv\)"),
        (spoil_unlabelled, r"Expected ids of labelled galaxies in .*, got 1 others"),
        (spoil_against, r"Expected answers for every galaxy scored, got no row for \d+ of them"),
        (spoil_split, r"Expected galaxies to score, got none: the run held none out"),
        (spoil_best, r"Expected a whole checkpoint, got .*No such file"),
    ],
)
def test_evaluate_explains(
    spoil: Callable[[Path, Any, Path], Asked], message: str, run: Path, sky: Any, display: Display, tmp_path: Path
) -> None:
    shutil.copytree(run, tmp_path / "run")
    asked = spoil(tmp_path / "run", sky, tmp_path)
    with pytest.raises(DataFault, match=message):
        evaluate(tmp_path / "run", sky.store, asked, display)


def test_evaluate_refuses_another_preprocessing(run: Path, sky: Any, display: Display, tmp_path: Path) -> None:
    pack(sky.images, sky.labels, tmp_path / "s", size=24, crop=30, workers=1)
    message = r"Expected a store of Preprocess\(frame=40, crop=40, size=24\), got Preprocess\(frame=40, crop=30"
    with pytest.raises(DataFault, match=message + r".*pack with --crop 40 --size 24"):
        evaluate(run, tmp_path / "s", ASKED, display)


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="there is an Apple GPU")
def test_open_run_refuses_a_device_that_is_not_there(run: Path) -> None:
    with pytest.raises(UsageFault, match="Expected a machine with mps, got one with"):
        open_run(run, "last", "mps")
