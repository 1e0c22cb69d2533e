"""What an evaluation says of a run and of a table of predictions."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from galaxy_triton.config.toml import override
from galaxy_triton.data.pack import pack
from galaxy_triton.data.store import open_store
from galaxy_triton.evaluate.evaluate import Asked, evaluate, galaxies_of
from galaxy_triton.evaluate.report import Asked as ReportAsked
from galaxy_triton.evaluate.report import write_report
from galaxy_triton.galaxyzoo.write_tables import write_answers
from galaxy_triton.model.backend import Backend
from galaxy_triton.predict.predictor import load_predictor
from galaxy_triton.runs.checkpoint import read_checkpoint
from galaxy_triton.runs.folder import read_split
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault, UsageFault

ASKED = Asked(views=1, device="cpu", consistency=0)
OF_TABLE = Asked()  # nothing that only a network can be asked


def write_ids(path: Path, ids: Any) -> Path:
    path.write_text("GalaxyID\n" + "".join(f"{number}\n" for number in ids))
    return path


def test_evaluate(run: Path, sky: Any, display: Display) -> None:
    """By default on what the run held out, and so without a warning."""
    found = evaluate(run, sky.store, ASKED, display)
    held_out = np.isin(sky.ids[:44], read_split(run).validation)
    assert (found.findings.score.galaxies, held_out.sum()) == (11, 11)
    assert (found.trained_on, found.chosen_on, found.findings.comparison) == (0, False, None)
    last = (run / "metrics.csv").read_text().splitlines()[-1].split(",")
    assert found.findings.score.rmse == pytest.approx(float(last[3]), abs=1e-6)  # one view, as the run's validation


def test_evaluate_scores_constants(run: Path, sky: Any, display: Display) -> None:
    found = evaluate(run, sky.store, ASKED, display).findings.constants
    held_out = np.isin(sky.ids[:44], read_split(run).validation)
    labels, mean = sky.answers[held_out], sky.answers[~held_out].mean(axis=0)
    for value, answer in ((found.zeros, 0), (found.ones, 1), (found.mean.rmse, mean)):
        assert value == pytest.approx(np.sqrt(np.square(answer - labels).mean()), rel=1e-6)
    assert found.of_training


def test_evaluate_on_a_store_without_the_galaxies_trained_on(
    run: Path, sky: Any, display: Display, tmp_path: Path
) -> None:
    """The mean of the galaxies trained on is unknown there: the galaxies scored give theirs, and it is said."""
    held_out = np.isin(sky.ids[:44], read_split(run).validation)
    write_answers(tmp_path / "labels.csv", [(sky.ids[:44][held_out], sky.answers[held_out])])
    pack(sky.images, tmp_path / "labels.csv", tmp_path / "store", size=24, workers=1)
    found = evaluate(run, tmp_path / "store", ASKED, display).findings
    labels = sky.answers[held_out]
    assert found.constants.mean.rmse == pytest.approx(np.sqrt(labels.var(axis=0).mean()), rel=1e-6)
    assert not found.constants.of_training
    assert found.score.rmse == pytest.approx(evaluate(run, sky.store, ASKED, display).findings.score.rmse, abs=1e-6)


def test_evaluate_warns_of_galaxies_trained_on(run: Path, sky: Any, display: Display, tmp_path: Path) -> None:
    split = read_split(run)
    ids = write_ids(tmp_path / "ids.csv", [*split.train[:5], *split.validation[:3]])
    found = evaluate(run, sky.store, replace(ASKED, ids=ids), display)
    assert (found.findings.score.galaxies, found.trained_on) == (8, 5)


@pytest.mark.parametrize(("which", "part", "chosen_on"), [("best", "validation", True), ("best", "train", False)])
def test_evaluate_warns_of_galaxies_that_chose(
    which: str, part: str, chosen_on: bool, run: Path, sky: Any, display: Display, tmp_path: Path
) -> None:
    ids = write_ids(tmp_path / "ids.csv", getattr(read_split(run), part))
    assert evaluate(run, sky.store, replace(ASKED, which=which, ids=ids), display).chosen_on == chosen_on


def test_evaluate_averages_views(run: Path, sky: Any, display: Display) -> None:
    """The RMSE of a mean over views is not above the views' own root mean square."""
    one = evaluate(run, sky.store, ASKED, display).findings.score.rmse
    many = evaluate(run, sky.store, replace(ASKED, views=8), display).findings.score.rmse
    assert many != one
    assert many < 1.05 * one


def test_evaluate_is_the_same_in_any_batch(run: Path, sky: Any, display: Display) -> None:
    scores = [evaluate(run, sky.store, replace(ASKED, views=4, batch_size=size), display) for size in (1, 4, 256)]
    for found in scores[1:]:
        assert found.findings.score.rmse == pytest.approx(scores[0].findings.score.rmse, abs=1e-6)


def test_evaluate_names_the_galaxies(run: Path, sky: Any, display: Display) -> None:
    found = evaluate(run, sky.store, ASKED, display).findings
    assert list(found.names) == [str(number) for number in read_split(run).validation]
    assert found.people == pytest.approx(sky.answers[np.isin(sky.ids[:44], read_split(run).validation)], abs=1e-6)


def test_evaluate_against(run: Path, sky: Any, display: Display, tmp_path: Path) -> None:
    """The labels themselves, in another order and with others' rows: the difference is minus our RMSE."""
    order = np.random.default_rng(2).permutation(44)
    others = [(sky.ids[:44][order], sky.answers[order]), ([5], np.full((1, 37), 0.5))]
    write_answers(tmp_path / "others.csv", others)
    found = evaluate(run, sky.store, replace(ASKED, against=tmp_path / "others.csv"), display).findings
    value, low, high = found.comparison.lower.overall
    assert value == pytest.approx(-found.score.rmse, abs=1e-6)
    assert (-high, -low) == pytest.approx(found.score.interval, abs=1e-6)
    for name, (value, low, high) in found.comparison.lower.questions.items():
        assert (-value, -high, -low) == pytest.approx(found.score.questions[name], abs=1e-6)
    assert found.comparison.name == str(tmp_path / "others.csv")


@pytest.fixture
def predictions(sky: Any, tmp_path: Path) -> Path:
    """A table of answers to all 48 galaxies, in another order than the store's."""
    answers = np.random.default_rng(4).random((48, 37))
    order = np.random.default_rng(5).permutation(48)
    write_answers(tmp_path / "predictions.csv", [(sky.ids[order], answers[order])])
    return tmp_path / "predictions.csv"


@pytest.mark.parametrize("source", ["store", "labels"])
def test_evaluate_a_table(source: str, predictions: Path, sky: Any, display: Display) -> None:
    """With the labels of a store or of a table; galaxies without one are counted."""
    asked = replace(OF_TABLE, labels=sky.labels if source == "labels" else None)
    found = evaluate(predictions, sky.store if source == "store" else None, asked, display)
    errors = np.random.default_rng(4).random((48, 37))[:44] - sky.answers
    assert found.findings.score.rmse == pytest.approx(np.sqrt(np.square(errors).mean()), rel=1e-6)
    assert (found.findings.score.galaxies, found.unlabelled) == (44, 4)
    assert found.findings.constants.mean.rmse == pytest.approx(np.sqrt(sky.answers.var(axis=0).mean()), rel=1e-6)
    assert not found.findings.constants.of_training
    assert (found.findings.views, found.findings.consistency) == (None, None)
    errors_by_name = {row.name: row.rmse for row in found.findings.by_galaxy()}
    assert errors_by_name[str(sky.ids[7])] == pytest.approx(np.sqrt(np.square(errors[7]).mean()), rel=1e-6)


def test_evaluate_a_table_on_some_galaxies_beside_a_run(
    predictions: Path, run: Path, sky: Any, display: Display, tmp_path: Path
) -> None:
    """The run beside the table is the table beside the run."""
    ids = write_ids(tmp_path / "ids.csv", read_split(run).validation[::2])
    of_table = evaluate(predictions, None, replace(ASKED, ids=ids, labels=sky.labels, against=run), display)
    of_run = evaluate(run, None, replace(ASKED, ids=ids, against=predictions), display)
    assert (of_table.findings.score.galaxies, of_table.unlabelled) == (6, 0)
    ours, theirs = (each.findings.comparison.lower.overall for each in (of_table, of_run))
    assert ours == pytest.approx((-theirs[0], -theirs[2], -theirs[1]), abs=1e-6)


@pytest.mark.parametrize("both", [False, True])
def test_evaluate_a_table_needs_one_source_of_labels(both: bool, predictions: Path, sky: Any, display: Display) -> None:
    sources = (sky.store, sky.labels) if both else (None, None)
    with pytest.raises(UsageFault, match=f"Expected STORE or --labels .*, got {'both' if both else 'neither'}"):
        evaluate(predictions, sources[0], replace(OF_TABLE, labels=sources[1]), display)


def test_evaluate_a_table_of_other_galaxies(predictions: Path, display: Display, tmp_path: Path) -> None:
    write_answers(tmp_path / "labels.csv", [([1, 2], np.zeros((2, 37)))])
    asked = replace(OF_TABLE, labels=tmp_path / "labels.csv")
    with pytest.raises(DataFault, match=r"Expected galaxies of .*predictions.csv, got none of them \(.*labels.csv"):
        evaluate(predictions, None, asked, display)
    asked = replace(asked, ids=write_ids(tmp_path / "ids.csv", [1, 3]))
    with pytest.raises(
        DataFault, match=r"Expected ids of labelled galaxies in .*labels.csv, got 1 others, 3 the first"
    ):
        evaluate(predictions, None, asked, display)


def test_evaluate_takes_labels_with_a_table_alone(run: Path, sky: Any, display: Display) -> None:
    with pytest.raises(UsageFault, match="Expected --labels with a table of predictions, got it with a run"):
        evaluate(run, None, replace(ASKED, labels=sky.labels), display)


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
        (spoil_best, r"Expected the checkpoint best, got a run without it .*: ask for --checkpoint last"),
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


def test_evaluate_needs_a_store_with_labels(run: Path, sky: Any, display: Display, tmp_path: Path) -> None:
    """And with those of the galaxies held out, whose list is no user's to shorten."""
    pack(sky.images, None, tmp_path / "bare", size=24, workers=1)
    with pytest.raises(DataFault, match=r"store with labels, got one without \(.*bare\): pack it again with --labels"):
        evaluate(run, tmp_path / "bare", ASKED, display)
    trained_on = np.isin(sky.ids[:44], read_split(run).train)
    write_answers(tmp_path / "labels.csv", [(sky.ids[:44][trained_on], sky.answers[trained_on])])
    pack(sky.images, tmp_path / "labels.csv", tmp_path / "other", size=24, workers=1)
    with pytest.raises(DataFault, match=r"got 11 others, \d+ the first \(.*split.csv\): give --ids CSV"):
        evaluate(run, tmp_path / "other", ASKED, display)


@pytest.mark.parametrize(("step", "where"), [(0, "cpu"), (10**12, "meta")])
def test_pixels_lie_on_the_device_where_they_fit(
    step: int, where: str, run: Path, sky: Any, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a batch; else on the host. The device is torch's "meta", in place of a GPU."""
    predictor, store = load_predictor(run, "last", "cpu"), open_store(sky.store)
    elsewhere = replace(predictor, backend=replace(predictor.backend, device=torch.device("meta")))
    monkeypatch.setattr("galaxy_triton.evaluate.evaluate.free_memory", lambda device: store.pixels.nbytes + step)
    galaxies = galaxies_of(store, elsewhere, 8, display)
    assert (galaxies.pixels.device.type, galaxies.ids.device.type) == (where, "meta")
    assert galaxies.pixels.shape == store.pixels.shape


def test_evaluate_and_report_choose_a_place_for_the_pixels(
    run: Path, sky: Any, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Chosen(Exception):
        pass

    def choose(*asked: object) -> None:
        raise Chosen

    monkeypatch.setattr("galaxy_triton.evaluate.evaluate.residence", choose)
    with pytest.raises(Chosen):
        evaluate(run, sky.store, ASKED, display)
    with pytest.raises(Chosen):
        write_report(run, ReportAsked(store=sky.store), display)


def test_open_run_asks_a_deterministic_vgg_on_a_gpu(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pooling has no deterministic gradient there, which no question needs."""
    checkpoint = read_checkpoint(run, "last")
    vgg = {"network.name": "vgg11", "preprocess.size": 40, "augmentation.size": 32}
    trained = replace(checkpoint, config=override(checkpoint.config, {**vgg, "run.deterministic": True}))
    chosen: list[Backend] = []
    monkeypatch.setattr("galaxy_triton.predict.predictor.read_checkpoint", lambda *asked: trained)
    monkeypatch.setattr("galaxy_triton.predict.predictor.make_predictor", lambda *made: chosen.append(made[2]))
    for name, value in (("is_available", True), ("get_device_name", "GPU"), ("get_device_capability", (8, 0))):
        monkeypatch.setattr(torch.cuda, name, lambda *device, value=value: value)
    load_predictor(run, "last", "cuda")
    assert chosen[0].device.type == "cuda"


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="there is an Apple GPU")
def test_open_run_refuses_a_device_that_is_not_there(run: Path) -> None:
    with pytest.raises(UsageFault, match="Expected a machine with mps, got one with"):
        load_predictor(run, "last", "mps")
