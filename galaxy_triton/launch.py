"""From what a user asks for to a run: open the store, choose, announce, train, and say how it went."""

import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from galaxy_triton import checkpoint as checkpoints
from galaxy_triton import run_folder, settings
from galaxy_triton.answer import check_preprocess
from galaxy_triton.checkpoint import Checkpoint
from galaxy_triton.config import RECIPES, Config
from galaxy_triton.data import Split, load, split_by_fraction, split_by_ids
from galaxy_triton.display import Display
from galaxy_triton.errors import DataFault, UsageFault, expected
from galaxy_triton.head import training_bytes
from galaxy_triton.machine import Machine, choose, free_memory
from galaxy_triton.report import draw_curves
from galaxy_triton.stop import stop_between_steps
from galaxy_triton.store import Store, open_store
from galaxy_triton.surroundings import BITS_DEPEND_ON, surroundings
from galaxy_triton.table import read_ids
from galaxy_triton.train import Plan, Trainer, mean_answer_rmse

# What a resumed run may change: where and how it runs, not what it computes.
RESUMABLE = ("run.device", "run.augment", "run.loss", "run.body")


@dataclass(frozen=True)
class Request:
    """What `train` was asked for.

    config_file: a TOML file over the recipe. settings: dotted fields over both. run: the folder, None for a new one
    named after the recipe and the time. held_out: a CSV of ids to hold out, None for the configured fraction.
    """

    store: Path
    recipe: str = "seed"
    config_file: Path | None = None
    settings: dict[str, Any] | None = None
    run: Path | None = None
    held_out: Path | None = None
    resume: bool = False


def launch(request: Request, display: Display) -> bool:
    """Train from the start or go on; False if someone stopped it first.

    Raises:
        UsageFault: a choice that cannot be, or cannot run here.
        DataFault: a store or run that is not what it should be; the last checkpoint is whole.
    """
    config = configured(request)
    machine = choose(config)
    store = open_store(request.store)
    check_preprocess(config.preprocess, store.preprocess, store.path)
    split = _split(request, config, store)
    folder = request.run or Path("runs") / f"{config.recipe}-{datetime.now():%Y%m%d-%H%M%S}"
    if not request.resume:
        run_folder.check_new(folder)
    checkpoint = checkpoints.load(folder / run_folder.LAST) if request.resume else None
    _announce(display, config, machine, store, split)
    if request.held_out is not None and (unknown := len(read_ids(request.held_out)) - len(split.validation)):
        display.say(f"Warning: {unknown} ids of {request.held_out} are no labelled galaxies of the store")
    with display.progress("reading", "images") as show:
        galaxies = load(store, machine.device, lambda done: show(done, len(store.ids)))
    trainer = Trainer(Plan(config, machine, galaxies, split, store.hash, folder))
    if checkpoint is None:
        run_folder.start(folder, config, machine, store, split)
    else:
        trainer.resume(checkpoint)
        run_folder.cut_metrics(folder, checkpoint.progress.epoch)
        run_folder.log(folder, machine, store)
        _warn_of_other_bits(display, checkpoint)
    display.say(f"{'run':<10} {folder}\n")
    return _fit(trainer, request.store, display)


def configured(request: Request) -> Config:
    """The configuration of a request: recipe, then TOML file, then settings; a resumed run's own comes first.

    Raises:
        UsageFault: no such field or value, or a field that a resumed run cannot change.
        DataFault: nothing to resume.
    """
    given = request.settings or {}
    if request.resume:
        if request.run is None:
            raise UsageFault(expected("the run to resume", "none", "--resume", "name it with --run"))
        fixed = [name for name in given if name not in RESUMABLE] + (["the TOML file"] if request.config_file else [])
        if fixed:
            do = f"leave it out; a resumed run may change {', '.join(RESUMABLE)}"
            raise UsageFault(expected("the configuration of the run that is resumed", ", ".join(fixed), "--resume", do))
        return settings.override(run_folder.read_config(request.run), given)
    config = RECIPES[request.recipe]
    if request.config_file is not None:
        config = settings.read_toml(request.config_file, config)
    return settings.override(config, given)


def _split(request: Request, config: Config, store: Store) -> Split:
    if request.resume and request.run is not None:
        if request.held_out is not None:
            do = "leave it out: the run keeps its split"
            raise UsageFault(expected("the split of the run that is resumed", request.held_out, "--validation", do))
        held_out = run_folder.read_split(request.run)["validation"]
        return split_by_ids(store, held_out) if len(held_out) else split_by_fraction(store, 0, 0)
    if request.held_out is not None:
        return split_by_ids(store, read_ids(request.held_out))
    return split_by_fraction(store, config.run.validation, config.run.seed)


def _announce(display: Display, config: Config, machine: Machine, store: Store, split: Split) -> None:
    display.say(f"{'recipe':<10} {config.recipe}: {config.network.name}, {config.run.epochs} epochs")
    display.say(f"{'galaxies':<10} {len(split.train)} to train on, {len(split.validation)} held out")
    for line in machine.lines():
        display.say(line)
    pixels, free = store.pixels.nbytes, free_memory(machine.device)
    step = training_bytes(config.network, config.run.batch_size, config.augmentation.size, machine.dtype.itemsize)
    known = "unknown" if free is None else f"{free / 2**20:,.0f} MiB"
    needed = f"{pixels / 2**20:,.0f} MiB for the pixels, about {step / 2**20:,.0f} MiB for a step"
    display.say(f"{'memory':<10} {needed}; free: {known}")
    if free is not None and pixels > free:
        do = "pack with a smaller --size, or use a device with more memory"
        raise DataFault(expected(f"free memory on {machine.device} for the pixels", known, store.path, do))
    if free is not None and pixels + step > free:
        display.say("Warning: this may not fit; lower --batch-size or --width if it does not")


def _warn_of_other_bits(display: Display, checkpoint: Checkpoint) -> None:
    here = surroundings()
    for name in BITS_DEPEND_ON:
        if checkpoint.made_with.get(name) != here[name]:
            was = f"Warning: begun with {name} {checkpoint.made_with.get(name)}, this is {here[name]}"
            display.say(f"{was}: the bits can differ from a run that was never stopped")


def _fit(trainer: Trainer, store: Path, display: Display) -> bool:
    folder = trainer.plan.folder
    with stop_between_steps() as stop:
        whole = trainer.fit(display, stop)
    if not whole:
        done = f"epoch {trainer.progress.epoch + 1}, step {trainer.progress.step}"
        display.say(f"\nStopped in {done} and saved. Go on with: galaxy-triton train {store} --run {folder} --resume")
        return False
    if not math.isnan(trainer.last_rmse):
        mean = mean_answer_rmse(trainer.plan)
        scored = f"RMSE {trainer.last_rmse:.4f} on the galaxies held out, views: {trainer.run.views}"
        display.say(f"\n{scored}; answering the mean scores {mean:.4f}")
    display.say(f"The network is in {folder / run_folder.LAST}, curves in {draw_curves(folder)}")
    return True
