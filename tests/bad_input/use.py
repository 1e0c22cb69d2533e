"""Rows of the table of bad input: wrong use, and places that cannot be written."""

import sys

from galaxy_triton.kernels import availability
from tests.bad_input import damage
from tests.bad_input.damage import file, store_of_size
from tests.bad_input.world import Case, World, usage

TRAIN, RESUME = "train {store} {tiny}", "train {store} --resume --run {run}"
PACK, PREDICT = "pack {images} --out", "predict {run} {store} --out"
FINETUNE = "train {store} --finetune {run} --run {out}"
BELOW = "Expected a folder to write in, got the file"


def unknown_ids(world: World) -> object:
    """A list of an id that no galaxy has."""
    return file(world, "ids.csv", "GalaxyID\n5\n")


def _train(name: str, options: str, said: str) -> Case:
    """Train the tiny network on the sky with these options."""
    return usage(f"train: {name}", f"{TRAIN} {options}", said)


def _config(name: str, said: str, content: bytes | str) -> Case:
    return usage(f"train: {name}", "train {store} --config {made}", said, lambda w: file(w, "c.toml", content))


def _no_triton(world: World) -> None:
    # The interpreter of the tests would do for one.
    world.patch.setattr(availability, "is_interpreted", lambda: False)


def _no_torchvision(world: World) -> object:
    world.patch.setitem(sys.modules, "torchvision", None)
    return store_of_size(world, 40)


def _ending(command: str, want: str) -> Case:
    """The command's last word, a file's name, has an ending that is not honoured."""
    *words, name = command.split()
    return usage(f"{words[0]}: {name}", command, f"Expected a file named {want}, got {name} ({words[-1]}): choose")


def _folder(command: str) -> Case:
    """The command's last word, a folder's name, has a file's ending."""
    *words, name = command.split()
    return usage(
        f"{words[0]}: a folder {name}", command, f"Expected the name of a folder, got one of a {name[-4:]} file"
    )


def _taken(command: str, name: str, do: str = "or add --overwrite") -> Case:
    """A file that is there is not replaced."""
    said = f"got one that exists ({name}): choose another {command.split()[-1]}, {do}".rstrip(", ")
    return usage(f"{command.split()[0]}: {name} is there", f"{command} {name}", said, lambda w: file(w, name, "mine"))


VGG = "train {made} {tiny} --set preprocess.size=40 --set augmentation.size=32 --model vgg11"

COMMANDS: tuple[Case, ...] = (
    usage("no such command", "fly", "No such command 'fly'"),
    usage("no such option", "info {store} --quickly", "No such option"),
    usage("pack: no place named", "pack {images}", "Missing option '--out'"),
    usage("pack: crop above the frame", PACK + " {out} --crop 41", "to frame = 40, got 41"),
    usage("info: empty montage", "info {store} --montage {out}.png --count 0", "images at least 1, got 0"),
    usage("check: a negative tolerance", "check {labels} --tolerance -1", "the tolerance at least 0, got -1.0"),
    usage("baseline: one fold", "baseline {store} --folds 1", "Expected folds at least 2, got 1"),
    usage("evaluate: --labels with a run", "evaluate {run} --labels {labels}", "Expected --labels with a table of"),
    usage("evaluate: a table without labels", "evaluate {labels}", "got neither"),
    usage("evaluate: a table's labels twice", "evaluate {labels} {store} --labels {labels}", "got both"),
    usage(
        "evaluate: a network's options with a table",
        "evaluate {labels} {store} --views 4 --consistency 8",
        "Expected --views and --consistency with a run, got a table of predictions",
    ),
    usage(
        "predict: over its images",
        "predict {run} {made} --out {made} --overwrite",
        "Expected a file of its own for the predictions",
        lambda w: file(w, "images.csv", w.archive.read_bytes()),
    ),
    usage("predict: out is a folder", PREDICT + " {store}", "Expected a file to write, got"),
    usage("predict: out is a pipe", PREDICT + " {made}", "a file to write, got", lambda w: damage.pipe(w, "p")),
)

TRAININGS: tuple[Case, ...] = (
    _train("no pair", "--set run.epochs", "Expected KEY=VALUE, got 'run.epochs'"),
    _train("no such field", "--set optimizer.lr=1", "Expected a configuration field, got 'optimizer.lr'"),
    _train("no number", "--set optimiser.lr=fast", "Expected optimiser.lr of type float, got 'fast'"),
    _train("out of range", "--set network.dropout=1", "Expected network.dropout from 0 to below 1, got 1.0"),
    _train("widths", "--set network.widths=8,,16", "Expected network.widths of type"),
    _train("view above the store", "--set augmentation.size=25", "at most preprocess.size = 24, got 25"),
    _train("too many blocks", "--set network.widths=8,8,8,8,8", "at least 32 for this galaxy-vgg, got 16"),
    _train("too small for vgg11", "--model vgg11", "Expected augmentation.size at least 32 for this vgg11, got 16"),
    _train("precision", "--precision fp16", "Expected fp32 or bf16 on cpu, got fp16"),
    _train("graph on the CPU", "--body graph", "got CUDA graphs need a CUDA GPU"),
    usage(
        "train: --device cuda without one",
        "train {store} --device cuda",
        "Expected a machine with cuda, got one with cpu",
        without_gpu=True,
    ),
    usage(
        "train: --augment triton without a GPU",
        f"{TRAIN} --augment triton",
        "Expected a run for --augment triton",
        _no_triton,
        without_gpu=True,
    ),
    usage("train: no torchvision", VGG, "pip install torchvision", _no_torchvision),
    _train("no fraction", "--validation nowhere.csv", "Expected run.validation of type float, got 'nowhere.csv'"),
    _train("more folds than galaxies", "--folds 45", "Expected a galaxy for each of 45 folds, got 44"),
    _train("folds and a split", "--folds 2 --validation 0.1", "Expected folds alone to choose"),
    usage("train: ids without a use", TRAIN + " --fold-ids {made}", "folds for these ids, got none", unknown_ids),
    _train("run in use", "--run {run}", "continue that run with `galaxy-triton train --run /"),
    _train("run is no run", "--run {images}", "got one with files"),
    _train("run is a file", "--run {labels}", "got Not a directory"),
    _config("no TOML", "Expected a TOML file, got", "[run\n"),
    _config("deep TOML", "Expected a TOML file, got", "a = " + damage.deep()),
    usage("train: TOML pipe", "train {store} --config {made}", "a pipe or a device", lambda w: damage.pipe(w, "p")),
    usage("resume: what", "train {store} --resume", "Expected the run to resume, got none"),
    usage("resume: other fields", f"{RESUME} --lr 1", "got optimiser.lr"),
    usage("resume: more epochs", f"{RESUME} --epochs 9", "from its weights: `galaxy-triton train /"),
    usage("resume: other split", RESUME + " --validation {labels}", "got --validation"),
    usage("resume: other folds", f"{RESUME} --folds 2", "got --folds"),
    usage("resume: a TOML", RESUME + " --config {made}", "got the TOML file", lambda w: file(w, "c.toml", "")),
    usage("resume: fine-tune", RESUME + " --finetune {run}", "got --finetune"),
    usage("fine-tune: another network", f"{FINETUNE} --width 8,32", "got Network("),
    usage("fine-tune: a recipe", f"{FINETUNE} --recipe best", "got the recipe best (--finetune)"),
)

PLACES: tuple[Case, ...] = (
    usage("pack: out below a file", PACK + " {labels}/s", "got Not a directory"),
    usage("simulate: out below a file", "simulate {labels}/s --count 1", "got Not a directory"),
    usage("info: montage below a file", "info {store} --montage {labels}/m.png", BELOW),
    usage("info: montage over a folder", "info {store} --montage {store}", "got a folder or"),
    usage("evaluate: JSON over a folder", "evaluate {run} --json {store}", "got a folder or"),
    usage("evaluate: errors below a file", "evaluate {run} --errors {labels}/e.csv", BELOW),
    usage("predict: out below a file", PREDICT + " {labels}/o.csv", BELOW),
)

NAMES: tuple[Case, ...] = (
    *(_ending(f"{PREDICT} p{ending}", ".csv") for ending in (".parquet", ".fits", ".zip", ".csv.gz", ".CSV", "")),
    _ending("evaluate {run} --errors e.tsv", ".csv"),
    _ending("evaluate {run} --json e.csv", ".json"),
    _ending("info {store} --montage m.jpg", ".png"),
    _ending("export {run} --out a.onnx", ".pt2"),
    *map(
        _folder,
        (f"{PACK} gz.npz", "simulate sky.zip", "train {store} --run r.pt2", "ablate {store} {tiny} --out a.csv"),
    ),
    _folder("sweep {store} {tiny} --trials 1 --folds 2 --out s.zip"),
    usage("simulate: out is there", "simulate {store}", "Expected a new or empty folder, got one with files"),
    _taken(PREDICT, "p.csv"),
    _taken("evaluate {run} --json", "e.json"),
    _taken("evaluate {run} --errors", "e.csv"),
    _taken("info {store} --montage", "m.png"),
    _taken("export {run} --out", "a.pt2"),
    _taken("train {store} --profile", "t.json", do=""),
)
