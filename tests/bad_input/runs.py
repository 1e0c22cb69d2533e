"""Rows of the table of bad input: stores and images that do not fit a run, damaged runs, exports and sweeps."""

import json
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

from tests.bad_input import damage
from tests.bad_input.damage import Change, damaged_run, edit, file, images, rehash, store_of_size, write
from tests.bad_input.use import BELOW, unknown_ids
from tests.bad_input.world import Case, Maker, World, fault, nothing, usage

MANIFEST, WEIGHTS, STATE = "last/checkpoint.json", "last/weights.safetensors", "last/state.pt"
OPTIMISER, SPLIT = "Expected the weights and the optimiser's state of", "Expected the run's split.csv, got"
WHOLE, NO_RUN = "Expected a whole checkpoint, got", "Expected a run's config.toml, got none"
OTHER_SIZE = "Expected a store of Preprocess(frame=40, crop=40, size=24), got Preprocess(frame=40, crop=40, size=16)"
PREDICT, EXPORT = "predict {run} {made} --out {out}.csv", "export {run} --views 1 --out "
SWEEP = "sweep {store} {tiny} --trials 1 --folds 2 "


def _run(name: str, said: str, path: str, change: Change) -> Case:
    """Predict with a run of which one file is changed."""
    return fault(f"predict: {name}", "predict {made} {store} --out {out}.csv", said, damaged_run(path, change))


def _resume(name: str, said: str, path: str, change: Change) -> Case:
    return fault(f"resume: {name}", "train {store} --resume --run {made}", said, damaged_run(path, change))


def _other_weights(file: Path) -> None:
    weights = safetensors.torch.load_file(file)
    safetensors.torch.save_file({name: torch.stack((tensor, tensor)) for name, tensor in weights.items()}, file)


def _no_numbers(file: Path) -> None:
    weights = safetensors.torch.load_file(file)
    safetensors.torch.save_file({name: tensor / 0 for name, tensor in weights.items()}, file)


def _widths(channels: int) -> Change:
    def change(file: Path) -> None:
        values = json.loads(file.read_text())
        values["config"]["network"]["widths"] = [channels, channels]
        file.write_text(json.dumps(values))

    return change


def _other_optimiser(file: Path) -> None:
    torch.save({**torch.load(file, weights_only=True), "optimiser": 5}, file)


def _other_moments(file: Path) -> None:
    """torch's fused step reads and writes beyond moments that are too small: seen to end the process."""
    state = torch.load(file, weights_only=True)
    for moments in state["optimiser"]["state"].values():
        moments["exp_avg"] = torch.zeros(1)
    torch.save(state, file)


def _flipped(world: World) -> Path:
    return damage.store(world, lambda at: damage.flip(at / "pixels.npy", -7))


def _relabelled(world: World) -> Path:
    return damage.forge_store(world, {"labels.npy": damage.array(world, "labels.npy")[:, ::-1]})


def _of_asked(world: World) -> Path:
    first = np.array([name.endswith(".1") for name in damage.HEADER.split(",")[1:]], np.float32)
    return damage.forge_store(world, {"labels.npy": np.tile(first, (48, 1))})


def _size(size: int, labels: bool = True) -> Maker:
    return lambda world: store_of_size(world, size, labels)


def _with_image(content: bytes) -> Maker:
    return lambda world: images(world, _7=content)


RUNS: tuple[Case, ...] = (
    _run("no checkpoint", WHOLE, MANIFEST, Path.unlink),
    _run("a checkpoint of another version", "of format version 1, got 2", MANIFEST, edit(version=2)),
    _run("half of checkpoint.json", WHOLE, MANIFEST, damage.cut),
    _run("a deep checkpoint.json", WHOLE, MANIFEST, write(damage.deep())),
    _run("a checkpoint of other columns", f"{WHOLE} answers other than", MANIFEST, edit(columns=[])),
    _run("no progress", WHOLE, MANIFEST, edit(progress={"epoch": "x"})),
    _run("half the weights", WHOLE, WEIGHTS, damage.cut),
    _run("another model's weights", "Expected the weights of galaxy-vgg, got", WEIGHTS, rehash(_other_weights)),
    _run("weights that are not finite", WHOLE, WEIGHTS, rehash(_no_numbers)),
    _run("a network of 10^9 channels", f"{WHOLE} Expected network.widths", MANIFEST, _widths(10**9)),
    _run("a network of 60,000 channels", "Expected the weights of galaxy-vgg, got", MANIFEST, _widths(60_000)),
    _run("a byte flipped in the weights", f"{WHOLE} other bytes", WEIGHTS, lambda at: damage.flip(at, -9)),
    _run("half the state", WHOLE, STATE, damage.cut),
    _run("a config.toml that is no text", "Expected a TOML file, got", "config.toml", write(b"\xff")),
    fault("evaluate: no run", "evaluate {store} {store}", NO_RUN),
    fault("evaluate: ids of others", "evaluate {run} {store} --ids {made}", "Expected ids of labelled", unknown_ids),
    fault("evaluate: no table", "evaluate {run} {store} --against {made}", "the 37 answers", unknown_ids),
    fault("evaluate: store of another size", "evaluate {run} {made}", OTHER_SIZE, _size(16)),
    fault("predict: store of another size", PREDICT, OTHER_SIZE, _size(16)),
    fault("predict: a bad image", PREDICT, "do not decode (7.png)", _with_image(b"")),
    fault("predict: damaged store", PREDICT, "bytes that were packed", _flipped),
    fault("baseline: no labels", "baseline {made}", "got one without", _size(16, labels=False)),
    fault("train: store of another size", "train {made} {tiny}", OTHER_SIZE, _size(16)),
    fault("train: no labels", "train {made} {tiny}", "Expected ", _size(24, labels=False)),
    fault("train: damaged store", "train {made} {tiny}", "bytes that were packed", _flipped),
    fault("train: ids of others", "train {store} {tiny} --validation {made}", "validation galaxies", unknown_ids),
    fault(
        "train: ids beside an index",
        "train {store} {tiny} --validation {made}",
        "one column of ids (GalaxyID), got ''; '0'",
        lambda w: file(w, "ids.csv", f",0\n0,{w.first}\n"),
    ),
    Case("train: labels of those asked", "train {made} {tiny} --dry-run", 0, "look like fractions of those", _of_asked),
    Case(
        "train: not finite",
        "train {store} {tiny} --lr 1e30 --run {out}",
        1,
        "run with an --lr below 1e+30",
        leaves=("out",),
    ),
    fault("resume: no run", "train {store} --resume --run {new}", NO_RUN),
    fault("resume: other store", "train {made} --resume --run {run}", "the store of this run (hash", _relabelled),
    _resume("half a checkpoint", WHOLE, STATE, damage.cut),
    _resume("another model's weights", OPTIMISER, WEIGHTS, rehash(_other_weights)),
    _resume("another optimiser", OPTIMISER, STATE, rehash(_other_optimiser)),
    _resume("another optimiser's moments", OPTIMISER, STATE, rehash(_other_moments)),
    _resume("a split of another table", SPLIT, "split.csv", write("part,x\ntrain,1\n")),
    _resume("an id of 200,000 digits", SPLIT, "split.csv", write(f"GalaxyID,part\n{'1' * 200_000},train\n")),
    _resume("no split", SPLIT, "split.csv", write("a,b\n1,2\n")),
    _resume(
        "a config.toml of odd values",
        "Expected network.convs from 1 to 2",
        "config.toml",
        damage.replace("convs = 1", "convs = 9"),
    ),
)


def _folder(world: World) -> Path:
    (world.new / "a.pt2").mkdir()
    return world.new / "a.pt2"


EXPORTS: tuple[Case, ...] = (
    usage("export: no .pt2", EXPORT + "{out}", "Expected a file named .pt2, got out (--out)"),
    usage("export: out is a folder", EXPORT + "{made}", "Expected a file to write, got", _folder),
    usage("export: out below a file", EXPORT + "{labels}/a.pt2", BELOW),
    fault("export: half the weights", "export {made} --out a.pt2", WHOLE, damaged_run(WEIGHTS, damage.cut)),
    fault("export: a bad image", EXPORT + "a.pt2 --compare {made}", "do not decode (7.png)", _with_image(b"")),
)


def _sweep(name: str, options: str, said: str, make: Maker = nothing) -> Case:
    """Sweep the tiny network over the sky with these options."""
    return usage(f"sweep: {name}", SWEEP + options, said, make)


def _space(name: str, said: str, content: str) -> Case:
    return _sweep(name, "--space {made}", said, lambda world: file(world, "s.toml", content))


def _half_sweep(world: World) -> Path:
    return file(world, "s/sweep.json", "{").parent


SWEEPS: tuple[Case, ...] = (
    _sweep("more folds than galaxies", "--folds 45", "Expected a galaxy for each of 45 folds, got 44"),
    _sweep("folds and a fraction", "--set run.validation=0.1", "Expected folds alone to choose"),
    usage(
        "sweep: the largest batch",
        "sweep {store} --trials 1 --set run.batch_size=auto",
        "Expected the same batches in all trials, got auto",
    ),
    _sweep("a folder of something else", "--out {run}", "or that of a sweep, got one with other files"),
    _sweep("a dry run in a folder of something else", "--dry-run --out {run}", "got one with other files"),
    fault("sweep: half a sweep.json", SWEEP + "--out {made}", "Expected the sweep.json of a sweep, got", _half_sweep),
    fault("sweep: below a file", SWEEP + "--out {labels}/s", "got Not a directory"),
    _space("no such field", "Expected a configuration field, got 'optimiser.speed'", "optimiser.speed = [1]"),
    _space("a range upside down", "low below high", "optimiser.lr = { low = 2, high = 1 }"),
    _space("a field of the pixels", "Expected a field to draw in", "preprocess.size = [24]"),
)
