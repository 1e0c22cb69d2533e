"""The trials of a sweep: how many are begun by several workers, what they draw, and which are poor."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from galaxy_triton.config.recipes import SEED
from galaxy_triton.config.schema import Config
from galaxy_triton.config.toml import override
from galaxy_triton.experiments import sweep_study as study_module
from galaxy_triton.experiments.sweep_space import Range, Space
from galaxy_triton.experiments.sweep_study import COMPLETE, FAILED, JUDGES, PRUNED, Study, counted, is_poor, trials_in
from galaxy_triton.system.errors import DataFault

SPACE: Space = {
    "optimiser.lr": Range(1e-4, 1e-2, log=True),
    "run.epochs": Range(2, 5),
    "network.head": ("sigmoid", "tree"),
}


def study(folder: Path | str, config: Config = SEED) -> Study:
    return Study(Path(folder), SPACE, config)


def tried(found: Study, wanted: int, *folds: float, state: str = COMPLETE) -> dict[str, Any]:
    """The settings of a new trial that comes to this."""
    trial = found.begin(wanted)
    assert trial is not None
    for rmse in folds:
        trial = found.add_fold(rmse)
    found.end(state)
    return trial.settings


def begun(found: Study, wanted: int) -> dict[str, Any]:
    """The settings of a new trial that is still tried."""
    trial = found.begin(wanted)
    assert trial is not None
    return trial.settings


def test_settings_are_of_the_space(tmp_path: Path) -> None:
    drawn = [tried(study(tmp_path), 20, 0.1) for _ in range(20)]
    assert all(1e-4 <= each["optimiser.lr"] <= 1e-2 for each in drawn)
    assert len({each["optimiser.lr"] for each in drawn}) == 20
    assert {each["run.epochs"] for each in drawn} == {2, 3, 4, 5}
    assert {each["network.head"] for each in drawn} == {"sigmoid", "tree"}
    for each in drawn:
        override(SEED, each)


def test_trials_are_counted_over_all_workers(tmp_path: Path) -> None:
    """What runs counts and what failed does not."""
    one, other = study(tmp_path), study(tmp_path)
    trials = [one.begin(2), other.begin(2)]
    assert [trial.number for trial in trials if trial] == [0, 1]
    assert study(tmp_path).begin(2) is None
    one.end(FAILED)
    again = other.begin(2)
    assert again is not None
    assert again.number == 2
    assert one.begin(2) is None
    assert study(tmp_path).begin(3) is not None


def test_a_trial_is_what_was_kept_of_it(tmp_path: Path) -> None:
    mine = study(tmp_path)
    tried(mine, 3, 0.5, 0.25)
    tried(mine, 3, 0.5, state=PRUNED)
    tried(mine, 3, state=PRUNED)
    trials = study(tmp_path).trials()
    assert [(trial.state, trial.folds) for trial in trials] == [
        ("complete", (0.5, 0.25)),
        ("pruned", (0.5,)),
        ("pruned", ()),
    ]
    assert (trials[0].mean(), trials[0].mean(1)) == (0.375, 0.5)
    assert trials[0].worker is not None
    assert trials[0].worker[1] == os.getpid()


def test_what_is_drawn_depends_on_the_seed_and_what_ended_well(tmp_path: Path) -> None:
    """A trial that failed is drawn again; another seed draws another."""
    for name in ("straight", "broken", "seed"):
        (tmp_path / name).mkdir()
    # beyond the ten that Optuna draws at random
    errors = [0.1 + 0.01 * (number % 7) for number in range(14)]
    straight = [tried(study(tmp_path / "straight"), 14, error) for error in errors]
    broken = []
    for number, error in enumerate(errors):
        if number in (0, 6, 12):
            tried(study(tmp_path / "broken"), 14, state=FAILED)
        broken.append(tried(study(tmp_path / "broken"), 14, error))
    assert broken == straight
    other = override(SEED, {"run.seed": 2})
    assert tried(study(tmp_path / "seed", other), 1, 0.1) != straight[0]


def test_each_draw_comes_once(tmp_path: Path) -> None:
    """The first of two that run at a time fails: the next draws what that one had, not what the second has."""
    for name in ("straight", "broken"):
        (tmp_path / name).mkdir()
    straight = [begun(study(tmp_path / "straight"), 3) for _ in range(3)]
    one, other = study(tmp_path / "broken"), study(tmp_path / "broken")
    assert [begun(one, 3), begun(other, 3)] == straight[:2]
    one.end(FAILED)
    assert [begun(one, 3), begun(study(tmp_path / "broken"), 3)] == [straight[0], straight[2]]


@pytest.mark.process
def test_a_killed_worker_is_no_longer_waited_for(tmp_path: Path) -> None:
    """Its networks go: nothing else would look for them again."""
    code = "import sys; from tests.experiments.test_sweep_study import study; study(sys.argv[1]).begin(1)"
    command = [sys.executable, "-c", code, str(tmp_path)]
    subprocess.run(command, check=True)
    (tmp_path / "trial-0" / "fold-1").mkdir(parents=True)
    mine = study(tmp_path)
    assert [trial.state for trial in mine.trials()] == ["running"]
    assert counted(trials_in(tmp_path)) == []
    drawn = mine.begin(1)
    assert drawn is not None
    assert not (tmp_path / "trial-0").exists()
    assert [trial.state for trial in mine.trials()] == ["fail", "running"]
    assert drawn.settings == mine.trials()[0].settings


def test_the_lock_of_a_relative_folder_leads_somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Optuna takes a killed worker's lock away only where it can read the time of what the lock links to."""
    monkeypatch.chdir(tmp_path)
    Path("sweep").mkdir()
    links, symlink = [], os.symlink

    def watching(source: str, link: str) -> None:
        symlink(source, link)
        links.append(os.path.samefile(link, "sweep/journal.log"))

    monkeypatch.setattr(os, "symlink", watching)
    assert study("sweep").begin(1) is not None
    assert links
    assert all(links)


@pytest.mark.parametrize("half", [b"{", b'{"op_code":4,"worker_id":"x"', b"\xff"])
def test_half_a_line_is_dropped(half: bytes, tmp_path: Path) -> None:
    """A worker that is open goes on, and so does one that is opened then."""
    one, journal = study(tmp_path), tmp_path / "journal.log"
    for worker in (one, None):
        tried(one, 9, 0.5)
        whole = journal.read_bytes()
        journal.write_bytes(whole + half)
        tried(worker or study(tmp_path), 9, 0.5)
        assert journal.read_bytes().startswith(whole + b"{")
    assert [trial.state for trial in study(tmp_path).trials()] == [COMPLETE] * 4


@pytest.mark.parametrize("line", ["{", "{}", "null", "[]", '{"op_code":99,"worker_id":"x"}'])
def test_a_journal_of_something_else(line: str, tmp_path: Path) -> None:
    tried(study(tmp_path), 9, 0.5)
    journal = tmp_path / "journal.log"
    journal.write_text(journal.read_text() + line + "\n" + line + "\n")
    with pytest.raises(DataFault, match=r"Expected a sweep's journal, got .*journal\.log"):
        study(tmp_path).trials()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system does not say when a process started")
def test_another_process_of_the_same_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This one's number, but begun at another time: the worker is gone."""
    with monkeypatch.context() as patch:
        patch.setattr(study_module, "_started", lambda process: 1)
        assert study(tmp_path).begin(1) is not None
        assert study(tmp_path).begin(1) is None
    assert study(tmp_path).begin(1) is not None
    assert study(tmp_path).begin(1) is None


def test_a_process_started_after_its_parent() -> None:
    own, parent = study_module._started(os.getpid()), study_module._started(os.getppid())
    assert own is None or parent is None or own >= parent > 0


def test_a_worker_that_another_took_for_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where two containers have one host name."""
    mine, other = study(tmp_path), study(tmp_path)
    assert mine.begin(1) is not None
    with monkeypatch.context() as patch:
        patch.setattr(study_module, "_is_alive", lambda process: False)
        assert other.begin(1) is not None
    for end in (lambda: mine.add_fold(0.5), lambda: mine.end(PRUNED)):
        with pytest.raises(DataFault, match="Expected trial 0 to be this worker's, got one ended by another"):
            end()
    mine.end(FAILED)
    assert [trial.state for trial in mine.trials()] == [FAILED, "running"]


def test_a_worker_elsewhere_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("platform.node", lambda: "elsewhere")
        patch.setattr("os.getpid", lambda: 2**22 + 1)  # above what Linux gives
        assert study(tmp_path).begin(1) is not None
    (tmp_path / "trial-0").mkdir()
    assert study(tmp_path).begin(1) is None
    assert (tmp_path / "trial-0").is_dir()


def test_trials_are_read_without_a_write(tmp_path: Path) -> None:
    """Before the first worker, beside one that runs, and where one writes a line just now."""
    assert trials_in(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    mine = study(tmp_path)
    tried(mine, 9, 0.5)
    tried(mine, 9, state=FAILED)
    begun(mine, 9)
    journal = tmp_path / "journal.log"
    journal.write_bytes(journal.read_bytes() + b"{")
    before = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    trials = trials_in(tmp_path)
    assert trials == mine.trials()
    assert [trial.state for trial in counted(trials)] == [COMPLETE, "running"]
    assert {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == before


def test_is_poor_by_hand() -> None:
    assert is_poor(0.31, [0.1, 0.2, 0.3, 0.4, 0.5])
    assert not is_poor(0.3, [0.1, 0.2, 0.3, 0.4, 0.5])
    assert not is_poor(0.9, [0.1, 0.2, 0.3, 0.4])


def test_trials_are_judged_over_the_same_folds(tmp_path: Path) -> None:
    """Five trials that are bad in their first fold and good in the second; one that failed judges nobody."""
    mine = study(tmp_path)
    for _ in range(JUDGES):
        tried(mine, 9, 0.5, 0.1)
    tried(mine, 9, 0.0, 0.0, state=FAILED)
    assert mine.begin(9) is not None
    mine.add_fold(0.4)
    assert not mine.is_poor()  # 0.4 beside 0.5
    mine.add_fold(0.4)
    assert mine.is_poor()  # 0.4 beside 0.3
