"""Cross-validation: the galaxies that each run predicts, their scores, and resuming after a stop."""

import json
import os
import shutil
import signal
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from galaxy_triton.data.folds import read_folds
from galaxy_triton.data.galaxies import load
from galaxy_triton.data.store import open_store
from galaxy_triton.evaluate.evaluate import EvaluateOptions, evaluate
from galaxy_triton.galaxyzoo.tables import read_answers
from galaxy_triton.predict.predictor import load_predictor
from galaxy_triton.runs.folder import read_split
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault, Stopped, UsageFault
from galaxy_triton.train import cross_validation
from galaxy_triton.train import run as run_module
from galaxy_triton.train.cross_validation import cross_validate
from galaxy_triton.train.options import TrainOptions
from tests.support.processes import application, together

FOLDS, LISTED = 3, slice(33, 44)
OUTPUTS = ("out_of_fold.csv", "cross_validation.json")


@pytest.fixture(scope="module")
def options(sky: Any, tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> TrainOptions:
    """Three folds of the last eleven labelled galaxies."""
    folder = tmp_path_factory.mktemp("folds")
    (folder / "ids.csv").write_text("GalaxyID\n" + "".join(f"{number}\n" for number in sky.ids[LISTED]))
    settings = {name: value for name, value in tiny.items() if name != "run.validation"}
    settings |= {"run.epochs": 1}
    return TrainOptions(sky.store, settings=settings, run=folder / "cv", folds=FOLDS, fold_ids=folder / "ids.csv")


@pytest.fixture(scope="module")
def done(options: TrainOptions) -> Path:
    """The folder of the cross-validation, whole."""
    cross_validate(options, Display(quiet=True))
    assert options.run is not None
    return options.run


def validation_ids(folder: Path, number: int) -> NDArray[np.int64]:
    folds = read_folds(folder / "folds.csv")
    return folds.ids[folds.numbers == number]


def rmse(answers: NDArray[Any], people: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean((np.asarray(answers, np.float64) - people) ** 2)))


def said(display: Display) -> str:
    return str(display.console.file.getvalue())  # type: ignore[attr-defined]


def test_every_fold_is_a_run(done: Path, sky: Any) -> None:
    names = {"config.toml", "source.json", "log.txt", "started.json", "folds.csv", "lock", *OUTPUTS}
    names |= {f"fold-{number}" for number in (1, 2, 3)}
    assert {file.name for file in done.iterdir()} == names
    for number in (1, 2, 3):
        split = read_split(done / f"fold-{number}")
        assert split.validation.tolist() == validation_ids(done, number).tolist()
        assert sorted(split.train) == sorted(set(sky.ids[:44]) - set(split.validation))
        assert (done / f"fold-{number}" / "report.html").is_file()


def test_answers_are_of_the_network_that_did_not_see_them(done: Path, sky: Any) -> None:
    """By the checkpoint `last` of each fold, over 16 views; Kaggle's format, a row for each galaxy listed."""
    ids, answers = read_answers(done / "out_of_fold.csv")
    assert ids.tolist() == sky.ids[LISTED].tolist()
    galaxies = load(open_store(sky.store), torch.device("cpu"), lambda count: None)
    for number in (1, 2, 3):
        rows = np.flatnonzero(np.isin(sky.ids, validation_ids(done, number)))
        predictor = load_predictor(done / f"fold-{number}", "last", "cpu")
        want = predictor.answer(galaxies, torch.from_numpy(rows), 16, 256, lambda count: None)
        assert answers[rows - LISTED.start] == pytest.approx(want, abs=1e-6)


def test_figures(done: Path, sky: Any) -> None:
    """Against the tables, in float64."""
    found = json.loads((done / "cross_validation.json").read_text())
    _, answers = read_answers(done / "out_of_fold.csv")
    errors = []
    for number, fold in enumerate(found["folds"], 1):
        mine = np.isin(sky.ids[:44], validation_ids(done, number))
        errors.append(rmse(answers[mine[LISTED]], sky.answers[mine]))
        mean = sky.answers[~mine].mean(axis=0)
        assert (fold["fold"], fold["galaxies"]) == (number, mine.sum())
        assert fold["rmse"] == pytest.approx(errors[-1], abs=1e-6)
        assert fold["mean_answer"] == pytest.approx(
            rmse(np.broadcast_to(mean, sky.answers[mine].shape), sky.answers[mine]), abs=1e-6
        )
    assert found["mean"] == pytest.approx(statistics.mean(errors), abs=1e-6)
    assert found["standard_deviation"] == pytest.approx(statistics.stdev(errors), abs=1e-6)
    whole = found["out_of_fold"]
    assert whole["rmse"] == pytest.approx(rmse(answers, sky.answers[LISTED]), abs=1e-6)
    assert whole["interval"][0] < whole["rmse"] < whole["interval"][1]
    assert (found["version"], found["views"], whole["galaxies"]) == (1, 16, 11)


def test_evaluate_scores_the_answers(done: Path, sky: Any, succeed: Callable[..., str], tmp_path: Path) -> None:
    """By the labels of the store that was trained on, or by a table; alone, and beside another table."""
    found = json.loads((done / "cross_validation.json").read_text())["out_of_fold"]
    low, high = found["interval"]
    assert f"{found['rmse']:.4f}  [{low:.4f}, {high:.4f}]" in succeed("evaluate", done, "--labels", sky.labels)
    said = succeed("evaluate", done, sky.store, "--against", done / "out_of_fold.csv")
    assert f"{found['rmse']:.4f}  [{low:.4f}, {high:.4f}]" in said
    assert f"lower by 0.0000  [0.0000, 0.0000]  than {done / 'out_of_fold.csv'}" in said
    (tmp_path / "cv").mkdir()
    shutil.copy(done / "folds.csv", tmp_path / "cv")
    with pytest.raises(DataFault, match=r"Expected a cross-validation that is done, got one without out_of_fold\.csv"):
        evaluate(tmp_path / "cv", None, EvaluateOptions(), Display(quiet=True))


@pytest.fixture
def copied(done: Path, tmp_path: Path) -> Path:
    """A copy of the cross-validation without its summary."""
    shutil.copytree(done, tmp_path / "cv")
    for name in OUTPUTS:
        (tmp_path / "cv" / name).unlink()
    return tmp_path / "cv"


def test_resume_after_a_stop_inside_a_fold(
    copied: Path, done: Path, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One fold done, one without predictions, one stopped in its first step by Ctrl-C: the outputs are as of `done`."""
    (copied / "fold-2" / "held_out.csv").unlink()
    shutil.rmtree(copied / "fold-3")
    (copied / "fold-3.partial").mkdir()
    before = (copied / "fold-1" / "log.txt").read_bytes()
    open_folder, resume = cross_validation.open_folder, TrainOptions(run=copied, resume=True)
    cross_validate(resume, display, dry_run=True)
    assert f"Would train 2 of 3 folds, 1 epochs each, in {copied}" in said(display)
    assert not (copied / "fold-3").exists()

    def stopping(trainer: Any, *arguments: Any) -> Any:
        trainer.after_step = lambda: os.kill(os.getpid(), signal.SIGINT)
        return open_folder(trainer, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(cross_validation, "open_folder", stopping)
        with pytest.raises(Stopped) as stop:
            cross_validate(resume, display)
    assert stop.value.code == 130
    assert "Stopped in epoch 1, step 1 and saved. Go on with: galaxy-triton train" in said(display)
    assert not (copied / "fold-3.partial").exists()
    cross_validate(resume, display)
    for name in OUTPUTS:
        assert (copied / name).read_bytes() == (done / name).read_bytes()
    assert (copied / "fold-1" / "log.txt").read_bytes() == before


def test_stop_between_folds(copied: Path, sky: Any, display: Display, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM while a report is drawn: that fold is done, no other begins, and the message says how to go on.

    Until then no other job can resume the cross-validation, or remove what this one has begun.
    """
    (copied / "fold-1" / "held_out.csv").unlink()
    shutil.rmtree(copied / "fold-2")
    report, resume = cross_validation.report, TrainOptions(run=copied, resume=True)

    def stopped(*arguments: Any) -> Any:
        (copied / "fold-2.partial").mkdir()
        with pytest.raises(DataFault, match="Expected a free run, got one that another process has held"):
            cross_validate(resume, Display(quiet=True))
        (copied / "fold-2.partial").rmdir()
        os.kill(os.getpid(), signal.SIGTERM)
        return report(*arguments)

    monkeypatch.setattr(run_module, "WAIT", 0)
    monkeypatch.setattr(cross_validation, "report", stopped)
    with pytest.raises(Stopped) as stop:
        cross_validate(resume, display)
    assert stop.value.code == 75
    again = f"galaxy-triton train {sky.store} --run {copied} --resume"
    assert f"Stopped after fold 1 and saved. Go on with: {again}" in said(display)
    assert (copied / "fold-1" / "held_out.csv").is_file()
    assert not (copied / "fold-2").exists()


def test_predictions_that_lack_a_galaxy(copied: Path, display: Display) -> None:
    table = copied / "fold-2" / "held_out.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(DataFault, match=f"Expected predictions for every galaxy of the fold, got fewer .*{table}"):
        cross_validate(TrainOptions(run=copied, resume=True), display)


def test_dry_run(options: TrainOptions, tmp_path: Path, display: Display) -> None:
    cross_validate(replace(options, run=tmp_path / "cv"), display, dry_run=True)
    assert "folds      3, of 11 galaxies to validate on, once each" in said(display)
    assert f"Would train 3 folds, 1 epochs each, in {tmp_path / 'cv'}" in said(display)
    assert list(tmp_path.iterdir()) == []


def test_on_the_command_line(
    sky: Any, tmp_path: Path, tiny_options: Callable[..., list[str]], succeed: Callable[..., str]
) -> None:
    """Without a list every labelled galaxy is in a fold; the last lines are the figures."""
    options = [*tiny_options("run.validation", "run.epochs"), "--epochs", 1, "--folds", 2, "--run", tmp_path / "cv"]
    text = succeed("train", sky.store, *options, "--quiet")
    assert [line.split()[0] for line in text.splitlines() if "is worse than" not in line] == [
        "fold", "fold", "folds", "RMSE", "answers", "figures",
    ]  # fmt: skip
    ids, _ = read_answers(tmp_path / "cv" / "out_of_fold.csv")
    assert ids.tolist() == sky.ids[:44].tolist()
    succeed("evaluate", tmp_path / "cv" / "fold-1")
    assert "RMSE" in succeed("train", "--run", tmp_path / "cv", "--resume")


@pytest.mark.process
def test_two_processes(
    options: TrainOptions, done: Path, tmp_path: Path, tiny_options: Callable[..., list[str]]
) -> None:
    """They share every fold, and one of them writes."""
    words = [*tiny_options("run.validation", "run.epochs"), "--epochs", 1, "--folds", FOLDS]
    command = application("train", options.store, *words, "--fold-ids", options.fold_ids, "--run", tmp_path / "cv")
    assert [end.code for end in together(2, command, tmp_path)] == [0, 0]
    for file in ("folds.csv", "fold-1/split.csv", "fold-3/split.csv"):
        assert (tmp_path / "cv" / file).read_bytes() == (done / file).read_bytes()
    assert read_answers(tmp_path / "cv" / "out_of_fold.csv")[1] == pytest.approx(
        read_answers(done / "out_of_fold.csv")[1], abs=0.05
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"validation_ids": Path("ids.csv")}, "Expected folds alone to choose the validation galaxies"),
        ({"folds": 1}, "Expected folds at least 2, got 1"),
        ({"folds": 12}, "Expected a galaxy for each of 12 folds, got 11"),
    ],
)
def test_refused_options(change: dict[str, Any], message: str, options: TrainOptions, display: Display) -> None:
    with pytest.raises(UsageFault, match=message):
        cross_validate(replace(options, run=Path("none"), **change), display)
