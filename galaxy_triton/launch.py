"""A run from its start, or from where it stopped, to its report; or only what would happen."""

import os
from dataclasses import replace
from pathlib import Path

import torch

from galaxy_triton import checkpoint as checkpoints
from galaxy_triton import run_folder
from galaxy_triton.answer import Answers
from galaxy_triton.checkpoint import Checkpoint, Progress
from galaxy_triton.config import Config
from galaxy_triton.data import Galaxies, Split, answers_by_row, count_batches, load, names_of
from galaxy_triton.demo import advising, prepare
from galaxy_triton.display import Display
from galaxy_triton.errors import DataFault, Stopped, UsageFault, expected
from galaxy_triton.feed import batch_of
from galaxy_triton.machine import Choice, Machine, be_deterministic
from galaxy_triton.memory import free_for_one, largest_batch, residence, step_bytes
from galaxy_triton.profiled import profiled
from galaxy_triton.profiling import check_trace
from galaxy_triton.ranks import Ranks, from_environment, joined
from galaxy_triton.report import Asked, Subject, report_of
from galaxy_triton.request import Proposal, Request, configured, open_galaxies, propose
from galaxy_triton.stop import stop_between_steps
from galaxy_triton.store import Store
from galaxy_triton.surroundings import BITS_DEPEND_ON, surroundings
from galaxy_triton.table import read_ids
from galaxy_triton.train import Plan, Trainer


def launch(request: Request, display: Display) -> None:
    """Train from the start or go on, with all processes that were started together.

    Raises:
        UsageFault: a choice that cannot be, or cannot run here.
        DataFault: a store or run that is not what it should be, or another process that is gone; the last checkpoint is
            whole.
        Stopped: someone asked to stop first; what was done is saved.
    """
    with joined(configured(request).run.device) as ranks:
        _launch(request, ranks, display if ranks.first else display.muted())


def _launch(request: Request, ranks: Ranks, display: Display) -> None:
    proposal = _agreed(_checked(request, ranks), ranks)
    if proposal.demo is not None:
        prepare(proposal.demo, proposal.config.preprocess, display)
    with advising(proposal.demo):
        store, split = open_galaxies(request, proposal)
        truth = None if proposal.truth is None else answers_by_row(proposal.truth, store)
        _announce(request, proposal, split, ranks, display)
        choices = ranks.gather(_residence(proposal, store, ranks, display))
        # Where it does not fit for one, it does for none: the batches of all come the same way.
        choice = next((each for each in choices if each.name == "host"), choices[0])
        plan = _plan(request, proposal, store, split, ranks, choice, display)
        trainer = Trainer(plan)
    if request.resume:
        _resume(trainer, store, display)
    else:
        ranks.by_first(lambda: run_folder.start(plan.folder, plan.config, plan.machine, store, split, proposal.truth))
    display.note(f"{'run':<10} {proposal.folder}\n")
    with profiled(trainer, request.profile, display):
        _fit(trainer, store, display)
    if ranks.first:
        _report(trainer, store, truth, display)


def describe(request: Request, display: Display) -> None:
    """Say what `launch` would do, and write nothing.

    Raises:
        UsageFault, DataFault: as `launch` would before the first step.
    """
    here = from_environment(os.environ)
    display = display if here.first else display.muted()
    proposal = _checked(request, here)
    config = proposal.config
    if proposal.demo is not None and not proposal.store.exists():
        drawn = proposal.demo.count
        verb = "pack" if proposal.demo.folder.exists() else "draw and pack"
        display.say(f"Would {verb} {drawn:,} simulated galaxies in {proposal.demo.folder}")
        _say_choices(proposal, display)
        count = drawn - round(config.run.validation * drawn)
    else:
        store, split = open_galaxies(request, proposal)
        _announce(request, proposal, split, here, display)
        _residence(proposal, store, here, display)
        count = len(split.train)
    steps, epochs = f"{count_batches(count, config.run.batch_size)} steps each", config.run.epochs
    if request.fit_batch:
        steps = "of the largest batches that fit"
    begun = _begun(proposal.folder).epoch if request.resume else 0
    left = f"Would train epochs {begun + 1} to {epochs}, {steps}" if begun < epochs else "Nothing is left to train"
    display.say(f"{left}; would draw the report in {proposal.folder}")
    display.say("Nothing was written")


def _checked(request: Request, here: Ranks) -> Proposal:
    """What a request comes to, once a trace can be written too."""
    proposal = propose(request, here.count)
    if request.profile is not None and here.first:
        check_trace(request.profile, proposal.machine.device)
    return proposal


def _agreed(proposal: Proposal, ranks: Ranks) -> Proposal:
    """The first process's folder, in which nobody begins before all have looked.

    Raises:
        UsageFault: the processes do not choose alike; their gradients would not fit together.
    """
    if (differing := ranks.differing(proposal.machine.chosen())) is not None:
        do = "name --precision, --augment, --loss, --body and --norm, or use machines of one kind"
        raise UsageFault(expected("the same choices in all processes", differing, "the machines", do))
    return replace(proposal, folder=ranks.agree(proposal.folder))


def _announce(request: Request, proposal: Proposal, split: Split, here: Ranks, display: Display) -> None:
    _say_choices(proposal, display)
    if here.count > 1:
        display.note(f"{'processes':<10} {here.count}, each with its part of every batch")
    display.note(f"{'galaxies':<10} {len(split.train)} to train on, {len(split.validation)} held out")
    if request.held_out is not None and (unknown := len(read_ids(request.held_out)) - len(split.validation)):
        display.warn(f"{unknown} ids of {request.held_out} are no labelled galaxies of the store")


def _say_choices(proposal: Proposal, display: Display) -> None:
    config = proposal.config
    display.note(f"{'recipe':<10} {config.recipe}: {config.network.name}, {config.run.epochs} epochs")
    for line in proposal.machine.lines():
        display.note(line)


def _residence(proposal: Proposal, store: Store, here: Ranks, display: Display) -> Choice:
    """Where this process would have the pixels; what they and a step need is said."""
    machine, device = proposal.machine, proposal.machine.device
    pixels, free = store.pixels.nbytes, free_for_one(device, here)
    step = step_bytes(proposal.config, machine, here.count)
    known = "unknown" if free is None else f"{free / 2**20:,.0f} MiB"
    needed = f"{pixels / 2**20:,.0f} MiB for the pixels, about {step / 2**20:,.0f} MiB for a step"
    display.note(f"{'memory':<10} {needed}; free: {known}")
    choice = residence(proposal.config.run.resident, device, pixels, step, free)
    display.note(f"{'resident':<10} {choice.name:<8} {choice.why}")
    held = pixels if choice.name == "gpu" or device.type == "cpu" else 0
    if free is not None and held + step > free:
        display.warn("this may not fit; lower --batch-size or --width, or raise --accumulate, if it does not")
    return choice


def _plan(
    request: Request,
    proposal: Proposal,
    store: Store,
    split: Split,
    ranks: Ranks,
    choice: Choice,
    display: Display,
) -> Plan:
    config, machine = proposal.config, replace(proposal.machine, resident=choice)
    with display.progress("reading", "images") as show:
        pixels_on = torch.device("cpu") if choice.name == "host" else machine.device
        galaxies = load(store, machine.device, lambda done: show(done, len(store.ids)), pixels_on)
    if request.fit_batch:
        config = _with_largest_batch(config, machine, galaxies, split, ranks, display)
    return Plan(config, machine, galaxies, split, store.hash, proposal.folder, ranks)


def _with_largest_batch(
    config: Config, machine: Machine, galaxies: Galaxies, split: Split, ranks: Ranks, display: Display
) -> Config:
    if config.run.deterministic:
        be_deterministic()
    rows = torch.from_numpy(split.train).to(machine.device)
    found = largest_batch(config, machine, lambda size: batch_of(galaxies, rows[:size]), len(rows), ranks)
    size = min(ranks.gather(found))
    each = f", {size // ranks.count} in each process" * (ranks.count > 1)
    display.note(f"{'batch':<10} {size:<8} the largest power of two that fits{each}")
    return replace(config, run=replace(config.run, batch_size=size))


def _resume(trainer: Trainer, store: Store, display: Display) -> None:
    """Put a run back to its last checkpoint, or to its start when it was killed before the first one."""
    folder, ranks = trainer.plan.folder, trainer.plan.ranks
    ranks.by_first(lambda: run_folder.tidy(folder))
    if run_folder.has_checkpoint(folder):
        checkpoint = checkpoints.load(folder / run_folder.LAST)
        trainer.resume(checkpoint)
        _warn_of_other_bits(display, checkpoint)
    else:
        display.warn("the run has no checkpoint yet: it begins again")
    if (differing := ranks.differing(trainer.progress)) is not None:
        do = "give a --run that all machines share"
        raise DataFault(expected("the same checkpoint in all processes", differing, folder, do))
    ranks.by_first(lambda: _go_on(trainer, store))


def _go_on(trainer: Trainer, store: Store) -> None:
    run_folder.cut_metrics(trainer.plan.folder, trainer.progress.epoch)
    run_folder.log(trainer.plan.folder, trainer.plan.machine, store)


def _begun(folder: Path) -> Progress:
    """How far an earlier run is."""
    return checkpoints.load(folder / run_folder.LAST).progress if run_folder.has_checkpoint(folder) else Progress()


def _warn_of_other_bits(display: Display, checkpoint: Checkpoint) -> None:
    here = surroundings()
    for name in BITS_DEPEND_ON:
        if checkpoint.made_with.get(name) != here[name]:
            was = f"begun with {name} {checkpoint.made_with.get(name)}, this is {here[name]}"
            display.warn(f"{was}: the bits can differ from a run that was never stopped")


def _fit(trainer: Trainer, store: Store, display: Display) -> None:
    try:
        with stop_between_steps() as stop:
            trainer.fit(display, stop)
    except Stopped:
        done = f"epoch {trainer.progress.epoch + 1}, step {trainer.progress.step}"
        go_on = f"galaxy-triton train {store.path} --run {trainer.plan.folder} --resume"
        display.say(f"\nStopped in {done} and saved. Go on with: {go_on}")
        raise


def _report(trainer: Trainer, store: Store, truth: Answers | None, display: Display) -> None:
    """Draw the report, and say what it found."""
    plan, asked = trainer.plan, Asked()  # as `report` and `evaluate` ask
    subject = Subject(plan.folder, trainer.learner.answerer(), plan.galaxies, plan.split, names_of(store), truth)
    found = report_of(subject, asked, display)
    display.note()
    if found.score is not None:
        low, high = found.score.interval
        held_out = f"galaxies held out: {found.score.galaxies}, views: {asked.views}"
        display.say(f"RMSE         {found.score.rmse:.4f}  [{low:.4f}, {high:.4f}]  {held_out}")
        display.say(f"mean answer  {found.mean_answer:.4f}  what answering the training mean scores")
    if found.noise_floor is not None:
        display.say(f"noise floor  {found.noise_floor:.4f}  what the true probabilities score")
    display.say(f"report       {found.page}")
    display.say(f"network      {plan.folder / run_folder.LAST}")
