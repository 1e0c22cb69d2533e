"""`train` asked to stop by what ends a job: exit code 75, and going on gives the run that was never stopped."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from galaxy_triton.runs import checkpoint
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.system import whole_files as files
from galaxy_triton.system.signals import REQUEUE
from tests.support import processes
from tests.train.test_resume import check_same_checkpoints

EPOCHS = 5

Call = Callable[..., Result]
ReadMetrics = Callable[[Path], list[dict[str, str]]]


@pytest.fixture(scope="module")
def options(tiny_options: Callable[..., list[str]]) -> list[str]:
    """33 steps an epoch: a signal at any moment is one in mid-epoch, nearly always."""
    fields = tiny_options("run.epochs", "run.batch_size")
    return [*fields, "--set", "optimiser.average=0.9", "--epochs", str(EPOCHS), "--batch-size", "1"]


@pytest.fixture(scope="module")
def whole(sky: Any, options: list[str], call: Call, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was never stopped."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert call("train", sky.store, *options, "--run", folder).exit_code == 0
    return folder


@pytest.fixture
def finish(whole: Path, call: Call, read_metrics: ReadMetrics) -> Callable[[Path], None]:
    """Go on with a run that was stopped, and compare it with the one never stopped."""

    def run(folder: Path) -> None:
        assert checkpoint.load(folder / run_folder.LAST).progress.epoch < EPOCHS
        assert not [path for path in folder.iterdir() if path.suffix in (files.PARTIAL, files.REPLACED)]
        assert call("train", "--run", folder, "--resume").exit_code == 0
        assert read_metrics(folder) == read_metrics(whole)
        check_same_checkpoints(folder, whole)

    return run


def test_a_process_that_is_to_be_requeued(
    sky: Any, options: list[str], tmp_path: Path, finish: Callable[[Path], None]
) -> None:
    """By SIGTERM; test_slurm.py sends SIGUSR1."""
    folder = tmp_path / "run"
    process = processes.start(processes.application("train", sky.store, *options, "--run", folder), tmp_path)
    processes.wait_for(lambda: (folder / run_folder.METRICS).exists() or process.poll() is not None)
    process.send_signal(signal.SIGTERM)
    ended = processes.end(process)
    assert ended.code == REQUEUE, ended.said
    assert f"and saved. Go on with: galaxy-triton train {sky.store} --run {folder} --resume" in ended.said
    finish(folder)


def test_asked_again_and_again_while_saving(
    sky: Any,
    options: list[str],
    call: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    finish: Callable[[Path], None],
) -> None:
    """The signals are remembered until what is being written is whole."""
    sync, asked = files._sync, []

    def asking(file: Path) -> None:
        # Before the first step and after the last a signal does what it does in any program.
        if callable(signal.getsignal(signal.SIGTERM)):
            os.kill(os.getpid(), signal.SIGTERM)
            asked.append(file)
        sync(file)

    with monkeypatch.context() as patch:
        patch.setattr(files, "_sync", asking)
        result = call("train", sky.store, *options, "--run", tmp_path / "run")
    assert result.exit_code == REQUEUE, result.output
    assert {file.parent.name.partition(".")[0] for file in asked} == {run_folder.LAST, run_folder.BEST}
    assert len(asked) >= 6
    finish(tmp_path / "run")
