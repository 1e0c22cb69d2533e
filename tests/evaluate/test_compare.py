"""Other answers: of a run, those that `predict` writes of it; on which store it is asked; what is missing."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from galaxy_triton.data.pack import pack
from galaxy_triton.evaluate.compare import Named, Others, other_answers
from galaxy_triton.evaluate.evaluate import Asked, evaluate
from galaxy_triton.galaxyzoo.tables import read_answers
from galaxy_triton.galaxyzoo.write_tables import write_answers
from galaxy_triton.predict.predictor import PredictOptions, load_predictor
from galaxy_triton.runs.folder import read_split
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault
from galaxy_triton.train.options import TrainOptions
from galaxy_triton.train.run import train

ASKING = PredictOptions(views=2, device="cpu")


@pytest.fixture(scope="module")
def cropped(sky: Any, tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of an epoch on the same galaxies, packed otherwise, of which it has held out others."""
    folder = tmp_path_factory.mktemp("cropped")
    pack(sky.images, sky.labels, folder / "store", size=20, crop=30, workers=1)
    fields = {"preprocess.crop": 30, "preprocess.size": 20, "run.epochs": 1, "run.seed": 9}
    train(TrainOptions(folder / "store", settings={**tiny, **fields}, run=folder / "run"), Display(quiet=True))
    return folder / "run"


@pytest.fixture
def predicted(sky: Any, tmp_path: Path, succeed: Callable[..., str]) -> Callable[[Path, Path], Any]:
    """predicted(run, store): the answers that `predict` writes, float32 [48, 37] by ascending id."""

    def answers(run: Path, store: Path) -> Any:
        succeed("predict", run, store, "--out", tmp_path / "out.csv", "--views", ASKING.views)
        ids, found = read_answers(tmp_path / "out.csv")
        assert ids.tolist() == sky.ids.tolist()
        return found

    return answers


def ask(against: Path, ids: Any, which: str = "last") -> Others:
    galaxies = Named(np.array(ids), [f"galaxy {number}" for number in ids])
    return other_answers(against, galaxies, replace(ASKING, which=which), Display(quiet=True))


def test_a_run_is_asked_on_the_store_it_was_trained_on(cropped: Path, sky: Any, predicted: Any) -> None:
    places = np.array([30, 2, 17])
    found = ask(cropped, sky.ids[places])
    want = predicted(cropped, cropped.parent / "store")[places]
    np.testing.assert_allclose(found.answers, want, rtol=0, atol=1e-6)
    assert found.trained_on == np.isin(sky.ids[places], read_split(cropped).train).sum()


def test_runs_on_two_stores_are_compared(run: Path, cropped: Path, sky: Any, display: Display, predicted: Any) -> None:
    held_out = np.isin(sky.ids, read_split(run).validation)
    asked = Asked(views=2, device="cpu", consistency=0, against=cropped)
    found = evaluate(run, None, asked, display).findings
    theirs, labels = predicted(cropped, cropped.parent / "store")[held_out], sky.answers[held_out[:44]]
    want = np.sqrt(np.square(theirs - labels).mean()) - found.score.rmse
    assert found.comparison.lower.overall[0] == pytest.approx(want, abs=1e-6)
    assert found.comparison.trained_on == np.isin(sky.ids[held_out], read_split(cropped).train).sum() > 0


def test_a_run_on_a_store_of_its_kind_is_asked_on_the_store_scored(
    run: Path, sky: Any, display: Display, tmp_path: Path
) -> None:
    """So two runs of one recipe need no store but the one named; beside itself a run is no better."""
    shutil.copytree(run, tmp_path / "other")
    _source(tmp_path / "other", tmp_path / "gone")
    asked = Asked(views=2, device="cpu", consistency=0, against=tmp_path / "other")
    assert evaluate(run, sky.store, asked, display).findings.comparison.lower.overall == (0, 0, 0)


def test_a_table_gives_rows_by_id(sky: Any, tmp_path: Path) -> None:
    write_answers(tmp_path / "others.csv", [(sky.ids[:44][::-1], sky.answers[::-1])])
    found = ask(tmp_path / "others.csv", sky.ids[[3, 40, 8]])
    np.testing.assert_allclose(found.answers, sky.answers[[3, 40, 8]], rtol=1e-6)
    assert found.trained_on == 0


def test_what_is_missing_is_named(run: Path, cropped: Path, sky: Any, tmp_path: Path) -> None:
    write_answers(tmp_path / "others.csv", [(sky.ids[:2], sky.answers[:2])])
    ids = [int(sky.ids[0]), 6, 7]
    for against, where in ((tmp_path / "others.csv", "others.csv"), (cropped, "store")):
        with pytest.raises(DataFault, match=rf"every galaxy scored, got no row for 2 .*, galaxy 6 .* \(.*{where}"):
            ask(against, ids)
    with pytest.raises(DataFault, match=r"Expected a run's config\.toml, got none"):
        ask(sky.store, ids)
    shutil.copytree(run, tmp_path / "run")
    _source(tmp_path / "run", tmp_path / "gone")
    with pytest.raises(DataFault, match=r"the store that .*run was trained on, got none there \(.*gone\): put it back"):
        ask(tmp_path / "run", sky.ids[:3])


@pytest.mark.parametrize(
    ("which", "part", "chosen_on"),
    [("best", "validation", True), ("best", "train", False), ("last", "validation", False)],
)
def test_another_run_may_have_been_chosen_on_these(run: Path, which: str, part: str, chosen_on: bool) -> None:
    assert ask(run, getattr(read_split(run), part)[:3], which).chosen_on == chosen_on


def test_answers_of_another_run_that_are_no_numbers(run: Path, sky: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = load_predictor(run, "last", "cpu")
    with torch.no_grad():
        predictor.network.answers.bias.fill_(torch.nan)
    monkeypatch.setattr("galaxy_triton.evaluate.compare.load_predictor", lambda *asked: predictor)
    with pytest.raises(DataFault, match=rf"^Expected finite answers, got nan \(the network of {run}\)"):
        ask(run, sky.ids[:3])


def _source(run: Path, store: Path) -> None:
    file = run / "source.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "store": str(store)}))
