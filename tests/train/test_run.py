"""What a start of a run says before its first step, and what it refuses to begin."""

import errno
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from galaxy_triton.data.pack import pack
from galaxy_triton.evaluate import loaded_run
from galaxy_triton.evaluate.evaluate import EvaluateOptions, evaluate
from galaxy_triton.model import memory as memory
from galaxy_triton.runs.folder import read_config
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault, UsageFault
from galaxy_triton.train import run as run_module
from galaxy_triton.train.options import TrainOptions
from galaxy_triton.train.run import train

PIXELS = 48 * 24 * 24 * 4  # bytes of the sky's store


@pytest.fixture
def options(sky: Any, tiny: dict[str, Any], tmp_path: Path) -> TrainOptions:
    return TrainOptions(sky.store, settings={**tiny, "run.epochs": 1}, run=tmp_path / "run")


def said(display: Display) -> str:
    return str(display.console.file.getvalue())


@pytest.mark.parametrize(("free", "warned"), [(None, False), (2**40, False), (PIXELS + 1, True)])
def test_launch_announces_memory(
    free: int | None, warned: bool, options: TrainOptions, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a step needs is an estimate, so too little for it is a warning."""
    monkeypatch.setattr(memory, "free_memory", lambda device: free)
    train(options, display)
    known = "unknown" if free is None else f"{free / 2**20:,.0f} MiB"
    assert f"0 MiB for the pixels, about 0 MiB for a step; free: {known}" in said(display)
    assert ("Warning: this may not fit" in said(display)) == warned


def test_launch_refuses_pixels_that_do_not_fit(
    options: TrainOptions, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda device: PIXELS - 1)
    with pytest.raises(DataFault, match="Expected free memory on cpu for the pixels, got 0 MiB"):
        train(options, display)
    assert not options.run.exists()


def test_launch_names_the_run_by_recipe_and_time(
    sky: Any, tiny: dict[str, Any], tmp_path: Path, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    train(TrainOptions(sky.store, settings={**tiny, "run.epochs": 1}), display)
    (folder,) = (tmp_path / "runs").glob("seed-*")
    assert (folder / "last" / "checkpoint.json").is_file()


@pytest.mark.parametrize("torch_of_the_run", [None, "torch 1.0, 96 threads"])
def test_launch_warns_of_other_bits(
    torch_of_the_run: str | None, run: Path, sky: Any, tmp_path: Path, display: Display
) -> None:
    """A run that goes on with another torch or number of threads keeps no promise of the same bits."""
    shutil.copytree(run, tmp_path / "run")
    manifest = tmp_path / "run" / "last" / "checkpoint.json"
    values = json.loads(manifest.read_text())
    if torch_of_the_run:
        values["made_with"]["torch"] = torch_of_the_run
        manifest.write_text(json.dumps(values))
    train(TrainOptions(sky.store, run=tmp_path / "run", resume=True), display)
    assert ("Warning: begun with torch torch 1.0, 96 threads" in said(display)) == bool(torch_of_the_run)


def test_launch_warns_of_an_edited_configuration(run: Path, sky: Any, tmp_path: Path, display: Display) -> None:
    shutil.copytree(run, tmp_path / "run")
    config = tmp_path / "run" / "config.toml"
    config.write_text(config.read_text().replace("epochs = 2", "epochs = 3"))
    settings = {"run.augment": "torch"}  # which may change
    train(TrainOptions(sky.store, settings=settings, run=tmp_path / "run", resume=True), display)
    assert said(display).count("so far: its config.toml has been changed") == 1
    assert "Warning: run.epochs is 3, and was 2 so far: its config.toml has been changed" in " ".join(
        said(display).split()
    )


def test_launch_ends_with_the_score_and_the_report(options: TrainOptions, display: Display) -> None:
    """The figures that are said are those of `evaluate` on the same galaxies."""
    train(options, display)
    found = evaluate(options.run, None, EvaluateOptions(), Display(quiet=True)).findings.score
    low, high = found.interval
    score = f"RMSE         {found.rmse:.4f}  [{low:.4f}, {high:.4f}]  validation galaxies: 11, views: 16"
    assert score in said(display)
    assert "mean answer  0." in said(display)
    assert f"report       {options.run / 'report.html'}" in said(display)
    assert (options.run / "report.html").is_file()


def test_a_run_without_a_checkpoint_begins_again(options: TrainOptions, display: Display, run: Path) -> None:
    """Killed in its first epoch, a run has its configuration and split, and maybe a row of metrics.csv."""
    train(options, display)
    weights = (options.run / "last" / "weights.safetensors").read_bytes()
    shutil.rmtree(options.run / "last")
    train(TrainOptions(run=options.run, resume=True), display)
    assert "no checkpoint yet: it begins again" in said(display)
    assert (options.run / "last" / "weights.safetensors").read_bytes() == weights
    assert len((options.run / "metrics.csv").read_text().splitlines()) == 2


def test_no_run_goes_on_with_another_store(options: TrainOptions, sky: Any, tmp_path: Path, display: Display) -> None:
    """Not even one that has no checkpoint yet: its split and its truth are of the first."""
    train(options, display)
    shutil.rmtree(options.run / "last")
    pack(sky.images, sky.labels, tmp_path / "other", size=24, crop=30, workers=1)
    for dry_run in (False, True):
        with pytest.raises(DataFault, match="Expected the store of this run"):
            train(TrainOptions(tmp_path / "other", run=options.run, resume=True), display, dry_run=dry_run)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_run_is_trained_by_one_job_at_a_time(
    options: TrainOptions, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new run and a resumed one are held while they train and report; who comes second changes nothing."""
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


def test_a_run_where_there_are_no_locks(
    options: TrainOptions, display: Display, without_locks: Callable[[int], None]
) -> None:
    """It is trained all the same, with a word of warning."""
    without_locks(errno.ENOSYS)
    train(options, display)
    assert (options.run / "report.html").is_file()
    assert "without locks: nothing keeps a second job out of it" in " ".join(said(display).split())


def test_launch_finds_the_largest_batch(
    options: TrainOptions, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten steps an epoch of 33 galaxies are of two or four at most; what was found is the run's own from then on."""
    train(replace(options, auto_batch=True), display)
    assert "batch      2        the largest power of two that fits" in said(display)
    assert read_config(options.run).run.batch_size == 2
    with pytest.raises(UsageFault, match="Expected the batch size of the run that is resumed, got auto"):
        train(TrainOptions(run=options.run, resume=True, auto_batch=True), display)


def test_batch_size_auto_on_the_command_line(sky: Any, tmp_path: Path, tiny_options: Any, call: Any) -> None:
    options = [*tiny_options("run.batch_size"), "--run", tmp_path / "run", "--dry-run"]
    found = call("train", sky.store, *options, "--batch-size", "auto")
    assert found.exit_code == 0
    assert "Would train epochs 1 to 2, of the largest batches that fit" in found.output
    assert call("train", sky.store, *options, "--batch-size", "all").exit_code == 2


def test_launch_says_where_the_pixels_lie(options: TrainOptions, display: Display) -> None:
    train(options, display)
    assert "resident   host" in said(display)
    assert 'resident = "host"' in (options.run / "config.toml").read_text()
    settings = {**(options.settings or {}), "run.resident": "gpu"}
    with pytest.raises(UsageFault, match="Expected a GPU for the pixels, got the CPU"):
        train(replace(options, settings=settings, run=options.run.with_name("other")), display)


def test_describe_for_several_processes(
    options: TrainOptions, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they were started together, though none of the others is there."""
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    train(options, display, dry_run=True)
    assert "processes  2, each with its part of every batch" in said(display)
    settings = {**(options.settings or {}), "run.body": "graph"}
    with pytest.raises(UsageFault, match="Expected one process and whole batches"):
        train(replace(options, settings=settings), display, dry_run=True)


def test_describe_writes_nothing(options: TrainOptions, display: Display) -> None:
    train(options, display, dry_run=True)
    assert "33 to train on, 11 held out" in said(display)
    assert f"Would train epochs 1 to 1, 3 steps each; would draw the report in {options.run}" in said(display)
    assert not options.run.exists()


def test_describe_of_a_run_to_resume(run: Path, display: Display) -> None:
    before = {file: file.stat().st_mtime_ns for file in run.rglob("*")}
    train(TrainOptions(run=run, resume=True), display, dry_run=True)
    assert "Would train epochs 3 to 2" not in said(display)
    assert "Nothing is left to train" in said(display)
    assert {file: file.stat().st_mtime_ns for file in run.rglob("*")} == before


def test_memory_that_runs_out_is_explained(
    sky: Any, tmp_path: Path, tiny_options: Any, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the command line: exit code 1 and no traceback; any other RuntimeError is a bug and stays one."""
    on_cpu = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
    on_gpu = torch.OutOfMemoryError("CUDA out of memory")
    for error, explained in ((on_gpu, True), (on_cpu, True), (MemoryError(), True), (RuntimeError("a bug"), False)):
        monkeypatch.setattr(run_module, "Trainer", raiser(error))
        result = call("train", sky.store, *tiny_options(), "--run", tmp_path / "run")
        assert result.exit_code == 1
        assert (f"Expected more free memory, got {str(error) or 'none'}" in result.output) == explained
        assert isinstance(result.exception, SystemExit) == explained


def test_advice_names_options_of_the_command(run: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaded_run, "load", raiser(MemoryError()))
    said = " ".join(call("evaluate", run).output.split())
    assert said.endswith("(--device): lower --batch-size; what was saved is whole")


def raiser(error: Exception) -> Any:
    def fail(*arguments: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(("stretch", "told"), [(1.0, False), (1.5, True)])
def test_says_which_labels_are_stretched(
    stretch: float, told: bool, options: TrainOptions, sky: Any, tmp_path: Path, display: Display
) -> None:
    """Thirty galaxies share a label here, all of them trained on; the others' are their own."""
    rows = sky.labels.read_text().splitlines()
    _, shared = rows[1].split(",", 1)
    for place in range(1, 31):
        rows[place] = f"{rows[place].split(',', 1)[0]},{shared}"
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    pack(sky.images, tmp_path / "labels.csv", tmp_path / "store", size=24, workers=1)
    settings = {**options.settings, "labels.stretch": stretch, "run.validation": 0.0}
    train(replace(options, store=tmp_path / "store", settings=settings), display)
    assert ("labels     30 stretched by 1.5: more than 10 galaxies share each" in said(display)) == told
