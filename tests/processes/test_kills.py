"""Eighty kills lose nothing; and what looks for a loss finds one that is there."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from signal import SIGKILL

import pytest

from galaxy_triton.evaluate.report import PAGE, PLOTS
from galaxy_triton.runs import checkpoint
from galaxy_triton.runs.checkpoint import Checkpoint
from galaxy_triton.runs.folder import BEST, LAST, METRICS, SPLIT
from galaxy_triton.system.errors import DataFault
from tests.processes.kill_jobs import COMMANDS, Bad, Inputs, Job
from tests.processes.kills import Whole, kill, kills_of, living_in, moments, undisturbed

KILLS, SEED = 20, 1

MakeCommand = Callable[[str], tuple[Job, Whole]]
Spoil = Callable[[Path], object]


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> MakeCommand:
    """commands("pack"): the command, and what it writes when nobody kills it."""
    folder = tmp_path_factory.mktemp("kills")
    inputs, made = Inputs(folder / "inputs"), dict[str, tuple[Job, Whole]]()
    inputs.make()

    def make(name: str) -> tuple[Job, Whole]:
        if name not in made:
            job = COMMANDS[name](inputs)
            made[name] = job, undisturbed(job, folder / name)
        return made[name]

    return make


@pytest.mark.slow  # some ten minutes on two cores
@pytest.mark.parametrize("number", range(KILLS))
@pytest.mark.parametrize("command", COMMANDS)
def test_a_kill_loses_nothing(command: str, number: int, commands: MakeCommand, tmp_path: Path) -> None:
    job, whole = commands(command)
    moment = moments(command, KILLS, SEED, whole.span)[number]
    assert kill(command, number, job, moment, whole, tmp_path / "killed").outcome == "good"


@pytest.mark.daily
def test_a_kill_of_simulate_loses_nothing(tmp_path: Path) -> None:
    """The two that are quick enough for every day: an early one finds a part of the files."""
    early, late = kills_of("simulate", COMMANDS["simulate"](Inputs(tmp_path)), 2, SEED, tmp_path)
    assert (early.outcome, late.outcome) == ("good", "good")
    assert early.phase == "while writing"
    assert early.found.startswith("sky.partial (")


def test_moments_lie_one_in_each_part() -> None:
    drawn = moments("pack", 4, 7, 2.0)
    assert [int(moment / (1.05 * 2.0 / 4)) for moment in drawn] == [0, 1, 2, 3]
    assert drawn == moments("pack", 4, 7, 2.0)
    assert drawn != moments("pack", 4, 8, 2.0)


def test_a_process_that_outlives_its_parent_is_seen() -> None:
    parent = subprocess.Popen(["sh", "-c", "sleep 60 & wait"], start_new_session=True)
    while len(living_in(parent.pid)) < 2:
        time.sleep(0.01)
    parent.kill()
    parent.wait()
    (child,) = living_in(parent.pid)
    os.kill(child, SIGKILL)
    while living_in(parent.pid):
        time.sleep(0.01)


@pytest.fixture
def train(tmp_path: Path) -> Job:
    return COMMANDS["train"](Inputs(tmp_path / "inputs"))


@pytest.fixture
def folders(run: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Where a killed and an undisturbed command have trained the same run."""
    for name in ("killed", "whole"):
        shutil.copytree(run, tmp_path / name / "run")
    return tmp_path / "killed", tmp_path / "whole"


def test_a_whole_run_passes(train: Job, folders: tuple[Path, Path]) -> None:
    train.check_left(*folders)
    train.check_end(*folders)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def repeat_last_row(file: Path) -> None:
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([*lines, lines[-1]]))


def forget_best(manifest: Path) -> None:
    """As a run leaves it that saves `last` before `best`."""
    values = json.loads(manifest.read_text())
    values["progress"]["best_rmse"] = 9.0
    manifest.write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        (SPLIT, cut),
        (PAGE, cut),
        (f"{PLOTS}/curves.png", cut),
        (f"{PLOTS}/curves.png", Path.unlink),
        (f"{LAST}/{checkpoint.WEIGHTS}", cut),
        (f"{BEST}/{checkpoint.STATE}", cut),
        (f"{LAST}/{checkpoint.MANIFEST}", Path.unlink),
        (f"{BEST}/{checkpoint.MANIFEST}", forget_best),
        (METRICS, Path.unlink),
    ],
)
def test_a_spoilt_run_is_seen(name: str, spoil: Spoil, train: Job, folders: tuple[Path, Path]) -> None:
    spoil(folders[0] / "run" / name)
    with pytest.raises((Bad, DataFault)):
        train.check_left(*folders)


def test_a_row_too_many_is_seen_at_the_end(train: Job, folders: tuple[Path, Path]) -> None:
    """It may be there after a kill, but not once the run has gone on."""
    repeat_last_row(folders[0] / "run" / METRICS)
    train.check_left(*folders)
    with pytest.raises(DataFault, match="not the epochs from the first"):
        train.check_end(*folders)


def nudge_weight(saved: Checkpoint) -> None:
    next(weight for name, weight in saved.weights.items() if name.endswith("weight")).add_(1e-3)


def nudge_state(saved: Checkpoint) -> None:
    saved.state["optimiser"]["state"][0]["exp_avg"].add_(1e-6)


@pytest.mark.parametrize(("name", "nudge"), [(LAST, nudge_weight), (BEST, nudge_weight), (LAST, nudge_state)])
def test_other_bits_are_seen_at_the_end(
    name: str, nudge: Callable[[Checkpoint], None], train: Job, folders: tuple[Path, Path]
) -> None:
    saved = checkpoint.load(folders[0] / "run" / name)
    nudge(saved)
    checkpoint.save(folders[0] / "run" / name, saved)
    train.check_left(*folders)
    with pytest.raises(Bad):
        train.check_end(*folders)


def test_a_file_that_is_not_whole_is_seen(tmp_path: Path) -> None:
    """`predict` stands for all that write one file or folder."""
    predict = COMMANDS["predict"](Inputs(tmp_path / "inputs"))
    killed, whole = tmp_path / "out", tmp_path / "true"
    for folder, text in ((killed, "GalaxyID,Cl"), (whole, "GalaxyID,Class1.1")):
        folder.mkdir()
        (folder / "out.csv.partial").write_text(text)
    predict.check_left(killed, whole)
    for folder in (killed, whole):
        (folder / "out.csv.partial").rename(folder / "out.csv")
    with pytest.raises(Bad, match="not as an undisturbed command writes it"):
        predict.check_left(killed, whole)
