"""Rows of the table of bad input: stores and images that do not fit a run, runs and checkpoints that are damaged."""

import json
from collections.abc import Callable
from pathlib import Path

import safetensors.torch
import torch

from tests.bad_input import spoilt
from tests.bad_input.run_commands import data_case, finetune, predict, resume, unknown_ids
from tests.bad_input.spoilt import Case, World, edited, images, rehashed, store_of_size, written


def _run(name: str, said: str, path: str, change: Callable[[Path], object]) -> tuple[Case, ...]:
    """Evaluate a run of which one file is changed; it is the same with `predict`."""
    return (
        Case(f"evaluate: {name}", lambda w: ("evaluate", spoilt.run(w, path, change), w.store), 1, said),
        Case(f"predict: {name}", lambda w: predict(w, spoilt.run(w, path, change)), 1, said),
    )


def _resumed(name: str, said: str, path: str, change: Callable[[Path], object]) -> Case:
    return Case(f"resume: {name}", lambda w: resume(w, spoilt.run(w, path, change)), 1, said)


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
    data_case("evaluate: no run", "Expected a run's config.toml, got none", lambda w: ("evaluate", w.store, w.store)),
    data_case(
        "evaluate: ids of others",
        "Expected ids of labelled",
        lambda w: ("evaluate", w.run, w.store, "--ids", unknown_ids(w)),
    ),
    data_case(
        "evaluate: no table", "the 37 answers", lambda w: ("evaluate", w.run, w.store, "--against", unknown_ids(w))
    ),
    data_case("evaluate: no such answers", "the 37 answers", lambda w: ("evaluate", unknown_ids(w), w.store)),
    data_case(
        "evaluate: no run beside it",
        "Expected a run's config.toml, got none",
        lambda w: ("evaluate", w.run, w.store, "--against", w.store),
    ),
    data_case(
        "report: no run beside it",
        "Expected a run's config.toml, got none",
        lambda w: ("report", w.run, "--against", w.store),
    ),
    data_case(
        "evaluate: a conditional table",
        "predict with --layout wide",
        lambda w: ("evaluate", w.run, w.store, "--against", spoilt.conditional(w)),
    ),
    data_case("evaluate: store of another size", OTHER_SIZE, lambda w: ("evaluate", w.run, store_of_size(w, 16))),
    data_case("predict: store of another size", OTHER_SIZE, lambda w: predict(w, w.run, store_of_size(w, 16))),
    data_case("predict: a bad image", "do not decode (7.png)", lambda w: predict(w, w.run, images(w, _7=b""))),
    data_case("predict: no image", "TIFF images, got none", lambda w: predict(w, w.run, w.new)),
    data_case("predict: damaged store", "bytes that were packed", lambda w: predict(w, w.run, _damaged(w))),
    Case(
        "predict: --skip-bad",
        lambda w: (*predict(w, w.run, images(w, _7=b"")), "--skip-bad"),
        0,
        "eft out: Expected a whole",
        ("out",),
    ),
    data_case("baseline: no labels", "got one without", lambda w: ("baseline", store_of_size(w, 16, labels=False))),
    data_case("train: no store", "Expected a store, got", lambda w: ("train", w.new, *w.tiny)),
    data_case("train: store of another size", OTHER_SIZE, lambda w: ("train", store_of_size(w, 16), *w.tiny)),
    data_case("train: no labels", "Expected ", lambda w: ("train", store_of_size(w, 24, labels=False), *w.tiny)),
    data_case("train: damaged store", "bytes that were packed", lambda w: ("train", _damaged(w), *w.tiny)),
    data_case(
        "train: ids of others", "to be held out", lambda w: ("train", w.store, *w.tiny, "--validation", unknown_ids(w))
    ),
    data_case(
        "train: folds of others",
        "Expected labelled galaxies to be held out, got none",
        lambda w: ("train", w.store, *w.tiny, "--folds", 2, "--fold-ids", unknown_ids(w)),
    ),
    data_case(
        "train: not finite", NOT_FINITE, lambda w: ("train", w.store, *w.tiny, "--lr", 1e30, "--run", w.out), "out"
    ),
    data_case("fine-tune: no run", "Expected a run's config.toml, got none", lambda w: finetune(w, w.new)),
    data_case("fine-tune: half a checkpoint", WHOLE, lambda w: finetune(w, spoilt.run(w, STATE, spoilt.cut))),
    data_case("resume: no run", "Expected a run's config.toml, got none", lambda w: resume(w, w.new)),
    data_case(
        "resume: other store", "Expected the store of this run (hash", lambda w: resume(w, w.run, _relabelled(w))
    ),
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


def _damaged(world: World) -> Path:
    return spoilt.store(world, lambda at: spoilt.flip(at / "pixels.npy", -7))


def _relabelled(world: World) -> Path:
    labels = spoilt.array(world, "labels.npy")
    return spoilt.forged(world, {"labels.npy": labels[:, ::-1]})
