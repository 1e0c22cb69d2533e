"""The start of a run: what it prints, what it refuses, and what it continues."""

import errno
import io
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console

from galaxy_triton.config.recipes import RECIPES
from galaxy_triton.data.pack import pack
from galaxy_triton.evaluate import loaded_run
from galaxy_triton.evaluate.evaluate import EvaluateOptions, evaluate
from galaxy_triton.model import memory as memory
from galaxy_triton.runs.folder import read_config
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault, UsageFault
from galaxy_triton.train import forecast
from galaxy_triton.train import run as run_module
from galaxy_triton.train.forecast import Forecast, smaller
from galaxy_triton.train.options import TrainOptions, config_of
from galaxy_triton.train.run import train

PIXELS = 48 * 24 * 24 * 4  # bytes of the sky's store


@pytest.fixture
def options(sky: Any, tiny: dict[str, Any], tmp_path: Path) -> TrainOptions:
    return TrainOptions(sky.store, settings={**tiny, "run.epochs": 1}, run=tmp_path / "run")


@pytest.fixture(scope="module")
def trained(sky: Any, tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a run of one epoch, and what `train` printed."""
    folder, display = tmp_path_factory.mktemp("trained") / "run", Display(Console(file=io.StringIO(), width=200))
    train(TrainOptions(sky.store, settings={**tiny, "run.epochs": 1}, run=folder), display)
    return folder, said(display)


@pytest.fixture
def copied(trained: tuple[Path, str], tmp_path: Path) -> TrainOptions:
    """Options that resume a copy of `trained`."""
    shutil.copytree(trained[0], tmp_path / "run")
    return TrainOptions(run=tmp_path / "run", resume=True)


def said(display: Display) -> str:
    return str(display.console.file.getvalue())  # type: ignore[attr-defined]


@pytest.mark.parametrize(("free", "warned"), [(None, False), (2**40, False), (PIXELS + 1, True)])
def test_memory_is_announced(
    free: int | None, warned: bool, options: TrainOptions, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memory of a step is an estimate, so too little for it is a warning; too little for the pixels is a fault."""
    monkeypatch.setattr(memory, "free_memory", lambda device: free)
    train(options, display, dry_run=True)
    known = "unknown" if free is None else f"{free / 2**20:,.0f} MiB"
    assert f"0 MiB for the pixels, about 0 MiB for a step; free: {known}" in said(display)
    assert ("Warning: this may not fit" in said(display)) == warned
    monkeypatch.setattr(memory, "free_memory", lambda device: PIXELS - 1)
    with pytest.raises(DataFault, match="Expected free memory on cpu for the pixels, got 0 MiB"):
        train(options, display)
    assert not options.run.exists()


def test_time_and_a_poor_end_are_told(options: TrainOptions, display: Display, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the first steps and after an epoch; a learning rate of 10 ends far from the mean answer."""
    for name in ("ENOUGH", "LONG"):
        monkeypatch.setattr(forecast, name, 0)
    train(replace(options, settings={**options.settings, "run.epochs": 2, "optimiser.lr": 10}), display)
    assert said(display).count("by the first steps. Less time: fewer --epochs, or a smaller --width") == 1
    assert re.search(r"^epoch   1/2 .* images/s  \d+\.\d s, \d+ s left$", said(display), re.MULTILINE)
    assert re.search(r"^epoch   2/2 .* images/s  \d+\.\d s$", said(display), re.MULTILINE)
    assert re.search(r"Warning: RMSE 0\.\d+ is worse than that of the mean answer, 0\.\d+: train", said(display))


@pytest.mark.parametrize(
    ("runs", "told"),
    [
        (1, "time       about 16 min 30 s to go, by the first steps\n"),
        (5, "Warning: about 1 h 23 min to go, by the first steps of 5 runs. Less time: fewer\n"),
    ],
)
def test_the_first_steps_tell_the_time(runs: int, told: str, display: Display, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second each of 1,001, after a first one that compiles; hours are warned of."""
    moments = iter([100.0, 102.0, 110.0, 120.0])
    monkeypatch.setattr(forecast, "time", SimpleNamespace(perf_counter=lambda: next(moments)))
    looking = Forecast(1001, runs, "fewer", display)
    for made in (1, 3, 11, 21):
        looking.look(made)
    assert said(display) == told


def test_a_smaller_recipe_is_named() -> None:
    assert smaller(RECIPES["seed"]) == "--recipe best on a store of `pack --crop 192 --size 80`"
    assert "--recipe demo" in smaller(RECIPES["best"])
    assert "--width" in smaller(RECIPES["demo"])


def test_a_run_is_named_by_recipe_and_time(options: TrainOptions, display: Display) -> None:
    train(replace(options, run=None), display, dry_run=True)
    assert "would draw the report in runs/seed-" in said(display)


def test_the_result_is_that_of_evaluate(trained: tuple[Path, str]) -> None:
    folder, printed = trained
    found = evaluate(folder, None, EvaluateOptions(), Display(quiet=True)).findings.score
    low, high = found.interval
    assert f"{found.rmse:.4f}  [{low:.4f}, {high:.4f}]  validation galaxies: 11, views: 16" in printed
    assert "mean answer  0." in printed
    assert f"report       {folder / 'report.html'}" in printed
    assert (folder / "report.html").is_file()
    assert "labels " not in printed  # no stretched ones


def test_pixels_lie_on_the_host(trained: tuple[Path, str], options: TrainOptions, display: Display) -> None:
    assert "resident   host" in trained[1]
    assert 'resident = "host"' in (trained[0] / "config.toml").read_text()
    with pytest.raises(UsageFault, match="Expected a GPU for the pixels, got the CPU"):
        train(replace(options, settings={**options.settings, "run.resident": "gpu"}), display, dry_run=True)


def test_changes_since_the_checkpoint_are_warned_of(copied: TrainOptions, display: Display) -> None:
    """An edited configuration; another torch or number of threads, which may change bits."""
    again = Display(Console(file=io.StringIO(), width=200))
    train(copied, again)
    assert "Warning" not in said(again)
    config, manifest = copied.run / "config.toml", copied.run / "last" / "checkpoint.json"
    config.write_text(config.read_text().replace("clip = 0.0", "clip = 1.0"))
    values = json.loads(manifest.read_text())
    values["made_with"]["torch"] = "torch 1.0, 96 threads"
    manifest.write_text(json.dumps(values))
    train(replace(copied, settings={"run.augment": "torch"}), display)  # which may change
    assert "Warning: optimiser.clip is 1.0, and was 0.0 so far: its config.toml has been changed" in said(display)
    assert "Warning: begun with torch torch 1.0, 96 threads" in said(display)
    assert said(display).count("Warning") == 2


def test_a_run_without_a_checkpoint_begins_again(copied: TrainOptions, display: Display) -> None:
    """Killed in its first epoch, a run has its configuration and split, and maybe a row of metrics.csv."""
    weights = (copied.run / "last" / "weights.safetensors").read_bytes()
    shutil.rmtree(copied.run / "last")
    train(copied, display)
    assert "no checkpoint yet: it begins again" in said(display)
    assert (copied.run / "last" / "weights.safetensors").read_bytes() == weights
    assert len((copied.run / "metrics.csv").read_text().splitlines()) == 2


def test_a_run_keeps_its_store(copied: TrainOptions, sky: Any, tmp_path: Path, display: Display) -> None:
    """Also without a checkpoint: its split and its truth are of the first store."""
    shutil.rmtree(copied.run / "last")
    pack(sky.images, sky.labels, tmp_path / "other", size=24, crop=30, workers=1)
    for dry_run in (False, True):
        with pytest.raises(DataFault, match="Expected the store of this run"):
            train(replace(copied, store=tmp_path / "other"), display, dry_run=dry_run)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_run_is_trained_by_one_job_at_a_time(
    options: TrainOptions, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new run and a resumed one are locked while they train and report; a second job changes nothing."""
    resume = TrainOptions(run=options.run, resume=True)
    refused = list[str]()

    def meanwhile(act: Callable[..., Any], *arguments: Any) -> Any:
        before = contents(options.run)
        with pytest.raises(DataFault) as fault:
            train(resume, display)
        refused.append(str(fault.value))
        assert contents(options.run) == before
        return act(*arguments)

    monkeypatch.setattr(run_module, "WAIT", 0)
    for name in ("fit", "report"):
        monkeypatch.setattr(run_module, name, partial(meanwhile, getattr(run_module, name)))
    train(options, display)
    train(resume, display)
    got = "Expected a free run, got one that another process has held for 0 s"
    assert refused == [f"{got} ({options.run / 'lock'}): remove that file if nothing runs"] * 4


def test_a_run_on_a_file_system_without_locks(
    copied: TrainOptions, display: Display, without_locks: Callable[[int], None]
) -> None:
    without_locks(errno.ENOSYS)
    train(copied, display)
    assert "report       " in said(display)
    assert "has no locks: nothing keeps a second job out of it" in said(display)


def test_the_largest_batch_is_that_of_the_run(options: TrainOptions, display: Display) -> None:
    """Ten steps an epoch of 33 galaxies are of two or four at most."""
    train(replace(options, auto_batch=True), display)
    assert "batch      2        the largest power of two that fits" in said(display)
    assert read_config(options.run).run.batch_size == 2


@pytest.mark.parametrize(
    "fixed",
    [
        {"auto_batch": True},
        {"recipe": "best"},
        {"folds": 2},
        {"validation_ids": Path("ids.csv")},
        {"settings": {"optimiser.lr": 1}},
    ],
    ids=str,
)
def test_a_resumed_run_keeps_its_configuration(fixed: dict[str, Any], trained: tuple[Path, str]) -> None:
    with pytest.raises(UsageFault, match="Expected the configuration of the run that is resumed, got"):
        config_of(replace(TrainOptions(run=trained[0], resume=True), **fixed))


def test_batch_size_auto_on_the_command_line(sky: Any, tmp_path: Path, tiny_options: Any, call: Any) -> None:
    options = [*tiny_options("run.batch_size"), "--run", tmp_path / "run", "--dry-run"]
    found = call("train", sky.store, *options, "--batch-size", "auto")
    assert found.exit_code == 0
    assert "Would train epochs 1 to 2, of the largest batches that fit" in found.output
    assert call("train", sky.store, *options, "--batch-size", "all").exit_code == 2


def test_a_dry_run_of_several_processes(
    options: TrainOptions, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they were started together, though none of the others is there."""
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    train(options, display, dry_run=True)
    assert "processes  2, each with its part of every batch" in said(display)
    with pytest.raises(UsageFault, match="Expected one process and whole batches"):
        train(replace(options, settings={**options.settings, "run.body": "graph"}), display, dry_run=True)


def test_a_dry_run_writes_nothing(options: TrainOptions, trained: tuple[Path, str], display: Display) -> None:
    train(options, display, dry_run=True)
    assert "33 to train on, 11 to validate on" in said(display)
    assert f"Would train epochs 1 to 1, 3 steps each; would draw the report in {options.run}" in said(display)
    assert not options.run.exists()
    before = {file: file.stat().st_mtime_ns for file in trained[0].rglob("*")}
    train(TrainOptions(run=trained[0], resume=True), display, dry_run=True)
    assert "Nothing is left to train" in said(display)
    assert {file: file.stat().st_mtime_ns for file in trained[0].rglob("*")} == before


def test_memory_that_runs_out_is_explained(
    sky: Any, run: Path, tmp_path: Path, tiny_options: Any, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the command line: exit code 1 and no traceback; any other RuntimeError is a bug and stays one."""
    on_cpu = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
    on_gpu = torch.OutOfMemoryError("CUDA out of memory")
    for error, explained in ((on_gpu, True), (on_cpu, True), (RuntimeError("a bug"), False)):
        monkeypatch.setattr(run_module, "Trainer", raiser(error))
        result = call("train", sky.store, *tiny_options(), "--run", tmp_path / "run")
        assert result.exit_code == 1
        assert (f"Expected more free memory, got {error}" in result.output) == explained
        assert isinstance(result.exception, SystemExit) == explained
        resumed = call("train", "--run", run, "--resume").output  # whose batches and network are fixed
        assert ("lower --batch-size" in result.output, "lower --batch-size" in resumed) == (explained, False)
        assert ("use --resident host" in resumed) == explained
    monkeypatch.setattr(loaded_run, "load", raiser(MemoryError()))
    advice = "(--device): lower --batch-size; what was saved is whole"  # an option that the command has
    assert " ".join(call("evaluate", run).output.split()).endswith(advice)


def raiser(error: Exception) -> Any:
    def fail(*arguments: object) -> None:
        raise error

    return fail


def test_stretched_labels_are_counted(options: TrainOptions, sky: Any, tmp_path: Path, display: Display) -> None:
    """Thirty galaxies share a label, all of them trained on; each of the others has its own."""
    rows = sky.labels.read_text().splitlines()
    _, shared = rows[1].split(",", 1)
    for place in range(1, 31):
        rows[place] = f"{rows[place].split(',', 1)[0]},{shared}"
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    pack(sky.images, tmp_path / "labels.csv", tmp_path / "store", size=24, workers=1)
    settings = {**options.settings, "labels.stretch": 1.5, "run.validation": 0.0}
    train(replace(options, store=tmp_path / "store", settings=settings), display)
    assert "labels     30 stretched by 1.5: more than 10 galaxies share each" in said(display)
