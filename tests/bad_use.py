"""Rows of the table of bad input: wrong use, runs and checkpoints, places that cannot be written."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import safetensors.torch
import spoilt
import torch
from spoilt import Case, World, edited, file, images, rehashed, store_of_size, written

from galaxy_triton.kernels import availability


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
    _use("predict: no such layout", "'tall' is not one of", lambda w: (*_predict(w, w.run), "--layout", "tall")),
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
        lambda w: ("train", w.store, *w.tiny, "--fold-ids", _ids(w)),
    ),
    _use("resume: other folds", "Expected the split of the run", lambda w: (*_resume(w, w.run), "--folds", 2)),
    _use(
        "train: run in use",
        "Expected an empty folder for a new run",
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
    _use("resume: other fields", "got optimiser.lr", lambda w: (*_resume(w, w.run), "--lr", 1)),
    _use(
        "resume: other split", "Expected the split of the run", lambda w: (*_resume(w, w.run), "--validation", w.labels)
    ),
    _use("resume: a TOML", "got the TOML file", lambda w: (*_resume(w, w.run), "--config", file(w, "c.toml", ""))),
    _use("resume: fine-tune", "got --finetune", lambda w: (*_resume(w, w.run), "--finetune", w.run)),
    _use("fine-tune: another network", "got Network(", lambda w: (*_finetune(w, w.run), "--width", "8,32")),
    _use(
        "fine-tune: a recipe", "got the recipe best (--finetune)", lambda w: (*_finetune(w, w.run), "--recipe", "best")
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
        "evaluate: no galaxies to turn",
        "--consistency",
        lambda w: ("evaluate", w.run, w.store, "--consistency", -1),
    ),
    _use("predict: no view", "--views", lambda w: (*_predict(w, w.run), "--views", 0)),
    _use(
        "predict: over its images",
        "Expected a file of its own for the answers, got the images",
        lambda w: ("predict", w.run, w.archive, "--out", w.archive),
    ),
    _use("predict: out is a folder", "Expected a file to write, got", lambda w: _predict(w, w.run, out=w.store)),
    _use(
        "predict: out is a pipe",
        "Expected a file to write, got",
        lambda w: _predict(w, w.run, out=spoilt.pipe(w, "pipe")),
    ),
    _use("predict: no batch", "--batch-size", lambda w: (*_predict(w, w.run), "--batch-size", 0)),
)


def _run(name: str, said: str, path: str, change: Callable[[Path], object]) -> tuple[Case, ...]:
    """Evaluate a run of which one file is changed; it is the same with `predict`."""
    return (
        Case(f"evaluate: {name}", lambda w: ("evaluate", spoilt.run(w, path, change), w.store), 1, said),
        Case(f"predict: {name}", lambda w: _predict(w, spoilt.run(w, path, change)), 1, said),
    )


def _resumed(name: str, said: str, path: str, change: Callable[[Path], object]) -> Case:
    return Case(f"resume: {name}", lambda w: _resume(w, spoilt.run(w, path, change)), 1, said)


def _data(name: str, said: str, make: Callable[[World], tuple[object, ...]], *leaves: str) -> Case:
    return Case(name, make, 1, said, leaves)


def _other_weights(file: Path) -> None:
    weights = safetensors.torch.load_file(file)
    safetensors.torch.save_file({name: torch.stack((tensor, tensor)) for name, tensor in weights.items()}, file)


def _no_numbers(file: Path) -> None:
    weights = safetensors.torch.load_file(file)
    safetensors.torch.save_file({name: tensor / 0 for name, tensor in weights.items()}, file)


def _widths(channels: int) -> Callable[[Path], object]:
    def change(file: Path) -> None:
        values = json.loads(file.read_text())
        values["config"]["network"]["widths"] = [channels, channels]
        file.write_text(json.dumps(values))

    return change


def _other_state(optimiser: object) -> Callable[[Path], object]:
    return lambda file: torch.save({**torch.load(file, weights_only=True), "optimiser": optimiser}, file)


def _other_moments(file: Path) -> None:
    """torch's fused step reads and writes beyond moments that are too small: seen to end the process."""
    state = torch.load(file, weights_only=True)
    for moments in state["optimiser"]["state"].values():
        moments["exp_avg"] = torch.zeros(1)
    torch.save(state, file)


OPTIMISER, SPLIT = "Expected the weights and the optimiser's state of", "Expected the run's split.csv, got"
WHOLE, NOT_FINITE = "Expected a whole checkpoint, got", "Expected a finite loss, got"
OTHER_SIZE = "Expected a store of Preprocess(frame=40, crop=40, size=24), got Preprocess(frame=40, crop=40, size=16)"
MANIFEST, WEIGHTS, STATE = "last/checkpoint.json", "last/weights.safetensors", "last/state.pt"

RUNS: tuple[Case, ...] = (
    *_run("no checkpoint", WHOLE, MANIFEST, Path.unlink),
    *_run("a checkpoint of another version", "of format version 1, got 2", MANIFEST, edited(version=2)),
    *_run("half of checkpoint.json", WHOLE, MANIFEST, spoilt.cut),
    *_run("a deep checkpoint.json", WHOLE, MANIFEST, written(spoilt.deep())),
    *_run("a checkpoint of other columns", f"{WHOLE} answers other than", MANIFEST, edited(columns=[])),
    *_run("no progress", WHOLE, MANIFEST, edited(progress={"epoch": "x"})),
    *_run("half the weights", WHOLE, WEIGHTS, spoilt.cut),
    *_run("another model's weights", "Expected the weights of galaxy-vgg, got", WEIGHTS, rehashed(_other_weights)),
    *_run("weights that are not finite", WHOLE, WEIGHTS, rehashed(_no_numbers)),
    *_run("a network of 10^9 channels", f"{WHOLE} Expected network.widths", MANIFEST, _widths(10**9)),
    *_run("a network of 60,000 channels", "Expected the weights of galaxy-vgg, got", MANIFEST, _widths(60_000)),
    *_run("a byte flipped in the weights", f"{WHOLE} other bytes", WEIGHTS, lambda at: spoilt.flip(at, -9)),
    *_run("half the state", WHOLE, STATE, spoilt.cut),
    *_run("a config.toml that is no text", "Expected a TOML file, got", "config.toml", written(b"\xff")),
    _data("evaluate: no run", "Expected a run's config.toml, got none", lambda w: ("evaluate", w.store, w.store)),
    _data(
        "evaluate: ids of others", "Expected ids of labelled", lambda w: ("evaluate", w.run, w.store, "--ids", _ids(w))
    ),
    _data("evaluate: no table", "the 37 answers", lambda w: ("evaluate", w.run, w.store, "--against", _ids(w))),
    _data("evaluate: no such answers", "the 37 answers", lambda w: ("evaluate", _ids(w), w.store)),
    _data(
        "evaluate: no run beside it",
        "Expected a run's config.toml, got none",
        lambda w: ("evaluate", w.run, w.store, "--against", w.store),
    ),
    _data(
        "report: no run beside it",
        "Expected a run's config.toml, got none",
        lambda w: ("report", w.run, "--against", w.store),
    ),
    _data(
        "evaluate: a conditional table",
        "predict with --layout wide",
        lambda w: ("evaluate", w.run, w.store, "--against", spoilt.conditional(w)),
    ),
    _data("evaluate: store of another size", OTHER_SIZE, lambda w: ("evaluate", w.run, store_of_size(w, 16))),
    _data("predict: store of another size", OTHER_SIZE, lambda w: _predict(w, w.run, store_of_size(w, 16))),
    _data("predict: a bad image", "do not decode (7.png)", lambda w: _predict(w, w.run, images(w, _7=b""))),
    _data("predict: no image", "TIFF images, got none", lambda w: _predict(w, w.run, w.new)),
    _data("predict: damaged store", "bytes that were packed", lambda w: _predict(w, w.run, _damaged(w))),
    Case(
        "predict: --skip-bad",
        lambda w: (*_predict(w, w.run, images(w, _7=b"")), "--skip-bad"),
        0,
        "eft out: Expected a whole",
        ("out",),
    ),
    _data("baseline: no labels", "got a store without", lambda w: ("baseline", store_of_size(w, 16, labels=False))),
    _data("train: no store", "Expected a store, got", lambda w: ("train", w.new, *w.tiny)),
    _data("train: store of another size", OTHER_SIZE, lambda w: ("train", store_of_size(w, 16), *w.tiny)),
    _data("train: no labels", "Expected ", lambda w: ("train", store_of_size(w, 24, labels=False), *w.tiny)),
    _data("train: damaged store", "bytes that were packed", lambda w: ("train", _damaged(w), *w.tiny)),
    _data("train: ids of others", "to be held out", lambda w: ("train", w.store, *w.tiny, "--validation", _ids(w))),
    _data(
        "train: folds of others",
        "Expected labelled galaxies to be held out, got none",
        lambda w: ("train", w.store, *w.tiny, "--folds", 2, "--fold-ids", _ids(w)),
    ),
    _data("train: not finite", NOT_FINITE, lambda w: ("train", w.store, *w.tiny, "--lr", 1e30, "--run", w.out), "out"),
    _data("fine-tune: no run", "Expected a run's config.toml, got none", lambda w: _finetune(w, w.new)),
    _data("fine-tune: half a checkpoint", WHOLE, lambda w: _finetune(w, spoilt.run(w, STATE, spoilt.cut))),
    _data("resume: no run", "Expected a run's config.toml, got none", lambda w: _resume(w, w.new)),
    _data("resume: other store", "Expected the store of this run (hash", lambda w: _resume(w, w.run, _relabelled(w))),
    _resumed("half a checkpoint", WHOLE, STATE, spoilt.cut),
    _resumed(
        "another model's weights", "Expected the weights and the optimiser's state", WEIGHTS, rehashed(_other_weights)
    ),
    _resumed("another optimiser", OPTIMISER, STATE, rehashed(_other_state(5))),
    _resumed("another optimiser's moments", OPTIMISER, STATE, rehashed(_other_moments)),
    _resumed("a split of another table", SPLIT, "split.csv", written("part,x\ntrain,1\n")),
    _resumed("an id of 31 digits", SPLIT, "split.csv", written(f"GalaxyID,part\n{10**30},train\n")),
    _resumed("an id of 200,000 digits", SPLIT, "split.csv", written(f"GalaxyID,part\n{'1' * 200_000},train\n")),
    _resumed("no split", "Expected the run's split.csv, got", "split.csv", written("a,b\n1,2\n")),
    _resumed(
        "a config.toml of odd values",
        "Expected network.convs 1 or 2",
        "config.toml",
        spoilt.replaced("convs = 1", "convs = 9"),
    ),
)

UNWRITTEN = "Expected to write it whole, got"

PLACES: tuple[Case, ...] = (
    _data(
        "pack: out below a file", f"{UNWRITTEN} Not a directory", lambda w: ("pack", w.images, "--out", w.labels / "s")
    ),
    _data("pack: out in /proc", f"{UNWRITTEN} No such file", lambda w: ("pack", w.images, "--out", "/proc/none/s")),
    _data(
        "pack: a file in the way",
        UNWRITTEN,
        lambda w: ("pack", w.images, "--out", _beside(file(w, "out.partial", b""))),
    ),
    _data("simulate: out below a file", UNWRITTEN, lambda w: ("simulate", w.labels / "s", "--count", 1)),
    _data("info: montage below a file", UNWRITTEN, lambda w: ("info", w.store, "--montage", w.labels / "m.png")),
    _data(
        "info: montage over a folder", f"{UNWRITTEN} Is a directory", lambda w: ("info", w.store, "--montage", w.store)
    ),
    _data("evaluate: JSON over a folder", UNWRITTEN, lambda w: ("evaluate", w.run, "--json", w.store)),
    _data("evaluate: errors below a file", UNWRITTEN, lambda w: ("evaluate", w.run, "--errors", w.labels / "e.csv")),
    _data("predict: out below a file", UNWRITTEN, lambda w: _predict(w, w.run, out=w.labels / "o.csv")),
)


def _finetune(w: World, run: Path) -> tuple[object, ...]:
    return "train", w.store, "--finetune", run, "--run", w.out


def _resume(world: World, run: Path, store: Path | None = None) -> tuple[object, ...]:
    return ("train", store or world.store, "--resume", "--run", run)


def _predict(world: World, run: Path, source: Path | None = None, out: Path | None = None) -> tuple[object, ...]:
    return ("predict", run, source or world.store, "--out", out or world.out)


def _no_triton(world: World) -> tuple[object, ...]:
    # the interpreter of the tests would do for one
    world.patch.setattr(availability, "_interpreted", lambda: False)
    return ("train", world.store, *world.tiny, "--augment", "triton")


def _no_torchvision(world: World) -> tuple[object, ...]:
    world.patch.setitem(sys.modules, "torchvision", None)
    sizes = ("--set", "preprocess.size=40", "--set", "augmentation.size=32")
    return ("train", store_of_size(world, 40), *world.tiny, *sizes, "--model", "vgg11")


def _ids(world: World) -> Path:
    return file(world, "ids.csv", "GalaxyID\n5\n")


def _damaged(world: World) -> Path:
    return spoilt.store(world, lambda at: spoilt.flip(at / "pixels.npy", -7))


def _relabelled(world: World) -> Path:
    labels = spoilt.array(world, "labels.npy")
    return spoilt.forged(world, {"labels.npy": labels[:, ::-1]})


def _beside(file: Path) -> Path:
    """The place that a file of this name stands in the way of."""
    return file.with_suffix("")
