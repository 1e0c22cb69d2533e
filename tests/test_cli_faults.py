"""Each way to use the command line wrongly: exit code 2 for the use, 1 for the data, a message and no traceback."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from click.testing import Result

Call = Callable[..., Result]


class World(NamedTuple):
    """What the arguments of a command are made of; `new` is an empty folder."""

    images: Path
    archive: Path
    labels: Path
    store: Path
    run: Path
    new: Path
    tiny: list[str]  # options of `train` that make it small
    succeed: Callable[..., str]


Case = tuple[Callable[[World], tuple[object, ...]], str]  # the arguments, and a part of the message


@pytest.fixture
def world(sky: Any, run: Path, tiny_options: Callable[..., list[str]], succeed: Any, tmp_path: Path) -> World:
    return World(sky.images, sky.archive, sky.labels, sky.store, run, tmp_path, tiny_options(), succeed)


def spoilt(file: Path, content: bytes) -> Path:
    file.write_bytes(content)
    return file


def store_of_size(world: World, size: int, labels: bool = True) -> Path:
    table = ("--labels", world.labels) if labels else ()
    world.succeed("pack", world.images, *table, "--out", world.new / "other", "--size", size)
    return world.new / "other"


def damaged_store(world: World) -> Path:
    shutil.copytree(world.store, world.new / "store")
    content = bytearray((world.store / "pixels.npy").read_bytes())
    content[-7] ^= 1
    return spoilt(world.new / "store" / "pixels.npy", bytes(content)).parent


def damaged_run(world: World, file: str, content: bytes) -> Path:
    shutil.copytree(world.run, world.new / "run")
    spoilt(world.new / "run" / file, content)
    return world.new / "run"


def images_with_a_bad_one(world: World) -> Path:
    shutil.copytree(world.images, world.new / "images")
    spoilt(sorted((world.new / "images").iterdir())[3], b"no image")
    return world.new / "images"


# Wrong use: what the user asks for cannot be, whatever the data.
USE: dict[str, Case] = {
    "no such command": (lambda w: ("fly",), "No such command 'fly'"),
    "no such option": (lambda w: ("info", w.store, "--quickly"), "No such option"),
    "pack: no images there": (lambda w: ("pack", w.new / "none", "--out", w.new / "s"), "does not exist"),
    "pack: no place named": (lambda w: ("pack", w.images), "Missing option '--out'"),
    "pack: no worker": (lambda w: ("pack", w.images, "--out", w.new / "s", "--workers", 0), "--workers"),
    "pack: crop above the frame": (
        lambda w: ("pack", w.images, "--out", w.new / "s", "--crop", 41),
        "Expected preprocess.crop from 1 to frame = 40, got 41",
    ),
    "pack: no size": (lambda w: ("pack", w.images, "--out", w.new / "s", "--size", 0), "preprocess.size from 1"),
    "info: empty montage": (
        lambda w: ("info", w.store, "--montage", w.new / "m.png", "--count", 0),
        "Expected the number of images at least 1, got 0",
    ),
    "baseline: one fold": (lambda w: ("baseline", w.store, "--folds", 1), "Expected folds at least 2, got 1"),
    "train: no pair": (lambda w: ("train", w.store, "--set", "run.epochs"), "Expected KEY=VALUE, got 'run.epochs'"),
    "train: no such field": (
        lambda w: ("train", w.store, "--set", "optimizer.lr=1"),
        "Expected a configuration field, got 'optimizer.lr'",
    ),
    "train: no number": (
        lambda w: ("train", w.store, "--set", "optimiser.lr=fast"),
        "Expected optimiser.lr of type float, got 'fast'",
    ),
    "train: out of range": (
        lambda w: ("train", w.store, "--set", "network.dropout=1"),
        "Expected network.dropout from 0 to below 1, got 1.0",
    ),
    "train: widths": (lambda w: ("train", w.store, "--width", "8,,16"), "Expected network.widths of type"),
    "train: view above the store": (
        lambda w: ("train", w.store, *w.tiny, "--set", "augmentation.size=25"),
        "Expected augmentation.size at most preprocess.size = 24, got 25",
    ),
    "train: too many blocks": (
        lambda w: ("train", w.store, *w.tiny, "--set", "network.widths=8,8,8,8,8"),
        "Expected augmentation.size at least 32 for this galaxy-vgg, got 16",
    ),
    "train: too small for vgg11": (
        lambda w: ("train", w.store, *w.tiny, "--model", "vgg11"),
        "Expected augmentation.size at least 32 for this vgg11, got 16",
    ),
    "train: no such model": (lambda w: ("train", w.store, "--model", "alexnet"), "'alexnet' is not one of"),
    "train: precision": (
        lambda w: ("train", w.store, *w.tiny, "--device", "cpu", "--precision", "fp16"),
        "Expected fp32 or bf16 on cpu, got fp16 (--precision)",
    ),
    "train: graph on the CPU": (
        lambda w: ("train", w.store, *w.tiny, "--device", "cpu", "--body", "graph"),
        "Expected a machine for --body graph, got CUDA graphs need a CUDA GPU",
    ),
    "train: no such kernel": (
        lambda w: ("train", w.store, *w.tiny, "--head", "tree", "--loss", "triton"),
        "the tree head has no triton implementation",
    ),
    "train: folder in use": (
        lambda w: ("train", w.store, *w.tiny, "--run", w.run),
        "Expected an empty folder for a new run, got one with files",
    ),
    "train: folder is a file": (
        lambda w: ("train", w.store, *w.tiny, "--run", w.labels),
        "Expected an empty folder for a new run, got a file",
    ),
    "train: no TOML": (
        lambda w: ("train", w.store, "--config", spoilt(w.new / "c.toml", b"[run\n")),
        "Expected a TOML file, got",
    ),
    "train: no text": (
        lambda w: ("train", w.store, "--config", spoilt(w.new / "c.toml", b"\xff\xfe\n")),
        "Expected a TOML file, got",
    ),
    "train: no fraction": (
        lambda w: ("train", w.store, *w.tiny, "--validation", "nowhere.csv"),
        "Expected run.validation of type float, got 'nowhere.csv'",
    ),
    "train: resume what": (lambda w: ("train", w.store, "--resume"), "Expected the run to resume, got none"),
    "train: resume otherwise": (
        lambda w: ("train", w.store, "--resume", "--run", w.run, "--lr", 1),
        "Expected the configuration of the run that is resumed, got optimiser.lr",
    ),
    "train: resume with another split": (
        lambda w: ("train", w.store, "--resume", "--run", w.run, "--validation", w.labels),
        "Expected the split of the run that is resumed",
    ),
    "train: resume with a file": (
        lambda w: ("train", w.store, "--resume", "--run", w.run, "--config", spoilt(w.new / "c.toml", b"")),
        "Expected the configuration of the run that is resumed, got the TOML file",
    ),
    "evaluate: no view": (lambda w: ("evaluate", w.run, w.store, "--views", 0), "--views"),
    "predict: no view": (lambda w: ("predict", w.run, w.store, "--out", w.new / "o.csv", "--views", 0), "--views"),
    "predict: no batch": (lambda w: ("predict", w.run, w.store, "--out", "o.csv", "--batch-size", 0), "--batch-size"),
}

# Wrong data: a file or folder is not what it should be.
DATA: dict[str, Case] = {
    "pack: store exists": (
        lambda w: ("pack", w.images, "--out", w.store),
        "Expected a new folder, got one that exists",
    ),
    "pack: no images": (
        lambda w: ("pack", w.store, "--out", w.new / "s"),
        "Expected JPEG, PNG or TIFF images, got none",
    ),
    "pack: half a zip": (
        lambda w: ("pack", spoilt(w.new / "i.zip", w.archive.read_bytes()[:5000]), "--out", w.new / "s"),
        "Expected a whole zip file",
    ),
    "pack: no table": (
        lambda w: ("pack", w.images, "--labels", spoilt(w.new / "l.csv", b"id,x\n1,2\n"), "--out", w.new / "s"),
        "Expected GalaxyID and the 37 answers as columns",
    ),
    "pack: a bad image": (
        lambda w: ("pack", images_with_a_bad_one(w), "--out", w.new / "s"),
        "Expected a whole JPEG, PNG or TIFF image",
    ),
    "info: no store": (lambda w: ("info", w.new), "Expected a store, got No such file"),
    "info: no folder": (lambda w: ("info", w.labels), "Expected a store, got Not a directory"),
    "info: damaged": (lambda w: ("info", damaged_store(w), "--verify"), "Expected the bytes that were packed"),
    "info: montage in a file": (
        lambda w: ("info", w.store, "--montage", w.labels / "m.png"),
        "Expected to write it whole, got",
    ),
    "baseline: no labels": (
        lambda w: ("baseline", store_of_size(w, 16, labels=False)),
        "Expected labels, got a store without",
    ),
    "train: no store": (lambda w: ("train", w.new, *w.tiny), "Expected a store, got"),
    "train: store of another size": (
        lambda w: ("train", store_of_size(w, 16), *w.tiny, "--run", w.new / "r"),
        "Expected a store of Preprocess(frame=40, crop=40, size=24), got Preprocess(frame=40, crop=40, size=16)",
    ),
    "train: store without labels": (
        lambda w: ("train", store_of_size(w, 24, labels=False), *w.tiny, "--run", w.new / "r"),
        "Expected ",
    ),
    "train: damaged store": (
        lambda w: ("train", damaged_store(w), *w.tiny, "--run", w.new / "r"),
        "Expected the bytes that were packed",
    ),
    "train: ids of others": (
        lambda w: ("train", w.store, *w.tiny, "--validation", spoilt(w.new / "v.csv", b"GalaxyID\n1\n2\n")),
        "Expected labelled galaxies to be held out, got none",
    ),
    "train: run inside a file": (
        lambda w: ("train", w.store, *w.tiny, "--run", w.labels / "r"),
        "Expected to write it whole, got Not a directory",
    ),
    "train: resume no run": (
        lambda w: ("train", w.store, "--resume", "--run", w.new),
        "Expected a run's config.toml, got none",
    ),
    "train: resume half a checkpoint": (
        lambda w: ("train", w.store, "--resume", "--run", damaged_run(w, "last/state.pt", b"PK")),
        "Expected a whole checkpoint, got",
    ),
    "train: resume without a split": (
        lambda w: ("train", w.store, "--resume", "--run", damaged_run(w, "split.csv", b"a,b\n1,2\n")),
        "Expected the run's split.csv, got",
    ),
    "evaluate: no run": (lambda w: ("evaluate", w.store, w.store), "Expected a run's config.toml, got none"),
    "evaluate: damaged config": (
        lambda w: ("evaluate", damaged_run(w, "config.toml", b"\xff"), w.store),
        "Expected a TOML file, got",
    ),
    "evaluate: half the weights": (
        lambda w: ("evaluate", damaged_run(w, "last/weights.safetensors", b"\x10"), w.store),
        "Expected a whole checkpoint, got",
    ),
    "evaluate: unknown ids": (
        lambda w: ("evaluate", w.run, w.store, "--ids", spoilt(w.new / "i.csv", b"GalaxyID\n5\n")),
        "Expected ids of labelled galaxies",
    ),
    "evaluate: store of another size": (
        lambda w: ("evaluate", w.run, store_of_size(w, 16)),
        "Expected a store of Preprocess(frame=40, crop=40, size=24), got Preprocess(frame=40, crop=40, size=16)",
    ),
    "evaluate: against no table": (
        lambda w: ("evaluate", w.run, w.store, "--against", spoilt(w.new / "a.csv", b"GalaxyID\n5\n")),
        "Expected GalaxyID and the 37 answers",
    ),
    "predict: a bad image": (
        lambda w: ("predict", w.run, images_with_a_bad_one(w), "--out", w.new / "o.csv"),
        "Expected a whole JPEG, PNG or TIFF image",
    ),
    "predict: out in a file": (
        lambda w: ("predict", w.run, w.store, "--out", w.labels / "o.csv"),
        "Expected to write it whole, got",
    ),
    "predict: best of a run without": (
        lambda w: ("predict", w.run, w.new, "--out", w.new / "o.csv"),
        "Expected JPEG, PNG or TIFF images, got none",
    ),
}


def check_fault(call: Call, arguments: tuple[object, ...], code: int, message: str) -> None:
    result = call(*arguments)
    text = " ".join(result.output.split())
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert (result.exit_code, "Traceback" in text) == (code, False), text
    assert message in text


@pytest.mark.parametrize("case", USE)
def test_wrong_use_ends_with_2(case: str, world: World, call: Call) -> None:
    make, message = USE[case]
    check_fault(call, make(world), 2, message)


@pytest.mark.parametrize("case", DATA)
def test_wrong_data_ends_with_1(case: str, world: World, call: Call) -> None:
    make, message = DATA[case]
    check_fault(call, make(world), 1, message)
    assert not list(world.new.rglob("*.partial"))
    assert not (world.new / "o.csv").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU")
def test_train_on_a_device_that_is_not_there(world: World, call: Call) -> None:
    arguments = ("train", world.store, *world.tiny, "--set", "run.device=cuda")
    check_fault(call, arguments, 2, "Expected a machine with cuda, got one with cpu (--device): use --device auto")
