"""The files of a run: written and read back, never a word of them lost."""

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import galaxy_triton
from galaxy_triton.config.recipes import SEED
from galaxy_triton.data.split import Split
from galaxy_triton.data.store import open_store
from galaxy_triton.model.backend import choose
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.runs.folder import EpochRow
from galaxy_triton.system.errors import DataFault

ROW = EpochRow(1, 0.03, 0.02, 0.02**0.5, 1e-3, 123.456, 0.25, 512.0, 7.5)
CPU = replace(SEED, run=replace(SEED.run, device="cpu"))


def started(folder: Path, store: Path, split: Split, truth: Path | None = None) -> None:
    opened = open_store(store)
    with run_folder.laid_out(folder, CPU, choose(CPU), opened, truth) as new:
        run_folder.write_split(new, opened, split)


@pytest.fixture
def folder(sky: Any, tmp_path: Path) -> Path:
    split = Split(np.array([0, 2, 4]), np.array([1, 43]))
    started(tmp_path / "deep" / "run", sky.store, split, tmp_path / "truth.csv")
    return tmp_path / "deep" / "run"


def test_start(folder: Path, sky: Any) -> None:
    assert {file.name for file in folder.iterdir()} == {"config.toml", "split.csv", "source.json", "log.txt"}
    rows = [f"{sky.ids[0]},train", f"{sky.ids[1]},validation", f"{sky.ids[2]},train", f"{sky.ids[4]},train"]
    rows.append(f"{sky.ids[43]},validation")
    assert (folder / "split.csv").read_text().splitlines() == ["GalaxyID,part", *rows]
    chosen = tomllib.loads((folder / "config.toml").read_text())["chosen"]
    want = {"device": "cpu", "precision": "fp32", "augment": "torch", "loss": "torch", "body": "eager", "norm": "torch"}
    assert chosen == want


def test_source(folder: Path, sky: Any, tmp_path: Path) -> None:
    """Where the galaxies came from, in absolute paths: a run is asked for its report from anywhere."""
    source = run_folder.read_source(folder)
    assert source == run_folder.Source(sky.store, open_store(sky.store).hash, tmp_path / "truth.csv")
    assert source.store.is_absolute()


@pytest.mark.parametrize(
    "content", [None, b"", b"[]", b"\xff", b'{"version": 2}', b'{"version": 1, "store": "s"}', b"[" * 9999]
)
def test_read_source_explains(content: bytes | None, folder: Path) -> None:
    (folder / "source.json").unlink()
    if content is not None:
        (folder / "source.json").write_bytes(content)
    with pytest.raises(DataFault, match=r"Expected the run's source\.json, got"):
        run_folder.read_source(folder)


def test_open_source(folder: Path, sky: Any, tmp_path: Path) -> None:
    assert run_folder.open_source(folder).hash == open_store(sky.store).hash
    gone = {"version": 1, "store": str(tmp_path / "gone"), "hash": "", "truth": None}
    (folder / "source.json").write_text(json.dumps(gone))
    message = f"Expected the store of the run, got none there .*train --run {folder} --resume"
    with pytest.raises(DataFault, match=message):
        run_folder.open_source(folder)


def test_start_is_whole_or_not_at_all(folder: Path, sky: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed, a start leaves a folder of another name, which the next start there removes; one that lost a race to
    another run leaves that alone."""
    split = Split(np.array([0]), np.array([1]))
    (folder.with_name("new.partial")).mkdir()
    (folder.with_name("new.partial") / "config.toml").write_text("half")
    folder.with_name("new").mkdir()
    started(folder.with_name("new"), sky.store, split)
    assert {file.name for file in folder.parent.iterdir()} == {"run", "new"}
    before = (folder / "split.csv").read_text()
    with pytest.raises(DataFault, match="Expected a new folder"):
        started(folder, sky.store, split)
    assert (folder / "split.csv").read_text() == before


def test_new_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = run_folder.new_folder("demo")
    first.mkdir(parents=True)
    second = run_folder.new_folder("demo")
    assert re.fullmatch(r"demo-\d{8}-\d{6}", first.name)
    assert second != first
    assert not second.exists()


def test_tidy(folder: Path) -> None:
    """What a killed process left: a checkpoint moved aside is put back, half-written ones are removed."""
    for name in ("last.replaced", "best", "best.replaced", "best.partial"):
        (folder / name).mkdir()
        (folder / name / "weights").write_text(name)
    (folder / "metrics.csv.partial").write_text("half")
    assert run_folder.has_checkpoint(folder)
    before = {"config.toml", "split.csv", "source.json", "log.txt"}
    run_folder.tidy(folder)
    assert {file.name for file in folder.iterdir()} == before | {"last", "best"}
    assert (folder / "last" / "weights").read_text() == "last.replaced"
    assert (folder / "best" / "weights").read_text() == "best"


def test_log(folder: Path, sky: Any) -> None:
    """Each start of a run adds what it ran on: versions, commit, threads, the store's hash, the choices."""
    for starts in (1, 2):
        text = (folder / "log.txt").read_text()
        for part in (
            f"galaxy-triton {galaxy_triton.__version__}, commit ",
            f"{torch.__version__}, {torch.get_num_threads()} threads",
            f"{sky.store} {open_store(sky.store).hash}",
            "fp32     the precision for cpu",
        ):
            assert text.count(part) == starts, part
        run_folder.log(folder, choose(CPU), open_store(sky.store))


def test_read_config(folder: Path) -> None:
    assert run_folder.read_config(folder) == CPU


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "Expected a run's config.toml, got none"),
        (b"\xff", "Expected a TOML file"),
        (b"version = 9", "Expected format version 1 to 2, got 9"),
        (b"[run]\nlaps = 2", "Expected a configuration field, got 'run.laps'"),
    ],
)
def test_read_config_explains(content: bytes | None, message: str, folder: Path) -> None:
    (folder / "config.toml").unlink()
    if content is not None:
        (folder / "config.toml").write_bytes(content)
    with pytest.raises(DataFault, match=re.escape(message)):
        run_folder.read_config(folder)


def test_read_split(folder: Path, sky: Any) -> None:
    parts = run_folder.read_split(folder)
    assert {name: ids.tolist() for name, ids in parts.items()} == {
        "train": sky.ids[[0, 2, 4]].tolist(),
        "validation": sky.ids[[1, 43]].tolist(),
    }
    assert all(ids.dtype == np.int64 for ids in parts.values())


def test_repeated_galaxies_of_an_older_run_are_trained_on(sky: Any, tmp_path: Path) -> None:
    """Release 0.1.0 could repeat some of the galaxies trained on."""
    started(tmp_path / "run", sky.store, Split(np.array([0, 2]), np.array([1])))
    table = tmp_path / "run" / "split.csv"
    table.write_text(table.read_text().replace(f"{sky.ids[2]},train", f"{sky.ids[2]},repeated"))
    assert sorted(run_folder.read_split(tmp_path / "run")["train"].tolist()) == sky.ids[[0, 2]].tolist()


@pytest.mark.parametrize(
    "content", [None, b"GalaxyID,kind\n1,train\n", b"GalaxyID,part\n1,test\n", b"GalaxyID,part\nx,train\n", b"\xff\n"]
)
def test_read_split_explains(content: bytes | None, folder: Path) -> None:
    (folder / "split.csv").unlink()
    if content is not None:
        (folder / "split.csv").write_bytes(content)
    with pytest.raises(DataFault, match=r"Expected the run's split\.csv, got"):
        run_folder.read_split(folder)


def test_add_and_cut_metrics(tmp_path: Path) -> None:
    with pytest.raises(DataFault, match=r"Expected the run's metrics\.csv, got No such file"):
        run_folder.cut_metrics(tmp_path, 3)
    for epoch in (1, 2, 3):
        run_folder.add_metrics(tmp_path, replace(ROW, epoch=epoch))
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert lines[0].split(",")[:5] == ["epoch", "train_loss", "validation_loss", "validation_rmse", "learning_rate"]
    assert lines[2] == "2,0.03,0.02,0.1414214,0.001,123.456,0.25,512,7.5"
    with pytest.raises(DataFault, match="Expected a header and 4 rows, an epoch each, got 4 whole lines"):
        run_folder.cut_metrics(tmp_path, 4)
    assert (tmp_path / "metrics.csv").read_text().splitlines() == lines
    with (tmp_path / "metrics.csv").open("a") as handle:
        handle.write("4,0.0")  # where the power failed
    with pytest.raises(DataFault, match="got 4 whole lines"):
        run_folder.cut_metrics(tmp_path, 4)
    run_folder.cut_metrics(tmp_path, 3)
    assert (tmp_path / "metrics.csv").read_text() == "\n".join(lines) + "\n"
    run_folder.cut_metrics(tmp_path, 1)
    assert (tmp_path / "metrics.csv").read_text().splitlines() == lines[:2]
    run_folder.cut_metrics(tmp_path, 0)  # of the header, too, only a part may have been written
    assert not (tmp_path / "metrics.csv").exists()
    run_folder.add_metrics(tmp_path, ROW)
    assert (tmp_path / "metrics.csv").read_text().splitlines() == lines[:2]
