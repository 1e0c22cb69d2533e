"""Comparison with a table and with another run: whose predictions are taken, from which store, and what is missing."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from galaxy_triton.data.pack import pack
from galaxy_triton.evaluate.compare import compare_with
from galaxy_triton.evaluate.evaluate import EvaluateOptions, evaluate
from galaxy_triton.evaluate.findings import Comparison
from galaxy_triton.evaluate.loaded_run import Labelled
from galaxy_triton.evaluate.scores import rmse
from galaxy_triton.galaxyzoo.tables import read_answers
from galaxy_triton.galaxyzoo.write_tables import write_answers
from galaxy_triton.runs.folder import read_split
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault
from galaxy_triton.train.options import TrainOptions
from galaxy_triton.train.run import train

OPTIONS = EvaluateOptions(views=2, device="cpu", consistency=0)


@pytest.fixture(scope="module")
def cropped(sky: Any, tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of an epoch on the same galaxies, packed otherwise, with another validation part."""
    folder = tmp_path_factory.mktemp("cropped")
    pack(sky.images, sky.labels, folder / "store", size=20, crop=30, workers=1)
    fields = {"preprocess.crop": 30, "preprocess.size": 20, "run.epochs": 1, "run.seed": 9}
    train(TrainOptions(folder / "store", settings={**tiny, **fields}, run=folder / "run"), Display(quiet=True))
    return folder / "run"


@pytest.fixture
def predicted(cropped: Path, sky: Any, tmp_path: Path, succeed: Any) -> Any:
    """The predictions of `cropped` that `predict` writes, float32 [48, 37] by ascending id."""
    succeed("predict", cropped, cropped.parent / "store", "--out", tmp_path / "out.csv", "--views", OPTIONS.views)
    ids, predictions = read_answers(tmp_path / "out.csv")
    assert ids.tolist() == sky.ids.tolist()
    return predictions


def beside_labels(against: Path, ids: Any, labels: Any, which: str = "last") -> Comparison:
    """`against` compared with predictions that are the labels: it is its own RMSE lower."""
    galaxies = Labelled(np.array(ids), [f"galaxy {number}" for number in ids], np.float32(labels), Path("labels"))
    options = EvaluateOptions(views=2, device="cpu", which=which)
    return compare_with(against, galaxies, galaxies.labels, options, Display(quiet=True))


def test_a_run_predicts_on_the_store_it_was_trained_on(cropped: Path, sky: Any, predicted: Any) -> None:
    places = np.array([30, 2, 17])
    found = beside_labels(cropped, sky.ids[places], sky.answers[places])
    assert found.name == str(cropped)
    assert found.lower.overall.value == pytest.approx(rmse(predicted[places], sky.answers[places]), abs=1e-6)
    assert found.trained_on == np.isin(sky.ids[places], read_split(cropped).train).sum()


def test_runs_on_two_stores_are_compared(run: Path, cropped: Path, sky: Any, display: Display, predicted: Any) -> None:
    rows = np.isin(sky.ids, read_split(run).validation)
    options = EvaluateOptions(views=2, device="cpu", consistency=0, against=cropped)
    found = evaluate(run, None, options, display).findings
    want = rmse(predicted[rows], sky.answers[rows[:44]]) - found.score.rmse
    assert found.comparison.lower.overall.value == pytest.approx(want, abs=1e-6)
    assert found.comparison.trained_on == np.isin(sky.ids[rows], read_split(cropped).train).sum() > 0


def test_a_run_packed_alike_predicts_on_the_store_scored(run: Path, sky: Any, display: Display, tmp_path: Path) -> None:
    """So its own store may be gone; beside itself a run is no better."""
    shutil.copytree(run, tmp_path / "other")
    set_store(tmp_path / "other", tmp_path / "gone")
    options = EvaluateOptions(views=2, device="cpu", consistency=0, against=tmp_path / "other")
    assert evaluate(run, sky.store, options, display).findings.comparison.lower.overall == (0, 0, 0)


def test_a_table_gives_rows_by_id(sky: Any, tmp_path: Path) -> None:
    write_answers(tmp_path / "others.csv", [(sky.ids[:44][::-1], sky.answers[::-1])])
    places = [3, 40, 8]
    found = beside_labels(tmp_path / "others.csv", sky.ids[places], sky.answers[places] + 0.1)
    assert found.lower.overall.value == pytest.approx(0.1, abs=1e-6)
    assert (found.trained_on, found.chosen_on) == (0, False)


def test_missing_galaxies_and_stores_are_named(run: Path, cropped: Path, sky: Any, tmp_path: Path) -> None:
    write_answers(tmp_path / "others.csv", [(sky.ids[:2], sky.answers[:2])])
    ids, labels = [int(sky.ids[0]), 6, 7], np.zeros((3, 37))
    for against, where in ((tmp_path / "others.csv", "others.csv"), (cropped, "store")):
        with pytest.raises(DataFault, match=rf"got no row for 2 .*, galaxy 6 .* \(.*{where}"):
            beside_labels(against, ids, labels)
    with pytest.raises(DataFault, match=r"config\.toml"):
        beside_labels(sky.store, ids, labels)
    shutil.copytree(run, tmp_path / "run")
    set_store(tmp_path / "run", tmp_path / "gone")
    with pytest.raises(DataFault, match=r"the store that .*run was trained on, .*gone"):
        beside_labels(tmp_path / "run", sky.ids[:3], labels)


@pytest.mark.parametrize(
    ("which", "part", "chosen_on"),
    [("best", "validation", True), ("best", "train", False), ("last", "validation", False)],
)
def test_another_run_may_have_been_chosen_on_these(run: Path, which: str, part: str, chosen_on: bool) -> None:
    assert beside_labels(run, getattr(read_split(run), part)[:3], np.zeros((3, 37)), which).chosen_on == chosen_on


def set_store(run: Path, store: Path) -> None:
    """Make a run one that was trained on another store."""
    file = run / "source.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "store": str(store)}))
