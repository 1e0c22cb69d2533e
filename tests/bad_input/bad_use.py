"""Rows of the table of bad input: wrong use, and places that cannot be written."""

import sys
from collections.abc import Callable
from pathlib import Path

from galaxy_triton.kernels import availability
from tests.bad_input import spoilt
from tests.bad_input.run_commands import data_case, finetune, predict, resume, unknown_ids
from tests.bad_input.spoilt import Case, World, file, store_of_size


def _use(name: str, said: str, make: Callable[[World], tuple[object, ...]], without_gpu: bool = False) -> Case:
    return Case(name, make, 2, said, without_gpu=without_gpu)


def _train(name: str, said: str, *options: object) -> Case:
    """Train the tiny network on the sky with these options."""
    return _use(f"train: {name}", said, lambda w: ("train", w.store, *w.tiny, *options))


def _config(name: str, said: str, content: bytes | str) -> Case:
    return _use(f"train: {name}", said, lambda w: ("train", w.store, "--config", file(w, "c.toml", content)))


USE: tuple[Case, ...] = (
    _use("no such command", "No such command 'fly'", lambda w: ("fly",)),
    _use("no such option", "No such option", lambda w: ("info", w.store, "--quickly")),
    _use("pack: no images there", "does not exist", lambda w: ("pack", w.new / "none", "--out", w.out)),
    _use("pack: no place named", "Missing option '--out'", lambda w: ("pack", w.images)),
    _use("pack: no worker", "--workers", lambda w: ("pack", w.images, "--out", w.out, "--workers", 0)),
    _use(
        "pack: crop above the frame",
        "to frame = 40, got 41",
        lambda w: ("pack", w.images, "--out", w.out, "--crop", 41),
    ),
    _use("pack: no size", "preprocess.size from 1", lambda w: ("pack", w.images, "--out", w.out, "--size", 0)),
    _use(
        "info: empty montage", "images at least 1, got 0", lambda w: ("info", w.store, "--montage", w.out, "--count", 0)
    ),
    _use(
        "check: a negative tolerance",
        "Expected the tolerance at least 0, got -1.0",
        lambda w: ("check", w.labels, "--tolerance", -1),
    ),
    _use("check: a folder", "is a directory", lambda w: ("check", w.images)),
    _use("check: no such kind", "'guesses' is not one of", lambda w: ("check", w.labels, "--kind", "guesses")),
    _use("predict: no such layout", "'tall' is not one of", lambda w: (*predict(w, w.run), "--layout", "tall")),
    _use("baseline: one fold", "Expected folds at least 2, got 1", lambda w: ("baseline", w.store, "--folds", 1)),
    _train("no pair", "Expected KEY=VALUE, got 'run.epochs'", "--set", "run.epochs"),
    _train("no such field", "Expected a configuration field, got 'optimizer.lr'", "--set", "optimizer.lr=1"),
    _train("no number", "Expected optimiser.lr of type float, got 'fast'", "--set", "optimiser.lr=fast"),
    _train("out of range", "Expected network.dropout from 0 to below 1, got 1.0", "--set", "network.dropout=1"),
    _train("widths", "Expected network.widths of type", "--set", "network.widths=8,,16"),
    _train("view above the store", "at most preprocess.size = 24, got 25", "--set", "augmentation.size=25"),
    _train("too many blocks", "at least 32 for this galaxy-vgg, got 16", "--set", "network.widths=8,8,8,8,8"),
    _train("too small for vgg11", "Expected augmentation.size at least 32 for this vgg11, got 16", "--model", "vgg11"),
    _train("no such model", "'alexnet' is not one of", "--model", "alexnet"),
    _train("precision", "Expected fp32 or bf16 on cpu, got fp16", "--precision", "fp16"),
    _train("graph on the CPU", "got CUDA graphs need a CUDA GPU", "--body", "graph"),
    _use(
        "train: --device cuda without one",
        "Expected a machine with cuda, got one with cpu",
        lambda w: ("train", w.store, "--device", "cuda"),
        True,
    ),
    _use(
        "train: --augment triton without a GPU",
        "Expected a machine for --augment triton",
        lambda w: _no_triton(w),
        True,
    ),
    _use("train: no torchvision", "pip install torchvision", lambda w: _no_torchvision(w)),
    _train("no fraction", "Expected run.validation of type float, got 'nowhere.csv'", "--validation", "nowhere.csv"),
    _train("one fold", "Expected folds at least 2, got 1", "--folds", 1),
    _train("more folds than galaxies", "Expected a galaxy for each of 45 folds, got 44", "--folds", 45),
    _train("folds and a split", "Expected folds alone to hold galaxies out", "--folds", 2, "--validation", 0.1),
    _train("nothing to repeat", "Expected a list of ids, got none", "--repeat-ids", 2),
    _train("nothing to repeat, by --set", "Expected a list of ids, got none", "--set", "run.repeat=2"),
    _use(
        "train: ids without a use",
        "Expected a use of these ids, got none",
        lambda w: ("train", w.store, *w.tiny, "--fold-ids", unknown_ids(w)),
    ),
    _use("resume: other folds", "Expected the split of the run", lambda w: (*resume(w, w.run), "--folds", 2)),
    _use(
        "train: run in use",
        "Expected a new or empty folder",
        lambda w: ("train", w.store, *w.tiny, "--run", w.run),
    ),
    _use(
        "train: run is a file",
        "for a new run, got Not a directory",
        lambda w: ("train", w.store, *w.tiny, "--run", w.labels),
    ),
    _use(
        "train: run below a file", "got Not a directory", lambda w: ("train", w.store, *w.tiny, "--run", w.labels / "r")
    ),
    _config("no TOML", "Expected a TOML file, got", "[run\n"),
    _config("no text", "Expected a TOML file, got", b"\xff\xfe\n"),
    _config("deep TOML", "Expected a TOML file, got", "a = " + spoilt.deep()),
    _use(
        "train: TOML pipe", "got a pipe or a device", lambda w: ("train", w.store, "--config", spoilt.pipe(w, "c.toml"))
    ),
    _use("resume: what", "Expected the run to resume, got none", lambda w: ("train", w.store, "--resume")),
    _use("resume: other fields", "got optimiser.lr", lambda w: (*resume(w, w.run), "--lr", 1)),
    _use(
        "resume: other split", "Expected the split of the run", lambda w: (*resume(w, w.run), "--validation", w.labels)
    ),
    _use("resume: a TOML", "got the TOML file", lambda w: (*resume(w, w.run), "--config", file(w, "c.toml", ""))),
    _use("resume: fine-tune", "got --finetune", lambda w: (*resume(w, w.run), "--finetune", w.run)),
    _use("fine-tune: another network", "got Network(", lambda w: (*finetune(w, w.run), "--width", "8,32")),
    _use(
        "fine-tune: a recipe", "got the recipe best (--finetune)", lambda w: (*finetune(w, w.run), "--recipe", "best")
    ),
    _use("evaluate: no view", "--views", lambda w: ("evaluate", w.run, w.store, "--views", 0)),
    _use(
        "evaluate: --labels with a run",
        "Expected --labels with a table of predictions",
        lambda w: ("evaluate", w.run, "--labels", w.labels),
    ),
    _use("evaluate: a table without labels", "got neither", lambda w: ("evaluate", w.labels)),
    _use(
        "evaluate: a table's labels twice", "got both", lambda w: ("evaluate", w.labels, w.store, "--labels", w.labels)
    ),
    _use(
        "evaluate: a network's options with a table",
        "Expected --views and --consistency with a run, got a table of predictions",
        lambda w: ("evaluate", w.labels, w.store, "--views", 4, "--consistency", 8),
    ),
    _use(
        "evaluate: no galaxies to turn",
        "--consistency",
        lambda w: ("evaluate", w.run, w.store, "--consistency", -1),
    ),
    _use("predict: no view", "--views", lambda w: (*predict(w, w.run), "--views", 0)),
    _use(
        "predict: over its images",
        "Expected a file of its own for the answers, got the images",
        lambda w: ("predict", w.run, w.archive, "--out", w.archive),
    ),
    _use("predict: out is a folder", "Expected a file to write, got", lambda w: predict(w, w.run, out=w.store)),
    _use(
        "predict: out is a pipe",
        "Expected a file to write, got",
        lambda w: predict(w, w.run, out=spoilt.pipe(w, "pipe")),
    ),
    _use("predict: no batch", "--batch-size", lambda w: (*predict(w, w.run), "--batch-size", 0)),
)


UNWRITTEN, BELOW = "Expected to write it whole, got", "Expected a folder to write in, got the file"

PLACES: tuple[Case, ...] = (
    data_case(
        "pack: out below a file", f"{UNWRITTEN} Not a directory", lambda w: ("pack", w.images, "--out", w.labels / "s")
    ),
    data_case("pack: out in /proc", f"{UNWRITTEN} No such file", lambda w: ("pack", w.images, "--out", "/proc/none/s")),
    data_case(
        "pack: a file in the way",
        UNWRITTEN,
        lambda w: ("pack", w.images, "--out", _beside(file(w, "out.partial", b""))),
    ),
    data_case("simulate: out below a file", UNWRITTEN, lambda w: ("simulate", w.labels / "s", "--count", 1)),
    data_case("info: montage below a file", UNWRITTEN, lambda w: ("info", w.store, "--montage", w.labels / "m.png")),
    data_case(
        "info: montage over a folder", f"{UNWRITTEN} Is a directory", lambda w: ("info", w.store, "--montage", w.store)
    ),
    _use("evaluate: JSON over a folder", "got a folder or", lambda w: ("evaluate", w.run, "--json", w.store)),
    _use("evaluate: errors below a file", BELOW, lambda w: ("evaluate", w.run, "--errors", w.labels / "e.csv")),
    _use("predict: out below a file", BELOW, lambda w: predict(w, w.run, out=w.labels / "o.csv")),
)


def _no_triton(world: World) -> tuple[object, ...]:
    # the interpreter of the tests would do for one
    world.patch.setattr(availability, "is_interpreted", lambda: False)
    return ("train", world.store, *world.tiny, "--augment", "triton")


def _no_torchvision(world: World) -> tuple[object, ...]:
    world.patch.setitem(sys.modules, "torchvision", None)
    sizes = ("--set", "preprocess.size=40", "--set", "augmentation.size=32")
    return ("train", store_of_size(world, 40), *world.tiny, *sizes, "--model", "vgg11")


def _beside(file: Path) -> Path:
    """The place that a file of this name stands in the way of."""
    return file.with_suffix("")
