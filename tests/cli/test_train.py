"""`train` on the command line: where its fields come from, the stop by Ctrl-C, and going on."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from galaxy_triton.runs.folder import EpochRow
from galaxy_triton.train import loop
from tests.cli.test_main import next_command

Succeed = Callable[..., str]
Options = Callable[..., list[str]]


def test_train_resumes_a_finished_run(sky: Any, run: Path, tmp_path: Path, succeed: Succeed) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    before = (folder / "last" / "weights.safetensors").read_bytes()
    succeed("train", sky.store, "--resume", "--run", folder)
    assert (folder / "last" / "weights.safetensors").read_bytes() == before
    assert (folder / "metrics.csv").read_text() == (run / "metrics.csv").read_text()
    assert len((folder / "log.txt").read_text()) > len((run / "log.txt").read_text())


def test_train_reads_fields_from_a_file(sky: Any, tmp_path: Path, succeed: Succeed, tiny_options: Options) -> None:
    """Options go before the file, the file before the recipe."""
    (tmp_path / "c.toml").write_text("[run]\nepochs = 1\nbatch_size = 40\n[optimiser]\nlr = 0.5\n")
    options = ("--config", tmp_path / "c.toml", "--lr", 0.25, "--run", tmp_path / "run")
    succeed("train", sky.store, *tiny_options("run.epochs", "run.batch_size"), *options)
    text = (tmp_path / "run" / "config.toml").read_text()
    assert "\nlr = 0.25\n" in text
    assert "\nbatch_size = 40\n" in text
    assert "\nhue = 0.05\n" in text  # the seed recipe's


def test_train_validates_on_a_list(sky: Any, tmp_path: Path, succeed: Succeed, tiny_options: Options) -> None:
    """Ids that are not labelled in the store are counted in a warning; further columns are ignored."""
    rows = "".join(f"{number},x,0.5\n" for number in [*sky.ids[40:], 17])
    table = tmp_path / "validation.csv"
    table.write_text(f"GalaxyID,what,ever\n{rows}")
    said = succeed("train", sky.store, *tiny_options("run.validation"), "--validation", table, "--run", tmp_path / "r")
    assert "40 to train on, 4 to validate on" in said
    assert "Warning: 5 ids of" in said
    parts = [line.split(",") for line in (tmp_path / "r" / "split.csv").read_text().splitlines()]
    assert parts[0] == ["GalaxyID", "part"]
    assert [int(number) for number, part in parts[1:] if part == "validation"] == sky.ids[40:44].tolist()


def test_train_stops_politely(
    sky: Any, tmp_path: Path, call: Callable[..., Result], succeed: Succeed, tiny_options: Options
) -> None:
    """Ctrl-C: the run is saved, the message says how to go on, and going on finishes it."""
    folder = tmp_path / "a run"

    def interrupt(row: EpochRow, epochs: int, left: float) -> str:
        os.kill(os.getpid(), signal.SIGINT)
        return ""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "epoch_line", interrupt)
        result = call("train", sky.store, *tiny_options("run.epochs"), "--epochs", 2, "--run", folder)
    assert result.exit_code == 130, result.output
    assert f"galaxy-triton train {sky.store} --run '{folder}' --resume" in " ".join(result.output.split())
    assert "Stopping: the step that is being made is finished and saved first" in result.output
    assert len((folder / "metrics.csv").read_text().splitlines()) == 2
    said = succeed("train", sky.store, "--run", folder, "--resume")
    assert "epoch   2/2" in said
    assert "11 galaxies, 37 columns" in succeed(*next_command(said))
    assert len((folder / "metrics.csv").read_text().splitlines()) == 3


SAVED = "The network is saved in {run}/last, its report is not drawn. Draw it with: galaxy-triton report"


def at_once(*arguments: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("place", "act", "said"),
    [
        ("report_of", at_once, SAVED),
        ("Trainer.fit", lambda *arguments: os.kill(os.getpid(), signal.SIGINT), SAVED),
        ("Trainer.fit", at_once, "The steps since the last checkpoint are lost. Go on with: galaxy-triton train"),
    ],
)
def test_an_end_at_once_says_what_is_saved(
    place: str, act: Callable[..., None], said: str, run: Path, tmp_path: Path, call: Any, monkeypatch: Any
) -> None:
    """Ctrl-C in the final report or the last step, and a second one in any; the command that is named then works."""
    folder = shutil.copytree(run, tmp_path / "my run")
    with monkeypatch.context() as patch:
        patch.setattr(f"galaxy_triton.train.run.{place}", act)
        result = call("train", "--run", folder, "--resume")
    assert result.exit_code == 130, result.output
    assert said.format(run=folder) in result.output
    assert call("report", folder, "--views", 1).exit_code == 0


def test_quiet_train_says_the_result_alone(sky: Any, tmp_path: Path, succeed: Succeed, tiny_options: Options) -> None:
    said = succeed("train", sky.store, *tiny_options(), "--run", tmp_path / "run", "--quiet")
    assert [line.split()[0] for line in said.splitlines()] == ["RMSE", "mean", "report", "network"]


def test_a_field_is_named_once(sky: Any, call: Callable[..., Result]) -> None:
    """Which of two values holds would be a guess."""
    result = call("train", sky.store, "--lr", 0.1, "--set", "optimiser.lr=0.2")
    assert result.exit_code == 2
    assert "Expected optimiser.lr once, got 0.1 and '0.2' (an option and --set): leave one out" in " ".join(
        result.output.split()
    )
