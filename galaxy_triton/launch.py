"""A run from its start, or from where it stopped, to its report; or only what would happen."""

from pathlib import Path

from galaxy_triton import checkpoint as checkpoints
from galaxy_triton import run_folder
from galaxy_triton.answer import Answers, Asking
from galaxy_triton.checkpoint import Checkpoint, Progress
from galaxy_triton.data import Split, answers_by_row, count_batches, load, names_of
from galaxy_triton.demo import advising, prepare
from galaxy_triton.display import Display
from galaxy_triton.errors import DataFault, expected
from galaxy_triton.head import training_bytes
from galaxy_triton.machine import free_memory
from galaxy_triton.report import Subject, report_of
from galaxy_triton.request import Proposal, Request, open_galaxies, propose
from galaxy_triton.stop import stop_between_steps
from galaxy_triton.store import Store
from galaxy_triton.surroundings import BITS_DEPEND_ON, surroundings
from galaxy_triton.table import read_ids
from galaxy_triton.train import Plan, Trainer


def launch(request: Request, display: Display) -> bool:
    """Train from the start or go on; False if someone stopped it first.

    Raises:
        UsageFault: a choice that cannot be, or cannot run here.
        DataFault: a store or run that is not what it should be; the last checkpoint is whole.
    """
    proposal = propose(request)
    if proposal.demo is not None:
        prepare(proposal.demo, proposal.config.preprocess, display)
    with advising(proposal.demo):
        store, split = open_galaxies(request, proposal)
        truth = None if proposal.truth is None else answers_by_row(proposal.truth, store)
        _announce(request, proposal, store, split, display)
        trainer = _trainer(proposal, store, split, display)
    if request.resume:
        _resume(trainer, store, display)
    else:
        run_folder.start(proposal.folder, proposal.config, proposal.machine, store, split, proposal.truth)
    display.note(f"{'run':<10} {proposal.folder}\n")
    if not _fit(trainer, store, display):
        return False
    _report(trainer, store, truth, display)
    return True


def describe(request: Request, display: Display) -> None:
    """Say what `launch` would do, and write nothing.

    Raises:
        UsageFault, DataFault: as `launch` would before the first step.
    """
    proposal = propose(request)
    config = proposal.config
    if proposal.demo is not None and not proposal.store.exists():
        drawn = proposal.demo.count
        verb = "pack" if proposal.demo.folder.exists() else "draw and pack"
        display.say(f"Would {verb} {drawn:,} simulated galaxies in {proposal.demo.folder}")
        _say_choices(proposal, display)
        count = drawn - round(config.run.validation * drawn)
    else:
        store, split = open_galaxies(request, proposal)
        _announce(request, proposal, store, split, display)
        count = len(split.train)
    steps, epochs = count_batches(count, config.run.batch_size), config.run.epochs
    begun = _begun(proposal.folder).epoch if request.resume else 0
    left = (
        f"Would train epochs {begun + 1} to {epochs}, {steps} steps each"
        if begun < epochs
        else "Nothing is left to train"
    )
    display.say(f"{left}; would draw the report in {proposal.folder}")
    display.say("Nothing was written")


def _announce(request: Request, proposal: Proposal, store: Store, split: Split, display: Display) -> None:
    _say_choices(proposal, display)
    display.note(f"{'galaxies':<10} {len(split.train)} to train on, {len(split.validation)} held out")
    _check_memory(proposal, store, display)
    if request.held_out is not None and (unknown := len(read_ids(request.held_out)) - len(split.validation)):
        display.warn(f"{unknown} ids of {request.held_out} are no labelled galaxies of the store")


def _say_choices(proposal: Proposal, display: Display) -> None:
    config = proposal.config
    display.note(f"{'recipe':<10} {config.recipe}: {config.network.name}, {config.run.epochs} epochs")
    for line in proposal.machine.lines():
        display.note(line)


def _check_memory(proposal: Proposal, store: Store, display: Display) -> None:
    config, device = proposal.config, proposal.machine.device
    pixels, free = store.pixels.nbytes, free_memory(device)
    side, element_bytes = config.augmentation.size, proposal.machine.dtype.itemsize
    step = training_bytes(config.network, config.run.batch_size, side, element_bytes)
    known = "unknown" if free is None else f"{free / 2**20:,.0f} MiB"
    needed = f"{pixels / 2**20:,.0f} MiB for the pixels, about {step / 2**20:,.0f} MiB for a step"
    display.note(f"{'memory':<10} {needed}; free: {known}")
    if free is not None and pixels > free:
        do = "pack with a smaller --size, or use a device with more memory"
        raise DataFault(expected(f"free memory on {device} for the pixels", known, store.path, do))
    if free is not None and pixels + step > free:
        display.warn("this may not fit; lower --batch-size or --width if it does not")


def _trainer(proposal: Proposal, store: Store, split: Split, display: Display) -> Trainer:
    with display.progress("reading", "images") as show:
        galaxies = load(store, proposal.machine.device, lambda done: show(done, len(store.ids)))
    return Trainer(Plan(proposal.config, proposal.machine, galaxies, split, store.hash, proposal.folder))


def _resume(trainer: Trainer, store: Store, display: Display) -> None:
    """Put a run back to its last checkpoint, or to its start when it was killed before the first one."""
    folder = trainer.plan.folder
    run_folder.tidy(folder)
    if run_folder.has_checkpoint(folder):
        checkpoint = checkpoints.load(folder / run_folder.LAST)
        trainer.resume(checkpoint)
        _warn_of_other_bits(display, checkpoint)
    else:
        display.warn("the run has no checkpoint yet: it begins again")
    run_folder.cut_metrics(folder, trainer.progress.epoch)
    run_folder.log(folder, trainer.plan.machine, store)


def _begun(folder: Path) -> Progress:
    """How far an earlier run is."""
    return checkpoints.load(folder / run_folder.LAST).progress if run_folder.has_checkpoint(folder) else Progress()


def _warn_of_other_bits(display: Display, checkpoint: Checkpoint) -> None:
    here = surroundings()
    for name in BITS_DEPEND_ON:
        if checkpoint.made_with.get(name) != here[name]:
            was = f"begun with {name} {checkpoint.made_with.get(name)}, this is {here[name]}"
            display.warn(f"{was}: the bits can differ from a run that was never stopped")


def _fit(trainer: Trainer, store: Store, display: Display) -> bool:
    with stop_between_steps() as stop:
        whole = trainer.fit(display, stop)
    if not whole:
        done = f"epoch {trainer.progress.epoch + 1}, step {trainer.progress.step}"
        go_on = f"galaxy-triton train {store.path} --run {trainer.plan.folder} --resume"
        display.say(f"\nStopped in {done} and saved. Go on with: {go_on}")
    return whole


def _report(trainer: Trainer, store: Store, truth: Answers | None, display: Display) -> None:
    """Draw the report, and say what it found."""
    plan, asking = trainer.plan, Asking()  # as `report` and `evaluate` ask
    subject = Subject(plan.folder, trainer.answerer(), plan.galaxies, plan.split, names_of(store), truth)
    found = report_of(subject, asking.views, asking.batch_size, display)
    display.note()
    if found.score is not None:
        low, high = found.score.interval
        held_out = f"galaxies held out: {found.score.galaxies}, views: {asking.views}"
        display.say(f"RMSE         {found.score.rmse:.4f}  [{low:.4f}, {high:.4f}]  {held_out}")
        display.say(f"mean answer  {found.mean_answer:.4f}  what answering the training mean scores")
    if found.noise_floor is not None:
        display.say(f"noise floor  {found.noise_floor:.4f}  what the true probabilities score")
    display.say(f"report       {found.page}")
    display.say(f"network      {plan.folder / run_folder.LAST}")
