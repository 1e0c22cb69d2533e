"""A run from its start, or from where it stopped, to its report; or only what would happen."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from galaxy_triton.config.schema import Config
from galaxy_triton.config.toml import flat
from galaxy_triton.data.names import names_of
from galaxy_triton.data.passes import count_steps
from galaxy_triton.data.split import Split
from galaxy_triton.data.store import Store
from galaxy_triton.data.targets import SHARED
from galaxy_triton.evaluate.report import Asked, Report, Subject, report_of
from galaxy_triton.experiments.profile import profiled
from galaxy_triton.experiments.profile_steps import check_trace
from galaxy_triton.runs import checkpoint as checkpoints
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.runs.checkpoint import Checkpoint, Progress
from galaxy_triton.simulation.first_run import advising
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault, Stopped, expected
from galaxy_triton.system.lock import NoLocks, locked
from galaxy_triton.system.processes import Processes, from_environment, join_processes
from galaxy_triton.system.provenance import BITS_DEPEND_ON, provenance
from galaxy_triton.system.signals import Stop, stop_between_steps
from galaxy_triton.train import finetune
from galaxy_triton.train.loop import Plan, Trainer
from galaxy_triton.train.options import RESUMABLE, Proposal, TrainOptions, configured, open_galaxies, propose, split_of
from galaxy_triton.train.session import (
    Ground,
    agreed,
    draw_sky,
    lay,
    say_choices,
    say_processes,
    say_sky_to_draw,
    settled_residence,
    sky_to_draw,
    warn_of_unknown,
    with_largest_batch,
)

WAIT = 10.0  # seconds, for a process that is stopping to let go of the run


def launch(request: TrainOptions, display: Display) -> None:
    """Train from the start or go on, with all processes that were started together.

    Raises:
        UsageFault: a choice that cannot be, or cannot run here.
        DataFault: a store or run that is not what it should be, or another process that is gone; the last checkpoint is
            whole.
        Stopped: someone asked to stop first; what was done is saved.
    """
    with join_processes(configured(request).run.device) as processes:
        _launch(request, processes, display if processes.first else display.muted())


def _launch(request: TrainOptions, processes: Processes, display: Display) -> None:
    proposal = agreed(_checked(request, processes), processes)
    draw_sky(proposal, display)
    with advising(proposal.demo):
        store = open_galaxies(request, proposal)
        split = split_of(request, proposal.config, store)
        _announce(request, proposal, store, split, processes, display)
        ground = lay(proposal, store, processes, display)
        if request.fit_batch:
            ground = with_largest_batch(ground, split, display)
        trainer = Trainer(ground.plan(split, proposal.folder))
    with begun(trainer, ground, request.resume, display):
        with profiled(trainer, request.profile, display), stop_between_steps() as stop:
            fit(trainer, stop, f"galaxy-triton train {store.path} --run {proposal.folder} --resume", display)
        if processes.first:
            _say(report(trainer, ground, display), trainer, display)


@contextmanager
def begun(trainer: Trainer, ground: Ground, resume: bool, display: Display) -> Iterator[None]:
    """Lay out the folder of a new run, or put one back to where it stopped; while the block runs, it is this job's.

    Raises:
        DataFault: a folder that cannot be written, one that another job trains in, or a checkpoint that is not this
            run's.
    """
    plan = trainer.plan
    with taken(plan.folder, plan.processes, None if resume else lambda: _lay_out(plan, ground), display):
        if resume:
            _resume(trainer, ground, display)
        _say_stretched(trainer, display)
        display.note(f"{'run':<10} {plan.folder}\n")
        yield


@contextmanager
def taken(folder: Path, processes: Processes, lay_out: Callable[[], None] | None, display: Display) -> Iterator[None]:
    """While the block runs no other job trains in this folder, which the first process lays out if it is new.

    Raises:
        DataFault: another does, or the folder cannot be written.
    """
    with ExitStack() as held:
        if lay_out is not None:
            processes.by_first(lay_out)
        processes.by_first(lambda: held.enter_context(_locked(folder, display)))
        yield


def fit(trainer: Trainer, stop: Stop, go_on: str, display: Display) -> None:
    """Train the epochs that are left. go_on: the command that goes on after a stop.

    Raises:
        Stopped, DataFault: as `Trainer.fit`.
    """
    try:
        trainer.fit(display, stop)
    except Stopped:
        done = f"epoch {trainer.progress.epoch + 1}, step {trainer.progress.step}"
        display.say(f"\nStopped in {done} and saved. Go on with: {go_on}")
        raise


def report(trainer: Trainer, ground: Ground, display: Display) -> Report:
    """Draw the report of a run that is trained, asking as `report` and `evaluate` do."""
    plan = trainer.plan
    names, predictor = names_of(ground.store), trainer.learner.predictor()
    subject = Subject(plan.folder, predictor, plan.galaxies, plan.split, names, ground.truth)
    return report_of(subject, Asked(), display)


def describe(request: TrainOptions, display: Display) -> None:
    """Say what `launch` would do, and write nothing.

    Raises:
        UsageFault, DataFault: as `launch` would before the first step.
    """
    here = from_environment(os.environ)
    display = display if here.first else display.muted()
    proposal = _checked(request, here)
    config = proposal.config
    if (sky := sky_to_draw(proposal)) is not None:
        say_sky_to_draw(sky, display)
        say_choices(proposal, display)
        count, repeated = sky.count - round(config.run.validation * sky.count), 0
    else:
        store = open_galaxies(request, proposal)
        split = split_of(request, config, store)
        _announce(request, proposal, store, split, here, display)
        settled_residence(proposal, store, here, display)
        count, repeated = len(split.train), len(split.repeated)
    steps, epochs = f"{count_steps(count, repeated, config.run)} steps each", config.run.epochs
    if request.fit_batch:
        steps = "of the largest batches that fit"
    begun = _begun(proposal.folder).epoch if request.resume else 0
    left = f"Would train epochs {begun + 1} to {epochs}, {steps}" if begun < epochs else "Nothing is left to train"
    display.say(f"{left}; would draw the report in {proposal.folder}")
    display.say("Nothing was written")


def _checked(request: TrainOptions, here: Processes) -> Proposal:
    """What a request comes to, once a trace can be written too."""
    proposal = propose(request, here.count)
    if request.profile is not None and here.first:
        check_trace(request.profile, proposal.backend.device)
    return proposal


def _announce(
    request: TrainOptions, proposal: Proposal, store: Store, split: Split, here: Processes, display: Display
) -> None:
    say_choices(proposal, display)
    say_processes(here, display)
    repeated = f", {len(split.repeated)} of them {proposal.config.run.repeat} times" * bool(len(split.repeated))
    display.note(f"{'galaxies':<10} {len(split.train)} to train on{repeated}, {len(split.validation)} held out")
    for table in filter(None, (request.held_out, request.fold_ids)):
        warn_of_unknown(table, store, display)
    finetune.say_start(proposal.start, proposal.folder, store.ids[split.validation], display)


def _say_stretched(trainer: Trainer, display: Display) -> None:
    if trainer.stretched:
        why = f"more than {SHARED} galaxies share each, which is taken for the mean of a class"
        factor = trainer.plan.config.labels.stretch
        display.note(f"{'labels':<10} {trainer.stretched} stretched by {factor:g}: {why}")


@contextmanager
def _locked(folder: Path, display: Display) -> Iterator[None]:
    with ExitStack() as held:
        try:
            held.enter_context(locked(folder / run_folder.LOCK, WAIT, "run", "give a --run that can be written"))
        except NoLocks:
            display.warn(f"{folder} is on a file system without locks: nothing keeps a second job out of it")
        yield


def _lay_out(plan: Plan, ground: Ground) -> None:
    with run_folder.laid_out(plan.folder, plan.config, plan.backend, ground.store, ground.truth_table) as new:
        run_folder.write_split(new, ground.store, plan.split)
        finetune.keep(new, plan.start)


def _resume(trainer: Trainer, ground: Ground, display: Display) -> None:
    """Put a run back to its last checkpoint, or to its start when it was killed before the first one."""
    folder, processes = trainer.plan.folder, trainer.plan.processes
    processes.by_first(lambda: run_folder.tidy(folder))
    if run_folder.has_checkpoint(folder):
        checkpoint = checkpoints.load(folder / run_folder.LAST)
        trainer.resume(checkpoint)
        _warn_of_changes(display, checkpoint.config, trainer.plan.config)
        _warn_of_other_bits(display, checkpoint)
    else:
        display.warn("the run has no checkpoint yet: it begins again")
    if (differing := processes.differing(trainer.progress)) is not None:
        do = "give a --run that all machines share"
        raise DataFault(expected("the same checkpoint in all processes", differing, folder, do))
    processes.by_first(lambda: _go_on(trainer.plan, trainer.progress, ground))


def _go_on(plan: Plan, progress: Progress, ground: Ground) -> None:
    run_folder.cut_metrics(plan.folder, progress.epoch)
    run_folder.log(plan.folder, plan.backend, ground.store)


def _begun(folder: Path) -> Progress:
    """How far an earlier run is."""
    return checkpoints.load(folder / run_folder.LAST).progress if run_folder.has_checkpoint(folder) else Progress()


def _warn_of_changes(display: Display, before: Config, now: Config) -> None:
    """Whoever edits config.toml has a run of two configurations."""
    was = flat(before)
    for field, value in flat(now).items():
        if field not in RESUMABLE and value != was[field]:
            display.warn(f"{field} is {value}, and was {was[field]} so far: its config.toml has been changed")


def _warn_of_other_bits(display: Display, checkpoint: Checkpoint) -> None:
    here = provenance()
    for name in BITS_DEPEND_ON:
        if checkpoint.made_with.get(name) != here[name]:
            was = f"begun with {name} {checkpoint.made_with.get(name)}, this is {here[name]}"
            display.warn(f"{was}: the bits can differ from a run that was never stopped")


def _say(found: Report, trainer: Trainer, display: Display) -> None:
    display.note()
    if found.score is not None:
        low, high = found.score.interval
        held_out = f"galaxies held out: {found.score.galaxies}, views: {Asked().views}"
        display.say(f"RMSE         {found.score.rmse:.4f}  [{low:.4f}, {high:.4f}]  {held_out}")
        display.say(f"mean answer  {found.mean_answer:.4f}  what answering the training mean scores")
    if found.noise_floor is not None:
        display.say(f"noise floor  {found.noise_floor:.4f}  what the true probabilities score")
    display.say(f"report       {found.page}")
    display.say(f"network      {trainer.plan.folder / run_folder.LAST}")
