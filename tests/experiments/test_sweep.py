"""A sweep: the trials' figures, what is stopped and what is kept, several workers, and going on after a stop."""

import csv
import json
import os
import shutil
import signal
import sys
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from galaxy_triton.config.recipes import SEED
from galaxy_triton.config.toml import override, read_toml
from galaxy_triton.experiments import sweep as sweep_module
from galaxy_triton.experiments import sweep_study as study_module
from galaxy_triton.experiments.sweep import Asked, describe, sweep
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault, Stopped, UsageFault
from galaxy_triton.train.cross_validation import cross_validate
from galaxy_triton.train.options import TrainOptions
from tests.support.processes import application, end, start

SPACE = "optimiser.lr = { low = 1e-4, high = 1e-2, log = true }\nnetwork.hidden = { low = 0, high = 16 }\n"
TRIALS = 3

Table = list[dict[str, str]]


@pytest.fixture(scope="module")
def asked(sky: Any, tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """Three trials of two folds of an epoch each."""
    folder = tmp_path_factory.mktemp("sweeps")
    (folder / "space.toml").write_text(SPACE)
    settings = {name: value for name, value in tiny.items() if name != "run.validation"} | {"run.epochs": 1}
    return Asked(TrainOptions(sky.store, settings=settings, folds=2), TRIALS, folder / "sweep", folder / "space.toml")


@pytest.fixture(scope="module")
def done(asked: Asked) -> Path:
    """The folder of the sweep, whole."""
    sweep(asked, Display(quiet=True))
    assert asked.out is not None
    return asked.out


def table(folder: Path) -> Table:
    with (folder / "trials.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


def with_space(asked: Asked, folder: Path, text: str, trials: int) -> Asked:
    (folder / "space.toml").write_text(text)
    return replace(asked, space=folder / "space.toml", out=folder / "sweep", trials=trials)


def said(display: Display) -> str:
    return str(display.console.file.getvalue())  # type: ignore[attr-defined]


def test_every_trial_is_a_row(done: Path) -> None:
    """Of trials nothing else stays: their networks would fill a disk."""
    rows = table(done)
    assert [(row["trial"], row["state"]) for row in rows] == [(str(number), "complete") for number in range(TRIALS)]
    for row in rows:
        assert float(row["mean_rmse"]) == pytest.approx((float(row["fold_1"]) + float(row["fold_2"])) / 2, abs=1e-7)
        override(SEED, {name: row[name] for name in ("optimiser.lr", "network.hidden")})
    assert len({row["optimiser.lr"] for row in rows}) == TRIALS
    names = {"best.toml", "trials.csv", "sweep.json", "folds.csv", "journal.log", "journal.held"}
    assert {file.name for file in done.iterdir()} == names


def test_the_best_is_what_a_cross_validation_of_it_scores(
    done: Path, asked: Asked, tmp_path: Path, display: Display
) -> None:
    """The same folds, fold by fold."""
    best = min(table(done), key=lambda row: float(row["mean_rmse"]))
    config = read_toml(done / "best.toml")
    assert (repr(config.optimiser.lr), str(config.network.hidden)) == (best["optimiser.lr"], best["network.hidden"])
    request = TrainOptions(asked.request.store, config_file=done / "best.toml", run=tmp_path / "cv", folds=2)
    cross_validate(request, display)
    folds = json.loads((tmp_path / "cv" / "cross_validation.json").read_text())["folds"]
    assert [fold["rmse"] for fold in folds] == pytest.approx([float(best["fold_1"]), float(best["fold_2"])], abs=1e-6)


def test_train_takes_the_best(done: Path, sky: Any, tmp_path: Path, succeed: Callable[..., str]) -> None:
    text = succeed("train", sky.store, "--config", done / "best.toml", "--run", tmp_path / "run", "--dry-run")
    assert "Would train epochs 1 to 1" in text


def test_the_same_seed_gives_the_same_trials(
    done: Path, asked: Asked, tmp_path: Path, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it is stopped inside the second trial and goes on: that trial fails, and is drawn again."""
    fitted = sweep_module.fitted

    def stopping(*arguments: Any) -> Any:
        if arguments[2].parts[-2:] == ("trial-1", "fold-2"):
            os.kill(os.getpid(), signal.SIGTERM)
        return fitted(*arguments)

    monkeypatch.setattr(sweep_module, "fitted", stopping)
    asked = replace(asked, out=tmp_path / "sweep")
    with pytest.raises(Stopped) as stop:
        sweep(asked, display)
    assert stop.value.code == 75
    assert "Stopped in trial 1, which counts as failed" in said(display)
    assert [row["state"] for row in table(tmp_path / "sweep")] == ["complete", "fail"]
    monkeypatch.undo()
    sweep(asked, display)
    rows = [row for row in table(tmp_path / "sweep") if row["state"] != "fail"]
    assert [{**row, "trial": ""} for row in rows] == [{**row, "trial": ""} for row in table(done)]
    assert not list((tmp_path / "sweep").glob("trial-*"))


def test_a_stop_between_folds(asked: Asked, tmp_path: Path, display: Display, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while a fold is asked."""
    held_out_rmse = sweep_module._held_out_rmse

    def stopping(trainer: Any) -> float:
        os.kill(os.getpid(), signal.SIGINT)
        return held_out_rmse(trainer)

    monkeypatch.setattr(sweep_module, "_held_out_rmse", stopping)
    with pytest.raises(Stopped) as stop:
        sweep(replace(asked, out=tmp_path / "sweep"), display)
    assert stop.value.code == 130
    assert [(row["state"], row["fold_2"]) for row in table(tmp_path / "sweep")] == [("fail", "")]


def test_as_many_trials_as_there_are(done: Path, asked: Asked, tmp_path: Path, display: Display) -> None:
    """None is tried. The summary comes again, and so do files that a kill or a full disk had kept from the folder."""
    before, out = table(done), shutil.copytree(done, tmp_path / "sweep")
    (out / "best.toml").unlink()
    (out / "trials.csv").write_text("trial\n")
    sweep(replace(asked, out=out), display)
    assert table(out) == before
    assert (out / "best.toml").read_bytes() == (done / "best.toml").read_bytes()
    assert "trials       3 complete, 0 pruned, 0 failed" in said(display)
    means = sorted(float(row["mean_rmse"]) for row in before)
    assert f"best         {means[0]:.4f}  ± " in said(display)
    assert f"spread       {means[0]:.4f} to {means[2]:.4f}, median {means[1]:.4f}" in said(display)
    assert f"trial {TRIALS}" not in said(display)


def test_poor_trials_are_stopped(
    asked: Asked, tmp_path: Path, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an absurd learning rate among two; one trial is enough to judge the next."""
    monkeypatch.setattr(study_module, "JUDGES", 1)
    sweep(with_space(asked, tmp_path, "optimiser.lr = [1e-3, 5.0]\n", 6), display)
    rows = table(tmp_path / "sweep")
    pruned = [row for row in rows if row["state"] == "pruned"]
    assert {row["optimiser.lr"] for row in pruned} == {"5.0"}
    assert all(row["fold_1"] and not row["fold_2"] for row in pruned)
    assert said(display).count("pruned: above the median of others over these folds") == len(pruned)
    assert read_toml(tmp_path / "sweep" / "best.toml").optimiser.lr == 1e-3


def test_a_trial_that_diverges_is_pruned(asked: Asked, tmp_path: Path, display: Display) -> None:
    sweep(with_space(asked, tmp_path, "optimiser.lr = [1e30]\n", 1), display)
    (row,) = table(tmp_path / "sweep")
    assert (row["state"], row["mean_rmse"]) == ("pruned", "")
    assert "  pruned: its loss, or its RMSE, is not finite" in said(display)
    assert "trials       0 complete, 1 pruned, 0 failed" in said(display)
    assert not (tmp_path / "sweep" / "best.toml").exists()


def test_a_combination_that_cannot_be_is_pruned(asked: Asked, tmp_path: Path, display: Display) -> None:
    """Each value can be by itself: views of 8 pixels with two blocks, and four blocks with views of 16."""
    space = 'augmentation.size = [8]\nnetwork.widths = ["4,4,4,4"]\n'
    sweep(with_space(asked, tmp_path, space, 2), display)
    assert [(row["state"], row["mean_rmse"]) for row in table(tmp_path / "sweep")] == [("pruned", "")] * 2
    assert said(display).count("  pruned: Expected augmentation.size at least 16") == 2


def test_a_trial_that_does_not_fit_is_pruned(
    asked: Asked, tmp_path: Path, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> Any:
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(sweep_module, "fitted", full)
    sweep(replace(asked, out=tmp_path / "sweep", trials=1), display)
    assert [row["state"] for row in table(tmp_path / "sweep")] == ["pruned"]
    assert "  pruned: out of memory" in said(display)


@pytest.mark.parametrize("rmse", [float("nan"), float("inf")])
def test_a_score_that_is_not_finite_is_pruned(
    rmse: float, asked: Asked, tmp_path: Path, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last step may be the one that diverges."""
    monkeypatch.setattr(sweep_module, "_held_out_rmse", lambda trainer: rmse)
    sweep(replace(asked, out=tmp_path / "sweep", trials=1), display)
    assert [(row["state"], row["fold_1"]) for row in table(tmp_path / "sweep")] == [("pruned", "")]


def test_one_network_at_a_time(asked: Asked, tmp_path: Path, display: Display, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two would not fit on a GPU that one fills."""
    fitted, trainers = sweep_module.fitted, []

    def watching(*arguments: Any) -> Any:
        assert [trainer for trainer in trainers if trainer() is not None] == []
        trainer = fitted(*arguments)
        trainers.append(weakref.ref(trainer))
        return trainer

    monkeypatch.setattr(sweep_module, "fitted", watching)
    sweep(replace(asked, out=tmp_path / "sweep", trials=2), display)
    assert len(trainers) == 4


def test_a_fault_fails_the_trial_and_ends_the_sweep(
    asked: Asked, tmp_path: Path, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any) -> Any:
        raise DataFault("a full disk")

    monkeypatch.setattr(sweep_module, "fitted", broken)
    with pytest.raises(DataFault, match="a full disk"):
        sweep(replace(asked, out=tmp_path / "sweep"), display)
    assert [row["state"] for row in table(tmp_path / "sweep")] == ["fail"]


@pytest.mark.process
def test_two_workers(asked: Asked, tmp_path: Path, tiny_options: Callable[..., list[str]]) -> None:
    """They begin together in a folder that is not there yet, and share the trials."""
    options = [*tiny_options("run.validation", "run.epochs"), "--epochs", 1, "--folds", 2, "--trials", 4]
    command = application("sweep", asked.request.store, *options, "--space", asked.space, "--out", tmp_path / "sweep")
    for ended in [end(worker) for worker in [start(command, tmp_path), start(command, tmp_path)]]:
        assert ended.code == 0, ended.said
    rows = table(tmp_path / "sweep")
    assert [(row["trial"], row["state"]) for row in rows] == [(str(number), "complete") for number in range(4)]
    assert len({row["optimiser.lr"] for row in rows}) == 4
    best = min(rows, key=lambda row: float(row["mean_rmse"]))
    assert repr(read_toml(tmp_path / "sweep" / "best.toml").optimiser.lr) == best["optimiser.lr"]


def test_a_sweep_that_another_worker_begins_meanwhile(
    done: Path, asked: Asked, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files are there only after this worker has looked for sweep.json."""
    looked, is_file = [], Path.is_file

    def late(file: Path, **options: Any) -> bool:
        first = file == done / "sweep.json" and not looked
        looked.extend([file] * first)
        return not first and is_file(file, **options)

    before = (done / "sweep.json").read_bytes()
    monkeypatch.setattr(Path, "is_file", late)
    sweep(asked, display)
    assert looked
    assert (done / "sweep.json").read_bytes() == before


def test_dry_run(done: Path, asked: Asked, tmp_path: Path, display: Display) -> None:
    out = tmp_path / "sweep"
    describe(replace(asked, out=out, space=None), display)
    assert "space      optimiser.lr from 0.0005 to 0.02, by its logarithm" in said(display)
    assert f"Would try 3 configurations, 2 folds of 1 epochs each, in {out}" in said(display)
    assert list(tmp_path.iterdir()) == []
    describe(replace(asked, trials=5), display)
    assert f"Would try 2 of 5 configurations, 2 folds of 1 epochs each, in {done}" in said(display)


def test_another_sweep_in_the_folder(done: Path, asked: Asked, tmp_path: Path, display: Display) -> None:
    """What is computed must be the same; where and how is free."""
    (tmp_path / "space.toml").write_text(SPACE.replace("16", "17"))
    before = (done / "journal.log").read_bytes()
    for change, message in (
        ({"space": tmp_path / "space.toml"}, r"got another space.network.hidden.high"),
        ({"request": _changed(asked, "run.seed", 2)}, r"got another config.run.seed, folds"),
        ({"request": _changed(asked, "optimiser.clip", 1.0)}, r"got another config.optimiser.clip \("),
        ({"out": tmp_path}, "Expected an empty folder or that of a sweep, got one with other files"),
    ):
        for command in (describe, sweep):
            with pytest.raises(UsageFault, match=message):
                command(replace(asked, **change), display)
    assert [file.name for file in tmp_path.iterdir()] == ["space.toml"]
    assert (done / "journal.log").read_bytes() == before
    sweep(replace(asked, request=_changed(asked, "run.augment", "torch")), display)


def test_without_optuna(asked: Asked, tmp_path: Path, display: Display, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(
        UsageFault, match=r"Expected Optuna for `sweep`, got none .* pip install 'galaxy-triton\[sweep\]'"
    ):
        sweep(replace(asked, out=tmp_path / "sweep"), display)
    assert list(tmp_path.iterdir()) == []


def _changed(asked: Asked, field: str, value: object) -> TrainOptions:
    return replace(asked.request, settings={**(asked.request.settings or {}), field: value})
