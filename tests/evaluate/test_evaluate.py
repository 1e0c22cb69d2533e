"""Evaluation of a run and of a table of predictions."""

import csv
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from galaxy_triton.data.galaxies import load
from galaxy_triton.data.names import names_of
from galaxy_triton.data.pack import pack
from galaxy_triton.data.split import Split
from galaxy_triton.data.store import open_store
from galaxy_triton.evaluate.evaluate import EvaluateOptions, evaluate, score_run
from galaxy_triton.evaluate.loaded_run import LoadedRun, load_galaxies
from galaxy_triton.galaxyzoo.questions import COLUMNS, ID_COLUMN
from galaxy_triton.galaxyzoo.write_tables import write_answers
from galaxy_triton.predict.predictor import load_predictor
from galaxy_triton.runs.folder import read_split
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault, UsageFault

OPTIONS = EvaluateOptions(views=1, device="cpu", consistency=0)
OF_TABLE = EvaluateOptions()  # no option that only a network can follow


def write_ids(path: Path, ids: Any) -> Path:
    path.write_text("GalaxyID\n" + "".join(f"{number}\n" for number in ids))
    return path


def test_a_run_is_scored_on_its_validation_galaxies(run: Path, sky: Any, display: Display) -> None:
    """Beside all zeros, all ones and the mean label of the training galaxies; there is nothing to warn of."""
    evaluation = evaluate(run, sky.store, OPTIONS, display)
    found = evaluation.findings
    rows = np.isin(sky.ids[:44], read_split(run).validation)
    labels, mean = sky.answers[rows], sky.answers[~rows].mean(axis=0)
    assert (found.score.galaxies, rows.sum()) == (11, 11)
    assert list(found.names) == [str(number) for number in read_split(run).validation]
    assert found.labels == pytest.approx(labels, abs=1e-6)
    assert (evaluation.trained_on, evaluation.chosen_on, found.comparison) == (0, False, None)
    last = (run / "metrics.csv").read_text().splitlines()[-1].split(",")
    assert found.score.rmse == pytest.approx(float(last[3]), abs=1e-6)  # one view, as the run's validation
    constants = found.constants
    for value, constant in ((constants.zeros, 0), (constants.ones, 1), (constants.mean.rmse, mean)):
        assert value == pytest.approx(np.sqrt(np.square(constant - labels).mean()), rel=1e-6)
    assert constants.of_training


def test_a_store_without_the_training_galaxies(run: Path, sky: Any, display: Display, tmp_path: Path) -> None:
    """Their mean label is unknown there, so that of the scored galaxies is taken."""
    rows = np.isin(sky.ids[:44], read_split(run).validation)
    write_answers(tmp_path / "labels.csv", [(sky.ids[:44][rows], sky.answers[rows])])
    pack(sky.images, tmp_path / "labels.csv", tmp_path / "store", size=24, workers=1)
    found = evaluate(run, tmp_path / "store", OPTIONS, display).findings
    assert found.constants.mean.rmse == pytest.approx(np.sqrt(sky.answers[rows].var(axis=0).mean()), rel=1e-6)
    assert not found.constants.of_training
    assert found.score.rmse == pytest.approx(evaluate(run, sky.store, OPTIONS, display).findings.score.rmse, abs=1e-6)


@pytest.mark.parametrize(
    ("which", "train", "validation", "chosen_on"), [("last", 5, 3, False), ("best", 0, 3, True), ("best", 5, 0, False)]
)
def test_galaxies_that_the_run_has_seen_are_counted(
    which: str, train: int, validation: int, chosen_on: bool, run: Path, sky: Any, display: Display, tmp_path: Path
) -> None:
    parts = read_split(run)
    ids = write_ids(tmp_path / "ids.csv", [*parts.train[:train], *parts.validation[:validation]])
    found = evaluate(run, sky.store, replace(OPTIONS, which=which, ids=ids), display)
    assert (found.findings.score.galaxies, found.trained_on) == (train + validation, train)
    assert found.chosen_on == chosen_on


def test_the_score_is_of_the_mean_over_views_in_any_batch(run: Path, sky: Any, display: Display) -> None:
    """Its RMSE is not above the views' own root mean square; fp32 predictions are within 1e-6 in any batch."""
    one = evaluate(run, sky.store, OPTIONS, display).findings.score.rmse
    first, other = (
        evaluate(run, sky.store, replace(OPTIONS, views=4, batch_size=size), display).findings.score.rmse
        for size in (1, 4)
    )
    assert first != one
    assert first < 1.05 * one
    assert other == pytest.approx(first, abs=1e-6)


def test_predictions_that_are_not_finite_are_a_fault(run: Path, sky: Any, display: Display) -> None:
    predictor = load_predictor(run, "last", "cpu")
    with torch.no_grad():
        predictor.network.answers.bias.fill_(torch.nan)
    store, rows = open_store(sky.store), np.arange(3)
    galaxies = load(store, torch.device("cpu"), lambda done: None)
    loaded = LoadedRun(run, predictor, galaxies, Split(rows[:0], rows), names_of(store))
    with pytest.raises(DataFault, match="finite"):
        score_run(loaded, OPTIONS, display)


@pytest.fixture
def predictions(sky: Any, tmp_path: Path) -> Path:
    """A table of predictions for all 48 galaxies, in another order than the store's."""
    values = np.random.default_rng(4).random((48, 37))
    order = np.random.default_rng(5).permutation(48)
    write_answers(tmp_path / "predictions.csv", [(sky.ids[order], values[order])])
    return tmp_path / "predictions.csv"


@pytest.mark.parametrize("source", ["store", "labels"])
def test_a_table_is_scored(source: str, predictions: Path, sky: Any, display: Display) -> None:
    """With the labels of a store or of a table; galaxies without one are counted."""
    options = replace(OF_TABLE, labels=sky.labels if source == "labels" else None)
    evaluation = evaluate(predictions, sky.store if source == "store" else None, options, display)
    found, errors = evaluation.findings, np.random.default_rng(4).random((48, 37))[:44] - sky.answers
    assert found.score.rmse == pytest.approx(np.sqrt(np.square(errors).mean()), rel=1e-6)
    assert (found.score.galaxies, evaluation.unlabelled) == (44, 4)
    assert found.constants.mean.rmse == pytest.approx(np.sqrt(sky.answers.var(axis=0).mean()), rel=1e-6)
    assert (found.constants.of_training, found.views, found.rotation) == (False, None, None)
    rmse_of = found.by_galaxy().set_index(ID_COLUMN)["rmse"]
    assert rmse_of[str(sky.ids[7])] == pytest.approx(np.sqrt(np.square(errors[7]).mean()), rel=1e-6)


def test_a_table_beside_a_run_is_the_run_beside_the_table(
    predictions: Path, run: Path, sky: Any, display: Display, tmp_path: Path
) -> None:
    """Options of networks count for the run beside the table, but nothing is turned."""
    ids = write_ids(tmp_path / "ids.csv", read_split(run).validation[::2])
    options = replace(OPTIONS, ids=ids, labels=sky.labels, against=run)
    of_table = evaluate(predictions, None, options, display)
    of_run = evaluate(run, None, replace(OPTIONS, ids=ids, against=predictions), display)
    assert (of_table.findings.score.galaxies, of_table.unlabelled) == (6, 0)
    ours, theirs = (each.findings.comparison.lower.overall for each in (of_table, of_run))
    assert ours == pytest.approx((-theirs[0], -theirs[2], -theirs[1]), abs=1e-6)
    two_views = evaluate(predictions, None, replace(options, views=2), display)
    assert two_views.findings.comparison.lower.overall != ours
    with pytest.raises(UsageFault, match="--consistency"):
        evaluate(predictions, None, replace(options, consistency=8), display)


NAMES = ["NGC 1300", "IC 10", "42"]


@pytest.fixture
def named(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions and labels of three galaxies, two of which have a name; the ids are the last column of the labels."""
    values = np.random.default_rng(1).random((2, 3, 37))
    write_answers(tmp_path / "named.csv", [(NAMES[::-1], values[0])])
    with (tmp_path / "labels.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow([*COLUMNS, ID_COLUMN])
        writer.writerows([*row, f" {name} "] for row, name in zip(values[1].tolist(), NAMES, strict=True))
    return tmp_path / "named.csv", tmp_path / "labels.csv"


def test_galaxies_keep_their_names(named: tuple[Path, Path], tmp_path: Path, succeed: Callable[..., str]) -> None:
    succeed("evaluate", named[0], "--labels", named[1], "--errors", tmp_path / "errors.csv")
    with (tmp_path / "errors.csv").open(newline="") as handle:
        assert sorted(row[ID_COLUMN] for row in csv.DictReader(handle)) == sorted(NAMES)


def test_faults_name_the_galaxy(
    named: tuple[Path, Path], run: Path, sky: Any, display: Display, tmp_path: Path
) -> None:
    """One without a label, one without a prediction, and one without a prediction to compare with."""
    table, labels = named
    write_answers(tmp_path / "one.csv", [(NAMES[2:], np.zeros((1, 37)))])
    unlabelled = replace(OF_TABLE, labels=labels, ids=write_ids(tmp_path / "ids.csv", ["42", "NGC 7"]))
    unpredicted = replace(OF_TABLE, labels=labels, ids=write_ids(tmp_path / "2.csv", ["IC 10"]))
    for subject, store, options, named_first in (
        (table, None, unlabelled, "NGC 7"),
        (run, sky.store, replace(OPTIONS, ids=unlabelled.ids), "42"),
        (tmp_path / "one.csv", None, unpredicted, "IC 10"),
        (table, None, replace(OF_TABLE, labels=labels, against=tmp_path / "one.csv"), "(NGC 1300|IC 10)"),
    ):
        with pytest.raises(DataFault, match=f"{named_first} the first"):
            evaluate(subject, store, options, display)


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("--checkpoint", {"which": "best"}),
        ("--device", {"device": "cpu"}),
        ("--batch-size and --consistency", {"batch_size": 8, "consistency": 8}),
    ],
)
def test_a_table_refuses_the_options_of_networks(
    option: str, values: dict[str, Any], named: tuple[Path, Path], display: Display
) -> None:
    """So do a table beside a table, and a cross-validation, which is scored by its table."""
    table, labels = named
    options = replace(OF_TABLE, labels=labels, **values)
    for subject, against in ((table, None), (table, table), (as_folds(table), None)):
        with pytest.raises(UsageFault, match=f"^Expected {option} with a run, got a table .*: leave {option} out"):
            evaluate(subject, None, replace(options, against=against), display)


def as_folds(table: Path) -> Path:
    """The folder of a cross-validation with this table of predictions."""
    folder = table.parent / "cv"
    folder.mkdir()
    (folder / "folds.csv").write_text("GalaxyID,fold\n1,1\n")
    shutil.copy(table, folder / "out_of_fold.csv")
    return folder


def test_a_table_needs_labels_of_its_galaxies(predictions: Path, display: Display, tmp_path: Path) -> None:
    write_answers(tmp_path / "labels.csv", [([1, 2], np.zeros((2, 37)))])
    options = replace(OF_TABLE, labels=tmp_path / "labels.csv")
    with pytest.raises(DataFault, match=r"got none of them \(.*labels.csv"):
        evaluate(predictions, None, options, display)
    with pytest.raises(DataFault, match="got 1 others, 3 the first"):
        evaluate(predictions, None, replace(options, ids=write_ids(tmp_path / "ids.csv", [1, 3])), display)


def test_faults_of_a_run_say_what_to_do(run: Path, sky: Any, display: Display, tmp_path: Path) -> None:
    """An id without a label, a run without the checkpoint, and one without validation galaxies."""
    folder = shutil.copytree(run, tmp_path / "run")
    ids = write_ids(tmp_path / "ids.csv", [sky.ids[0], sky.ids[45]])
    with pytest.raises(DataFault, match=r"labelled galaxies in .*, got 1 others"):
        evaluate(folder, sky.store, replace(OPTIONS, ids=ids), display)
    shutil.rmtree(folder / "best")
    with pytest.raises(DataFault, match=r"the checkpoint best, got a run without it .* --checkpoint last"):
        evaluate(folder, sky.store, replace(OPTIONS, which="best"), display)
    split = folder / "split.csv"
    split.write_text(split.read_text().replace("validation", "train"))
    with pytest.raises(DataFault, match=r"galaxies to score, got none: .* give --ids CSV"):
        evaluate(folder, sky.store, OPTIONS, display)


def test_a_store_must_be_packed_alike_and_have_the_labels(
    run: Path, sky: Any, display: Display, tmp_path: Path
) -> None:
    pack(sky.images, sky.labels, tmp_path / "cropped", size=24, crop=30, workers=1)
    with pytest.raises(DataFault, match=r"crop=40.*crop=30.*pack with --crop 40 --size 24"):
        evaluate(run, tmp_path / "cropped", OPTIONS, display)
    pack(sky.images, None, tmp_path / "bare", size=24, workers=1)
    with pytest.raises(DataFault, match=r"got one without \(.*bare\): pack it again with --labels"):
        evaluate(run, tmp_path / "bare", OPTIONS, display)
    trained_on = np.isin(sky.ids[:44], read_split(run).train)
    write_answers(tmp_path / "labels.csv", [(sky.ids[:44][trained_on], sky.answers[trained_on])])
    pack(sky.images, tmp_path / "labels.csv", tmp_path / "other", size=24, workers=1)
    with pytest.raises(DataFault, match=r"got 11 others, \d+ the first \(.*split.csv\): give --ids CSV"):
        evaluate(run, tmp_path / "other", OPTIONS, display)


@pytest.mark.parametrize(("step", "where"), [(0, "cpu"), (10**12, "meta")])
def test_pixels_lie_on_the_device_where_they_fit(
    step: int, where: str, run: Path, sky: Any, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a batch; else on the host. The device is torch's "meta", in place of a GPU."""
    predictor, store = load_predictor(run, "last", "cpu"), open_store(sky.store)
    elsewhere = replace(predictor, backend=replace(predictor.backend, device=torch.device("meta")))
    monkeypatch.setattr("galaxy_triton.evaluate.loaded_run.free_memory", lambda device: store.pixels.nbytes + step)
    galaxies = load_galaxies(store, elsewhere, 8, display)
    assert (galaxies.pixels.device.type, galaxies.ids.device.type) == (where, "meta")
    assert galaxies.pixels.shape == store.pixels.shape
