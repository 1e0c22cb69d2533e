"""A sweep: the trials' figures, which are stopped and what is kept, several workers, and going on after a stop."""

import csv
import json
import os
import shutil
import signal
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from galaxy_triton.config.recipes import SEED
from galaxy_triton.config.toml import override, read_toml
from galaxy_triton.experiments import sweep as sweep_module
from galaxy_triton.experiments.sweep import SweepOptions, sweep
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault, Stopped, UsageFault
from galaxy_triton.train.cross_validation import cross_validate
from galaxy_triton.train.options import TrainOptions
from tests.support.processes import application, end, start

SPACE = "optimiser.lr = { low = 1e-4, high = 1e-2, log = true }\nnetwork.hidden = { low = 0, high = 16 }\n"
TRIALS = 3

Table = list[dict[str, str]]
Short = Callable[..., SweepOptions]
ReplaceFit = Callable[[Callable[..., Any]], None]


@pytest.fixture(scope="module")
def options(sky: Any, tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> SweepOptions:
    """Three trials of two folds of an epoch each."""
    folder = tmp_path_factory.mktemp("sweeps")
    (folder / "space.toml").write_text(SPACE)
    settings = {name: value for name, value in tiny.items() if name != "run.validation"} | {"run.epochs": 1}
    train = TrainOptions(sky.store, settings=settings, folds=2)
    return SweepOptions(train, TRIALS, folder / "sweep", folder / "space.toml")


@pytest.fixture(scope="module")
def done(options: SweepOptions) -> Path:
    """The folder of the whole sweep."""
    sweep(options, Display(quiet=True))
    assert options.out is not None
    return options.out


@pytest.fixture
def short(options: SweepOptions, tmp_path: Path) -> Short:
    """short(trials, space): another sweep, in a folder of the test."""

    def make(trials: int = 1, space: str = SPACE) -> SweepOptions:
        (tmp_path / "space.toml").write_text(space)
        return replace(options, trials=trials, out=tmp_path / "sweep", space=tmp_path / "space.toml")

    return make


@pytest.fixture
def replace_fit(monkeypatch: pytest.MonkeyPatch) -> ReplaceFit:
    """replace_fit(f): a fold is trained by f(fit, session, split, folder, ...), which may call fit."""

    def put(replacement: Callable[..., Any]) -> None:
        fit = sweep_module.fit_fold
        monkeypatch.setattr(sweep_module, "fit_fold", lambda *arguments: replacement(fit, *arguments))

    return put


def table(folder: Path) -> Table:
    with (folder / "trials.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


def said(display: Display) -> str:
    return str(display.console.file.getvalue())  # type: ignore[attr-defined]


def test_every_trial_is_a_row(done: Path) -> None:
    """Nothing else is kept of trials: their networks would fill a disk."""
    rows = table(done)
    assert [(row["trial"], row["state"]) for row in rows] == [(str(number), "complete") for number in range(TRIALS)]
    for row in rows:
        assert float(row["mean_rmse"]) == pytest.approx((float(row["fold_1"]) + float(row["fold_2"])) / 2, abs=1e-7)
        override(SEED, {name: row[name] for name in ("optimiser.lr", "network.hidden")})
    assert len({row["optimiser.lr"] for row in rows}) == TRIALS
    names = {"best.toml", "trials.csv", "sweep.json", "folds.csv", "journal.log", "journal.held"}
    assert {file.name for file in done.iterdir()} == names


def test_the_best_is_what_a_cross_validation_of_it_scores(
    done: Path, options: SweepOptions, tmp_path: Path, display: Display
) -> None:
    best = min(table(done), key=lambda row: float(row["mean_rmse"]))
    config = read_toml(done / "best.toml")
    assert (repr(config.optimiser.lr), str(config.network.hidden)) == (best["optimiser.lr"], best["network.hidden"])
    store = options.train.store
    cross_validate(TrainOptions(store, config_file=done / "best.toml", run=tmp_path / "cv", folds=2), display)
    folds = json.loads((tmp_path / "cv" / "cross_validation.json").read_text())["folds"]
    assert [fold["rmse"] for fold in folds] == pytest.approx([float(best["fold_1"]), float(best["fold_2"])], abs=1e-6)


@pytest.mark.parametrize("fold", ["fold-1", "fold-2"])
def test_a_stop_inside_a_trial(
    fold: str, done: Path, short: Short, tmp_path: Path, display: Display, replace_fit: ReplaceFit
) -> None:
    """After its first fold or inside its last. The trial fails and is tried again; in the end the trials are those of a
    sweep that was never stopped."""
    stops = [signal.SIGTERM]

    def stop_once(fit: Callable[..., Any], *arguments: Any) -> Any:
        now = arguments[2].parts[-2:] == ("trial-1", fold)
        if now and stops and fold == "fold-2":
            os.kill(os.getpid(), stops.pop())
        trainer = fit(*arguments)
        if now and stops and fold == "fold-1":
            os.kill(os.getpid(), stops.pop())
        return trainer

    replace_fit(stop_once)
    with pytest.raises(Stopped) as stop:
        sweep(short(TRIALS), display)
    assert stop.value.code == 75
    assert f"Stopped. Go on with the same command and --out {tmp_path / 'sweep'}" in said(display)
    assert [row["state"] for row in table(tmp_path / "sweep")] == ["complete", "fail"]
    sweep(short(TRIALS), display)
    rows = [row for row in table(tmp_path / "sweep") if row["state"] != "fail"]
    assert [{**row, "trial": ""} for row in rows] == [{**row, "trial": ""} for row in table(done)]
    assert not list((tmp_path / "sweep").glob("trial-*"))


def test_no_trial_is_left(done: Path, options: SweepOptions, tmp_path: Path, display: Display) -> None:
    """The summary is said again, and files are written that a kill or a full disk had prevented."""
    before, out = table(done), shutil.copytree(done, tmp_path / "sweep")
    (out / "best.toml").unlink()
    (out / "trials.csv").write_text("trial\n")
    sweep(replace(options, out=out), display)
    assert table(out) == before
    assert (out / "best.toml").read_bytes() == (done / "best.toml").read_bytes()
    means = sorted(float(row["mean_rmse"]) for row in before)
    assert "3 complete, 0 pruned, 0 failed" in said(display)
    assert f"best         {means[0]:.4f}" in said(display)
    assert f"next         galaxy-triton train {options.train.store} --config {out / 'best.toml'}" in said(display)


def test_a_sweep_of_an_older_version_is_joined(
    done: Path, options: SweepOptions, tmp_path: Path, display: Display
) -> None:
    """Its sweep.json has another version and run.repeat."""
    out = shutil.copytree(done, tmp_path / "sweep")
    identity = json.loads((out / "sweep.json").read_text())
    identity["config"]["version"] = 2
    identity["config"]["run"]["repeat"] = 1
    (out / "sweep.json").write_text(json.dumps(identity))
    sweep(replace(options, out=out), display)
    identity["config"]["run"]["repeat"] = 2
    (out / "sweep.json").write_text(json.dumps(identity))
    with pytest.raises(UsageFault, match=r"run\.repeat"):
        sweep(replace(options, out=out), display)


def test_a_poor_trial_is_stopped(
    short: Short, tmp_path: Path, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One trial is enough here to judge the next."""
    errors = iter((0.1, 0.1, 0.2))
    monkeypatch.setattr("galaxy_triton.experiments.sweep_study.JUDGES", 1)
    monkeypatch.setattr(sweep_module, "rmse", lambda answers, truth: next(errors))
    sweep(short(2), display)
    good, poor = table(tmp_path / "sweep")
    assert (good["state"], good["mean_rmse"]) == ("complete", "0.1")
    assert (poor["state"], poor["fold_1"], poor["fold_2"]) == ("pruned", "0.2", "")
    assert repr(read_toml(tmp_path / "sweep" / "best.toml").optimiser.lr) == good["optimiser.lr"]


@pytest.mark.parametrize(
    "space",
    ["optimiser.lr = [1e30]\n", 'augmentation.size = [8]\nnetwork.widths = ["4,4,4,4"]\n'],
    ids=["it diverges", "values that cannot be together"],
)
def test_a_trial_that_cannot_be_trained_is_pruned(space: str, short: Short, tmp_path: Path, display: Display) -> None:
    sweep(short(1, space), display)
    assert [(row["state"], row["mean_rmse"]) for row in table(tmp_path / "sweep")] == [("pruned", "")]
    assert not (tmp_path / "sweep" / "best.toml").exists()


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (RuntimeError("CUDA error: out of memory"), "pruned"),
        (DataFault("a full disk"), "fail"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_training_that_ends_with_an_error(
    error: Exception, state: str, short: Short, tmp_path: Path, display: Display, replace_fit: ReplaceFit
) -> None:
    """Without memory the trial is pruned; a fault fails it and ends the sweep."""

    def fail(fit: Callable[..., Any], *arguments: Any) -> Any:
        raise error

    replace_fit(fail)
    with pytest.raises(DataFault) if isinstance(error, DataFault) else nullcontext():
        sweep(short(), display)
    assert [row["state"] for row in table(tmp_path / "sweep")] == [state]


def test_a_score_that_is_not_finite_is_pruned(
    short: Short, tmp_path: Path, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last step may be the one that diverges."""
    monkeypatch.setattr(sweep_module, "rmse", lambda answers, truth: float("nan"))
    sweep(short(), display)
    assert [(row["state"], row["fold_1"]) for row in table(tmp_path / "sweep")] == [("pruned", "")]


def test_one_network_at_a_time(short: Short, display: Display, replace_fit: ReplaceFit) -> None:
    """Two would not fit on a GPU that one fills."""
    trainers: list[Any] = []

    def watch(fit: Callable[..., Any], *arguments: Any) -> Any:
        assert [trainer for trainer in trainers if trainer() is not None] == []
        trainer = fit(*arguments)
        trainers.append(weakref.ref(trainer))
        return trainer

    replace_fit(watch)
    sweep(short(), display)
    assert len(trainers) == 2


@pytest.mark.process
def test_two_workers(options: SweepOptions, tmp_path: Path, tiny_options: Callable[..., list[str]]) -> None:
    """They begin together in a folder that is not there yet, and share the trials."""
    given = [*tiny_options("run.validation", "run.epochs"), "--epochs", 1, "--folds", 2, "--trials", 4]
    command = application("sweep", options.train.store, *given, "--space", options.space, "--out", tmp_path / "sweep")
    for ended in [end(worker) for worker in [start(command, tmp_path), start(command, tmp_path)]]:
        assert ended.code == 0, ended.said
    rows = table(tmp_path / "sweep")
    assert [(row["trial"], row["state"]) for row in rows] == [(str(number), "complete") for number in range(4)]
    assert len({row["optimiser.lr"] for row in rows}) == 4
    best = min(rows, key=lambda row: float(row["mean_rmse"]))
    assert repr(read_toml(tmp_path / "sweep" / "best.toml").optimiser.lr) == best["optimiser.lr"]


def test_dry_run(done: Path, options: SweepOptions, tmp_path: Path, display: Display) -> None:
    sweep(replace(options, out=tmp_path / "sweep", space=None), display, dry_run=True)
    assert "optimiser.weight_decay" in said(display)
    assert list(tmp_path.iterdir()) == []
    before = {file: file.stat().st_mtime_ns for file in done.iterdir()}
    sweep(replace(options, trials=5), display, dry_run=True)
    assert {file: file.stat().st_mtime_ns for file in done.iterdir()} == before


@pytest.mark.parametrize("dry_run", [True, False])
def test_another_sweep_in_the_folder(
    dry_run: bool, done: Path, options: SweepOptions, tmp_path: Path, display: Display
) -> None:
    """Whatever is computed must be the same; where and how is free."""
    (tmp_path / "space.toml").write_text(SPACE.replace("16", "17"))
    before = (done / "journal.log").read_bytes()
    for changed, name in (
        (replace(options, space=tmp_path / "space.toml"), r"space\.network\.hidden\.high"),
        (with_setting(options, "run.seed", 2), r"config\.run\.seed, folds"),
        (with_setting(options, "optimiser.clip", 1.0), r"config\.optimiser\.clip"),
        (replace(options, out=tmp_path), "other files"),
    ):
        with pytest.raises(UsageFault, match=name):
            sweep(changed, display, dry_run=dry_run)
    assert [file.name for file in tmp_path.iterdir()] == ["space.toml"]
    assert (done / "journal.log").read_bytes() == before
    sweep(with_setting(options, "run.augment", "torch"), display, dry_run=dry_run)


def with_setting(options: SweepOptions, field: str, value: object) -> SweepOptions:
    return replace(options, train=replace(options.train, settings={**(options.train.settings or {}), field: value}))
