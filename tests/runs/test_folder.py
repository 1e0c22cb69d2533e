"""The files of a run: written, read back, and explained when damaged."""

import json
import re
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
FILES = {"config.toml", "split.csv", "source.json", "log.txt", "started.json"}
# log.txt as release 0.1.0 wrote it, without started.json beside it.
LOG_OF_0_1_0 = """\
release    galaxy-triton 0.1.0, commit b11abaf
python     3.11.7 on Linux
torch      2.14.1+cu130, 2 threads
store      s.store 3d95f991
device     cpu      found by itself; absent: cuda, mps
precision  fp32     the precision for cpu

"""


def create(folder: Path, store: Path, split: Split, truth: Path | None = None) -> None:
    opened = open_store(store)
    with run_folder.create_run(folder, CPU, choose(CPU), opened, truth) as new:
        run_folder.write_split(new, opened, split)


@pytest.fixture
def folder(sky: Any, tmp_path: Path) -> Path:
    split = Split(np.array([0, 2, 4]), np.array([1, 43]))
    create(tmp_path / "deep" / "run", sky.store, split, tmp_path / "truth.csv")
    return tmp_path / "deep" / "run"


def test_create_run(folder: Path, sky: Any) -> None:
    assert {file.name for file in folder.iterdir()} == FILES
    rows = [f"{sky.ids[0]},train", f"{sky.ids[1]},validation", f"{sky.ids[2]},train", f"{sky.ids[4]},train"]
    rows.append(f"{sky.ids[43]},validation")
    assert (folder / "split.csv").read_text().splitlines() == ["GalaxyID,part", *rows]
    chosen = tomllib.loads((folder / "config.toml").read_text())["chosen"]
    want = {"device": "cpu", "precision": "fp32", "augment": "torch", "loss": "torch", "body": "eager", "norm": "torch"}
    assert chosen == want
    assert run_folder.read_config(folder) == CPU


def test_create_run_is_whole_or_nothing(folder: Path, sky: Any) -> None:
    """The leftover of a killed process is removed; a run that another process has created meanwhile is left alone."""
    split = Split(np.array([0]), np.array([1]))
    (folder.with_name("new.0123abcd.partial")).mkdir()
    (folder.with_name("new.0123abcd.partial") / "config.toml").write_text("half")
    folder.with_name("new").mkdir()
    create(folder.with_name("new"), sky.store, split)
    assert {file.name for file in folder.parent.iterdir()} == {"run", "new"}
    before = (folder / "split.csv").read_text()
    with pytest.raises(DataFault, match="Expected a new name, got one with files"):
        create(folder, sky.store, split)
    assert (folder / "split.csv").read_text() == before


def test_reserve_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several at the same moment each gets its own; what is released unused is gone."""
    monkeypatch.chdir(tmp_path)
    assert re.fullmatch(r"demo-\d{8}-\d{6}", run_folder.new_folder("demo").name)
    assert not (tmp_path / "runs").exists()
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(run_folder.reserve_folder, ["demo"] * 40))
    assert sorted(folders) == sorted(Path("runs").iterdir())
    assert all(re.fullmatch(r"demo-\d{8}-\d{6}(-\d+)?", folder.name) for folder in folders)
    (folders[0] / "config.toml").touch()
    for folder in folders:
        run_folder.release_folder(folder)
    assert list(Path("runs").iterdir()) == [folders[0]]


def test_repair(folder: Path) -> None:
    """After a kill a checkpoint that was moved aside is put back, and half-written ones are removed."""
    for name in ("last.replaced", "best", "best.replaced", "best.0123abcd.partial"):
        (folder / name).mkdir()
        (folder / name / "weights").write_text(name)
    (folder / "metrics.csv.0123abcd.partial").write_text("half")
    assert run_folder.has_checkpoint(folder)
    run_folder.repair(folder)
    assert {file.name for file in folder.iterdir()} == FILES | {"last", "best"}
    assert (folder / "last" / "weights").read_text() == "last.replaced"
    assert (folder / "best" / "weights").read_text() == "best"


def test_starts(folder: Path, sky: Any) -> None:
    """Each start adds versions, the store and the choices to log.txt and started.json."""
    for starts in (1, 2):
        start = run_folder.last_start(folder)
        assert start["release"].startswith(f"galaxy-triton {galaxy_triton.__version__}, commit ")
        assert start["torch"] == f"{torch.__version__}, {torch.get_num_threads()} threads"
        assert start["store"] == f"{sky.store} {open_store(sky.store).hash}"
        assert [start[name].split()[0] for name in ("device", "precision", "norm")] == ["cpu", "fp32", "torch"]
        assert len(json.loads((folder / "started.json").read_text())["starts"]) == starts
        log = (folder / "log.txt").read_text()
        assert all(log.count(f"{name:<10} {text}\n") == starts for name, text in start.items())
        run_folder.record_start(folder, choose(CPU), open_store(sky.store))


def test_starts_of_an_older_run(folder: Path, sky: Any) -> None:
    (folder / "started.json").unlink()
    (folder / "log.txt").write_text(LOG_OF_0_1_0 + LOG_OF_0_1_0.replace("fp32", "bf16"))
    start = run_folder.last_start(folder)
    assert start["release"] == "galaxy-triton 0.1.0, commit b11abaf"
    assert start["precision"].split()[0] == "bf16"
    run_folder.record_start(folder, choose(CPU), open_store(sky.store))
    assert run_folder.last_start(folder)["precision"].split()[0] == "fp32"
    assert (folder / "log.txt").read_text().startswith(LOG_OF_0_1_0)


def test_source(folder: Path, sky: Any, tmp_path: Path) -> None:
    """Paths are absolute: the report of a run may be asked for from anywhere."""
    source = run_folder.read_source(folder)
    assert source == run_folder.Source(sky.store, open_store(sky.store).hash, tmp_path / "truth.csv")
    assert source.store.is_absolute()
    assert run_folder.open_source(folder).hash == source.hash
    gone = {"version": 1, "store": str(tmp_path / "gone"), "hash": "", "truth": None}
    (folder / "source.json").write_text(json.dumps(gone))
    with pytest.raises(DataFault, match=f"{tmp_path / 'gone'}.*train --run {folder} --resume"):
        run_folder.open_source(folder)


def test_split_and_seen(folder: Path, sky: Any) -> None:
    split = run_folder.read_split(folder)
    assert split.train.tolist() == sky.ids[[0, 2, 4]].tolist()
    assert split.validation.tolist() == sky.ids[[1, 43]].tolist()
    assert split.train.dtype == split.validation.dtype == np.int64
    assert run_folder.read_seen(folder) == {}
    run_folder.write_seen(folder, list(map(str, sky.ids[[4, 9]])))
    assert list(run_folder.read_seen(folder)) == sky.ids[[4, 9]].tolist()
    assert list(run_folder.read_trained(folder)) == sorted(sky.ids[[0, 2, 4, 9]].tolist())
    named = replace(open_store(sky.store), names=np.array([f"00{number}" for number in sky.ids]))
    run_folder.write_split(folder, named, Split(np.array([0, 2]), np.array([1])))
    assert (folder / "split.csv").read_text().splitlines()[1] == f"00{sky.ids[0]},train"
    assert run_folder.read_trained(folder)[int(sky.ids[2])] == f"00{sky.ids[2]}"


def test_repeated_galaxies_of_an_older_run_are_trained_on(folder: Path, sky: Any) -> None:
    table = folder / "split.csv"
    table.write_text(table.read_text().replace(f"{sky.ids[2]},train", f"{sky.ids[2]},repeated"))
    assert run_folder.read_split(folder).train.tolist() == sky.ids[[0, 2, 4]].tolist()


DAMAGED: list[tuple[str, Callable[[Path], object], list[bytes | None]]] = [
    ("config.toml", run_folder.read_config, [None, b"\xff", b"[run]\nlaps = 2"]),
    ("split.csv", run_folder.read_split, [None, b"\xff\n", b"GalaxyID,part\n1,test\n", b"GalaxyID,part\n7\n"]),
    ("source.json", run_folder.read_source, [None, b"", b"[]", b'{"version": 2}', b'{"version": 1, "store": "s"}']),
    (
        "started.json",
        run_folder.last_start,
        [
            b"",
            b'{"version": 2}',
            b'{"version": 1, "starts": []}',
            b'{"version": 1, "starts": [{"made_with": {"release": 3}, "store": "", "hash": "", "backend": {}}]}',
        ],
    ),
    ("metrics.csv", lambda folder: run_folder.cut_metrics(folder, 3), [None]),
]


@pytest.mark.parametrize(
    ("name", "read", "content"), [(name, read, content) for name, read, contents in DAMAGED for content in contents]
)
def test_a_damaged_file_is_named(
    name: str, read: Callable[[Path], object], content: bytes | None, folder: Path
) -> None:
    (folder / name).unlink(missing_ok=True)
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(DataFault, match=re.escape(name)):
        read(folder)


def test_a_log_without_versions_is_named(folder: Path) -> None:
    (folder / "started.json").unlink()
    (folder / "log.txt").write_text("release    none\n")
    with pytest.raises(DataFault, match=r"log\.txt.*without device, precision, torch"):
        run_folder.last_start(folder)


def test_add_and_cut_metrics(tmp_path: Path) -> None:
    for epoch in (1, 2, 3):
        run_folder.add_metrics(tmp_path, replace(ROW, epoch=epoch))
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert lines[0].split(",")[:5] == ["epoch", "train_loss", "validation_loss", "validation_rmse", "learning_rate"]
    assert lines[2] == "2,0.03,0.02,0.1414214,0.001,123.456,0.25,512,7.5"
    with (tmp_path / "metrics.csv").open("a") as handle:
        handle.write("4,0.0")  # where the power failed
    with pytest.raises(DataFault, match="4 rows"):
        run_folder.cut_metrics(tmp_path, 4)
    run_folder.cut_metrics(tmp_path, 3)
    assert (tmp_path / "metrics.csv").read_text() == "\n".join(lines) + "\n"
    run_folder.cut_metrics(tmp_path, 1)
    assert (tmp_path / "metrics.csv").read_text().splitlines() == lines[:2]
    run_folder.cut_metrics(tmp_path, 0)
    assert not (tmp_path / "metrics.csv").exists()
    run_folder.add_metrics(tmp_path, ROW)
    assert (tmp_path / "metrics.csv").read_text().splitlines() == lines[:2]
