"""The trials of a sweep: how many are begun by several workers, which configurations they draw, and which are poor."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from galaxy_triton.config.recipes import SEED
from galaxy_triton.config.schema import Config
from galaxy_triton.config.toml import override
from galaxy_triton.experiments.sweep_space import Range, Space
from galaxy_triton.experiments.sweep_study import COMPLETE, FAILED, PRUNED, RUNNING, Study, Trial
from galaxy_triton.system.errors import DataFault

SPACE: Space = {
    "optimiser.lr": Range(1e-4, 1e-2, log=True),
    "run.epochs": Range(2, 5),
    "network.head": ("sigmoid", "tree"),
}


def study(folder: Path | str, config: Config = SEED) -> Study:
    return Study(Path(folder), SPACE, config)


def begin(worker: Study, wanted: int = 99) -> Trial:
    trial = worker.begin(wanted)
    assert trial is not None
    return trial


def attempt(worker: Study, *folds: float, state: str = COMPLETE) -> dict[str, Any]:
    """The settings of a new trial that scores and ends so."""
    trial = begin(worker)
    for rmse in folds:
        trial = worker.add_fold(trial, rmse)
    worker.end(trial, state)
    return trial.settings


def states(folder: Path) -> list[str]:
    return [trial.state for trial in study(folder).trials()]


@pytest.fixture
def other(tmp_path: Path) -> Path:
    folder = tmp_path / "other"
    folder.mkdir()
    return folder


def test_settings_are_of_the_space(tmp_path: Path) -> None:
    drawn = [attempt(study(tmp_path), 0.1) for _ in range(20)]
    assert all(1e-4 <= each["optimiser.lr"] <= 1e-2 for each in drawn)
    assert len({each["optimiser.lr"] for each in drawn}) == 20
    assert {each["run.epochs"] for each in drawn} == {2, 3, 4, 5}
    assert {each["network.head"] for each in drawn} == {"sigmoid", "tree"}
    for each in drawn:
        override(SEED, each)


def test_trials_are_counted_over_all_workers(tmp_path: Path) -> None:
    """Running trials count, failed ones do not."""
    one, two = study(tmp_path), study(tmp_path)
    first, second = begin(one, 2), begin(two, 2)
    assert (first.number, second.number) == (0, 1)
    assert study(tmp_path).begin(2) is None
    one.end(first, FAILED)
    assert begin(one, 2).settings == first.settings
    two.end(second, PRUNED)
    assert two.begin(2) is None
    assert begin(two, 3).settings != second.settings


def test_what_is_recorded_of_a_trial(tmp_path: Path) -> None:
    mine = study(tmp_path)
    attempt(mine, 0.5, 0.25)
    attempt(mine, 0.5, state=PRUNED)
    attempt(mine, state=PRUNED)
    trials = study(tmp_path).trials()
    assert [(trial.state, trial.folds) for trial in trials] == [(COMPLETE, (0.5, 0.25)), (PRUNED, (0.5,)), (PRUNED, ())]
    assert (trials[0].mean(), trials[0].mean(1)) == (0.375, 0.5)


def test_draws_depend_on_the_seed_and_on_trials_that_did_not_fail(tmp_path: Path, other: Path) -> None:
    errors = [0.1 + 0.01 * (number % 7) for number in range(14)]  # beyond the ten that Optuna draws at random
    straight = [attempt(study(tmp_path), error) for error in errors]
    broken = []
    for number, error in enumerate(errors):
        if number in (0, 6, 12):
            attempt(study(other), state=FAILED)
        broken.append(attempt(study(other), error))
    assert broken == straight
    (tmp_path / "seed").mkdir()
    assert attempt(study(tmp_path / "seed", override(SEED, {"run.seed": 2})), 0.1) != straight[0]


def test_each_configuration_is_tried_once(tmp_path: Path, other: Path) -> None:
    """The first of two that run at a time fails: the next trial has its configuration, and no trial the second's."""
    workers = [study(tmp_path) for _ in range(3)]
    straight = [begin(worker).settings for worker in workers]
    one, two = study(other), study(other)
    first, second = begin(one), begin(two)
    one.end(first, FAILED)
    again = [begin(one).settings, begin(study(other)).settings]
    assert [first.settings, second.settings] == straight[:2]
    assert again == [straight[0], straight[2]]


@pytest.mark.process
def test_a_killed_worker_is_not_waited_for(tmp_path: Path) -> None:
    """Its networks go: nothing else would remove them."""
    code = "import os, sys; from tests.experiments.test_sweep_study import *; begin(study(sys.argv[1])); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 9
    (tmp_path / "trial-0" / "fold-1").mkdir(parents=True)
    mine = study(tmp_path)
    (lost,) = mine.trials()
    assert lost.state == RUNNING
    assert begin(mine, 1).settings == lost.settings
    assert states(tmp_path) == [FAILED, RUNNING]
    assert not (tmp_path / "trial-0").exists()


def test_a_relative_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sweep").mkdir()
    attempt(study("sweep"), 0.1)
    assert states(tmp_path / "sweep") == [COMPLETE]


@pytest.mark.parametrize("half", [b"{", b'{"op_code":4,"worker_id":"x"', b"\xff"])
def test_half_a_line_is_dropped(half: bytes, tmp_path: Path) -> None:
    """By a worker that has read the journal before, and by a new one."""
    one, journal = study(tmp_path), tmp_path / "journal.log"
    for worker in (one, None):
        attempt(one, 0.5)
        whole = journal.read_bytes()
        journal.write_bytes(whole + half)
        attempt(worker or study(tmp_path), 0.5)
        assert journal.read_bytes().startswith(whole + b"{")
    assert states(tmp_path) == [COMPLETE] * 4


@pytest.mark.parametrize("line", ["{", "{}", "null", "[]", '{"op_code":99,"worker_id":"x"}'])
def test_a_damaged_journal(line: str, tmp_path: Path) -> None:
    attempt(study(tmp_path), 0.5)
    journal = tmp_path / "journal.log"
    journal.write_text(journal.read_text() + line + "\n" + line + "\n")
    with pytest.raises(DataFault, match=r"journal\.log"):
        study(tmp_path)


def test_trials_are_judged_over_the_same_folds(tmp_path: Path) -> None:
    """By at least five that are bad in their first fold and good in the second; one that failed judges nobody."""
    mine = study(tmp_path)
    attempt(mine, 0.0, 0.0, state=FAILED)
    for number in range(6):
        trial = mine.add_fold(begin(mine), 0.9)
        assert mine.is_poor(trial) == (number >= 5)
        mine.end(trial, FAILED)
        attempt(mine, 0.5, 0.1)
    trial = mine.add_fold(begin(mine), 0.4)
    assert not mine.is_poor(trial)  # 0.4 beside 0.5
    assert mine.is_poor(mine.add_fold(trial, 0.4))  # 0.4 beside 0.3
