"""The trials of a sweep: how many are begun by several workers, which configurations they draw, and which are poor."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import Trial, TrialState

from galaxy_triton.config.recipes import SEED
from galaxy_triton.config.schema import Config
from galaxy_triton.config.toml import override
from galaxy_triton.experiments.sweep_space import Space
from galaxy_triton.experiments.sweep_study import Study, folds_of
from galaxy_triton.system.errors import DataFault

COMPLETE, PRUNED, FAILED, RUNNING = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING
SPACE: Space = {
    "optimiser.lr": {"low": 1e-4, "high": 1e-2, "log": True},
    "run.epochs": {"low": 2, "high": 5, "log": False},
    "network.head": ["sigmoid", "tree"],
}


def study(folder: Path | str, config: Config = SEED) -> Study:
    return Study(Path(folder), SPACE, config)


def begin(worker: Study, wanted: int = 99) -> Trial:
    trial = worker.begin(wanted)
    assert trial is not None
    return trial


def attempt(worker: Study, *folds: float, state: TrialState = COMPLETE) -> dict[str, Any]:
    """The settings of a new trial that scores and ends so."""
    trial = begin(worker)
    for count in range(1, len(folds) + 1):
        worker.add_fold(trial, list(folds[:count]))
    worker.end(trial, state)
    return trial.params


def recorded(folder: Path) -> list[tuple[TrialState, list[float]]]:
    worker = study(folder)
    with worker.locked():
        return [(trial.state, folds_of(trial)) for trial in worker.trials()]


@pytest.fixture
def other(tmp_path: Path) -> Path:
    folder = tmp_path / "other"
    folder.mkdir()
    return folder


def test_trials_are_counted_over_all_workers(tmp_path: Path) -> None:
    """Running trials count, failed ones do not."""
    one, two = study(tmp_path), study(tmp_path)
    first, second = begin(one, 2), begin(two, 2)
    assert (first.number, second.number) == (0, 1)
    assert study(tmp_path).begin(2) is None
    one.end(first, FAILED)
    assert begin(one, 2).params == first.params
    two.end(second, PRUNED)
    assert two.begin(2) is None
    assert begin(two, 3).params != second.params


def test_a_trial_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder that is named relative to this one."""
    monkeypatch.chdir(tmp_path)
    mine = study(".")
    attempt(mine, 0.5, 0.25)
    attempt(mine, 0.5, state=PRUNED)
    attempt(mine, state=PRUNED)
    assert recorded(tmp_path) == [(COMPLETE, [0.5, 0.25]), (PRUNED, [0.5]), (PRUNED, [])]


def test_draws_depend_on_the_seed_and_on_trials_that_did_not_fail(tmp_path: Path, other: Path) -> None:
    errors = [0.1 + 0.01 * (number % 7) for number in range(14)]  # beyond the ten that Optuna draws at random
    straight = [attempt(study(tmp_path), error) for error in errors]
    broken = []
    for number, error in enumerate(errors):
        if number in (0, 6, 12):
            attempt(study(other), state=FAILED)
        broken.append(attempt(study(other), error))
    assert broken == straight
    for drawn in straight:
        assert 1e-4 <= drawn["optimiser.lr"] <= 1e-2
        override(SEED, drawn)
    assert len({drawn["optimiser.lr"] for drawn in straight}) == 14
    assert {drawn["run.epochs"] for drawn in straight} <= {2, 3, 4, 5}
    assert {drawn["network.head"] for drawn in straight} == {"sigmoid", "tree"}
    (tmp_path / "seed").mkdir()
    assert attempt(study(tmp_path / "seed", override(SEED, {"run.seed": 2})), 0.1) != straight[0]


def test_each_configuration_is_tried_once(tmp_path: Path, other: Path) -> None:
    """The first of two that run at a time fails: the next trial has its configuration, and no trial the second's."""
    workers = [study(tmp_path) for _ in range(3)]
    straight = [begin(worker).params for worker in workers]
    one, two = study(other), study(other)
    first, second = begin(one), begin(two)
    one.end(first, FAILED)
    again = [begin(one).params, begin(study(other)).params]
    assert [first.params, second.params] == straight[:2]
    assert again == [straight[0], straight[2]]


@pytest.mark.process
def test_a_killed_worker_is_not_waited_for(tmp_path: Path) -> None:
    """Its networks go: nothing else would remove them."""
    code = "import os, sys; from tests.experiments.test_sweep_study import *; begin(study(sys.argv[1])); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 9
    (tmp_path / "trial-0" / "fold-1").mkdir(parents=True)
    assert recorded(tmp_path) == [(RUNNING, [])]
    mine = study(tmp_path)
    begin(mine, 1)
    assert recorded(tmp_path) == [(FAILED, []), (RUNNING, [])]
    with mine.locked():
        lost, again = mine.trials()
    assert lost.params == again.params
    assert not (tmp_path / "trial-0").exists()


def test_half_a_line_is_dropped(tmp_path: Path) -> None:
    """By a worker that has read the journal before, and by a new one."""
    one, journal = study(tmp_path), tmp_path / "journal.log"
    for worker in (one, None):
        attempt(one, 0.5)
        whole = journal.read_bytes()
        journal.write_bytes(whole + b'{"op_code":4,"worker_id":"x"')
        attempt(worker or study(tmp_path), 0.5)
        assert journal.read_bytes().startswith(whole + b"{")
    assert [state for state, _ in recorded(tmp_path)] == [COMPLETE] * 4


@pytest.mark.parametrize("line", ["{", "{}", "null", '{"op_code":99,"worker_id":"x"}'])
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
        trial = begin(mine)
        assert mine.add_fold(trial, [0.9]) == (number >= 5)
        mine.end(trial, FAILED)
        attempt(mine, 0.5, 0.1)
    trial = begin(mine)
    assert not mine.add_fold(trial, [0.4])  # beside 0.5
    assert mine.add_fold(trial, [0.4, 0.4])  # a mean of 0.4 beside 0.3
