"""Checkpoints: `load` returns what `save` was given, the old one survives any failure, and reading one runs no code.

Damaged files that `predict` and `train` name are in tests/bad_input.
"""

import hashlib
import json
import os
import pickle
import resource
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from galaxy_triton.config.recipes import RECIPES
from galaxy_triton.config.schema import Optimiser
from galaxy_triton.runs.checkpoint import AVERAGE, MANIFEST, STATE, WEIGHTS, Checkpoint, Progress, load, save
from galaxy_triton.system.errors import DataFault

CONFIG = replace(RECIPES["best"], optimiser=Optimiser(lr=3e-4, average=0.99))


def tensors(seed: int) -> dict[str, torch.Tensor]:
    """Of several types and layouts, as a network on a channels_last path has them."""
    generator = torch.Generator().manual_seed(seed)
    kernel = torch.randn(4, 3, 3, 3, generator=generator).contiguous(memory_format=torch.channels_last)
    return {"kernel": kernel, "half": kernel.half(), "count": torch.tensor(seed), "nothing": torch.empty(0)}


def sample(seed: int = 1) -> Checkpoint:
    moments = {0: {"step": torch.tensor(float(seed)), "exp_avg": tensors(seed + 2)["kernel"]}}
    state = {"optimiser": {"state": moments, "param_groups": [{"lr": 0.1, "params": [0]}]}, "averaged": seed}
    progress = Progress(epoch=3, step=seed, loss_sum=1 / 3, best_rmse=0.1)
    return Checkpoint(CONFIG, "abc", progress, tensors(seed), tensors(seed + 1), state, {"torch": "2"})


def nests(checkpoint: Checkpoint) -> list[dict[str, torch.Tensor]]:
    return [checkpoint.weights, checkpoint.average or {}, checkpoint.state["optimiser"]["state"][0]]


def check_same(got: Checkpoint, want: Checkpoint) -> None:
    for name in ("config", "store_hash", "progress", "made_with"):
        assert getattr(got, name) == getattr(want, name)
    assert (got.average is None) == (want.average is None)
    for ours, theirs in zip(nests(got), nests(want), strict=True):
        assert ours.keys() == theirs.keys()
        for name, tensor in theirs.items():
            assert (ours[name].dtype, ours[name].shape) == (tensor.dtype, tensor.shape)
            assert torch.equal(ours[name], tensor)
    assert got.state["optimiser"]["param_groups"] == want.state["optimiser"]["param_groups"]
    assert got.state["averaged"] == want.state["averaged"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tmp_path / "last", sample())
    return tmp_path / "last"


def test_load(folder: Path) -> None:
    check_same(load(folder), sample())
    assert load(folder).prediction_weights.keys() == tensors(2).keys()
    assert torch.equal(load(folder).prediction_weights["kernel"], tensors(2)["kernel"])


def test_load_without_averages_or_a_best_score(tmp_path: Path) -> None:
    config = replace(CONFIG, optimiser=Optimiser())
    want = replace(sample(), config=config, average=None, progress=Progress())
    save(tmp_path / "last", want)
    assert not (tmp_path / "last" / AVERAGE).exists()
    check_same(load(tmp_path / "last"), want)
    assert torch.equal(load(tmp_path / "last").prediction_weights["kernel"], tensors(1)["kernel"])


@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS, STATE])
def test_save_keeps_the_old_one_when_the_disk_is_full(name: str, folder: Path) -> None:
    """A byte is missing for this file, or for a larger one before it."""
    room = (folder / name).stat().st_size - 1
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, old[1]))
    try:
        with pytest.raises(DataFault, match="Expected to write it whole, got File too large"):
            save(folder, sample(5))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    check_same(load(folder), sample())
    assert [file.name for file in folder.parent.iterdir()] == ["last"]


def test_save_keeps_the_old_one_until_the_new_one_stands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted between the two renames; the next save succeeds, also beside a half-written folder."""
    rename = os.replace

    def until_the_second(source: Path, target: Path) -> None:
        if source.name.endswith(".partial"):
            raise KeyboardInterrupt
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", until_the_second)
        with pytest.raises(KeyboardInterrupt):
            save(folder, sample(5))
    check_same(load(folder), sample())
    folder.with_name("last.0123abcd.partial").mkdir()
    (folder.with_name("last.0123abcd.partial") / MANIFEST).write_text("{")
    save(folder, sample(5))
    check_same(load(folder), sample(5))
    assert [file.name for file in folder.parent.iterdir()] == ["last"]


@pytest.mark.parametrize("kept", [None, 99])
def test_load_refuses_a_cut_or_missing_average(kept: int | None, folder: Path) -> None:
    content = (folder / AVERAGE).read_bytes()
    (folder / AVERAGE).unlink()
    if kept is not None:
        (folder / AVERAGE).write_bytes(content[:kept])
    with pytest.raises(DataFault, match=f"Expected a whole checkpoint, got .*{AVERAGE}"):
        load(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"config": {"run": {"wings": 2}}}, "run.wings"),
        ({"progress": {"laps": 3}}, "laps"),
        ({"progress": 3}, "whole checkpoint"),
        ({"progress": {"epoch": -1}}, r"epoch and step \(-1, 0\)"),
        ({"progress": {"step": 1.5}}, r"epoch and step \(0, 1.5\)"),
        ({"progress": {"epoch": 2**63}}, "epoch and step"),
        ({"progress": {"loss_sum": "a"}}, "sum of losses"),
        ({"hashes": {}}, "other bytes"),
        ("[]", "whole checkpoint"),
        ("{}", "whole checkpoint"),
    ],
    ids=str,
)
def test_load_refuses_another_manifest(change: dict[str, Any] | str, words: str, folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    text = change if isinstance(change, str) else json.dumps({**manifest, **change})
    (folder / MANIFEST).write_text(text)
    with pytest.raises(DataFault, match=words):
        load(folder)


class Attack:
    """Unpickled, it would create a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.trace,)


def write_pickle(state: object, file: Path) -> None:
    file.write_bytes(pickle.dumps(state, protocol=2))


def rehash(file: Path) -> None:
    """Make the checkpoint's manifest go with a changed file, as a stranger can."""
    manifest = json.loads(file.with_name(MANIFEST).read_text())
    manifest["hashes"][file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
    file.with_name(MANIFEST).write_text(json.dumps(manifest))


def test_load_unpacks_nothing_larger_than_its_file(folder: Path) -> None:
    """Torch would read a compressed archive: some kilobytes of a stranger's could fill the memory."""
    with zipfile.ZipFile(folder / STATE) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(folder / STATE, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
        archive.writestr("archive/zeros", bytes(10**6))
    rehash(folder / STATE)
    with pytest.raises(DataFault, match=f"got a state that is larger than its file .*{STATE}"):
        load(folder)


@pytest.mark.parametrize(
    ("write", "said"), [(torch.save, "Weights only load failed"), (write_pickle, "File is not a zip file")]
)
def test_load_runs_no_code(write: Callable[[object, Path], None], said: str, folder: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    write({"optimiser": Attack(trace)}, folder / STATE)
    rehash(folder / STATE)
    with pytest.raises(DataFault, match=f"Expected a whole checkpoint, got .*{said}.*{STATE}"):
        load(folder)
    assert not trace.exists()
    # It is an attack: whoever unpickles it runs it.
    pickle.loads(pickle.dumps(Attack(trace)))
    assert trace.exists()
