"""Kills lose nothing, and the check of the files finds a loss that is there."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from signal import SIGKILL

import pytest

from galaxy_triton.evaluate.report import PAGE, PLOTS
from galaxy_triton.runs import checkpoint
from galaxy_triton.runs.folder import BEST, LAST, METRICS
from galaxy_triton.system.errors import DataFault
from tests.processes.kill_jobs import COMMANDS, Bad, Inputs, Job
from tests.processes.kills import kill, living_in, undisturbed

Spoil = Callable[[Path], object]


@pytest.mark.slow  # some ten minutes on two cores
def test_no_kill_loses_anything(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.processes.kills", "--out", str(tmp_path / "kills.csv")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.daily
def test_a_kill_of_simulate_loses_nothing(tmp_path: Path) -> None:
    """The one that is quick enough for every day."""
    job = COMMANDS["simulate"](Inputs(tmp_path, galaxies=16))
    whole = undisturbed(job, tmp_path / "whole")
    killed = kill("simulate", 1, job, whole.span / 2, whole, tmp_path / "killed")
    assert (killed.outcome, killed.phase) == ("good", "while writing")
    assert re.match(r"sky\.[0-9a-f]{8}\.partial \(", killed.found)


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


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def forget_best(manifest: Path) -> None:
    """As a run leaves it that saves `last` before `best`."""
    values = json.loads(manifest.read_text())
    values["progress"]["best_rmse"] = 9.0
    manifest.write_text(json.dumps(values))


def nudge_state(folder: Path) -> None:
    saved = checkpoint.load(folder)
    saved.state["optimiser"]["state"][0]["exp_avg"].add_(1e-6)
    checkpoint.save(folder, saved)


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        (PAGE, cut),
        (f"{PLOTS}/curves.png", Path.unlink),
        (f"{LAST}/{checkpoint.WEIGHTS}", cut),
        (f"{BEST}/{checkpoint.MANIFEST}", forget_best),
        (METRICS, Path.unlink),
    ],
)
def test_a_spoilt_run_is_seen(name: str, spoil: Spoil, train: Job, folders: tuple[Path, Path]) -> None:
    train.check_left(*folders)
    spoil(folders[0] / "run" / name)
    with pytest.raises((Bad, DataFault)):
        train.check_left(*folders)


def test_other_bits_are_seen_at_the_end(train: Job, folders: tuple[Path, Path]) -> None:
    train.check_end(*folders)
    nudge_state(folders[0] / "run" / LAST)
    train.check_left(*folders)
    with pytest.raises(Bad):
        train.check_end(*folders)


def test_a_file_that_is_not_whole_is_seen(tmp_path: Path) -> None:
    """`predict` stands for all that write one file or folder."""
    predict = COMMANDS["predict"](Inputs(tmp_path / "inputs"))
    killed, whole = tmp_path / "out", tmp_path / "true"
    for folder, text in ((killed, "GalaxyID,Cl"), (whole, "GalaxyID,Class1.1")):
        folder.mkdir()
        (folder / "out.csv").write_text(text)
    with pytest.raises(Bad, match="not as an undisturbed command writes it"):
        predict.check_left(killed, whole)
