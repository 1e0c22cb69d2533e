"""Cross-validation: a run for each fold, and the answers that each gives to the galaxies it did not train on."""

import os
from pathlib import Path

import torch

from galaxy_triton.config.schema import Config
from galaxy_triton.data.folds import FOLDS, Folds, draw_folds, ids_to_hold_out, read_folds, split_of_fold, write_folds
from galaxy_triton.data.names import names_of
from galaxy_triton.data.split import Split
from galaxy_triton.data.store import Store
from galaxy_triton.galaxyzoo.write_tables import write_answers
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.simulation.first_run import advising
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import Stopped, UsageFault, expected
from galaxy_triton.system.processes import Processes, from_environment, join_processes
from galaxy_triton.system.signals import Stop, stop_between_steps
from galaxy_triton.train import finetune
from galaxy_triton.train.fold_summary import FoldResult, lines, result_of, summarise, write_summary
from galaxy_triton.train.loop import Trainer
from galaxy_triton.train.options import Proposal, TrainOptions, configured, open_galaxies, propose
from galaxy_triton.train.run import begun, fit, report, taken
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

HELD_OUT = "held_out.csv"  # a fold's answers, in the folder of its run: there once it is done


def is_asked(request: TrainOptions) -> bool:
    """Whether a request is for a cross-validation: a new one, or one to go on with."""
    kept = request.run is not None and (request.run / FOLDS).is_file()
    return request.folds is not None or (request.resume and kept)


def cross_validate(request: TrainOptions, display: Display) -> None:
    """Train every fold that is not done, with all processes that were started together, and put their answers together.

    Raises:
        UsageFault, DataFault, Stopped: as `launch`; and choices that no cross-validation can have.
    """
    with join_processes(configured(request).run.device) as processes:
        _cross_validate(request, processes, display if processes.first else display.muted())


def describe(request: TrainOptions, display: Display) -> None:
    """Say what `cross_validate` would do, and write nothing.

    Raises:
        UsageFault, DataFault: as `cross_validate` would before the first step.
    """
    here = from_environment(os.environ)
    display = display if here.first else display.muted()
    proposal = checked(request, here)
    if (sky := sky_to_draw(proposal)) is not None:
        say_sky_to_draw(sky, display)
        say_choices(proposal, display)
    else:
        store = open_galaxies(request, proposal)
        _announce(request, proposal, store, _folds(request, proposal.config, store), here, display)
        settled_residence(proposal, store, here, display)
    count = request.folds or read_folds(proposal.folder / FOLDS).count
    done = [number for number in range(1, count + 1) if (_fold(proposal.folder, number) / HELD_OUT).is_file()]
    left = f"{count - len(done)} of {count} folds" if done else f"{count} folds"
    display.say(f"Would train {left}, {proposal.config.run.epochs} epochs each, in {proposal.folder}")
    display.say("Nothing was written")


def checked(request: TrainOptions, here: Processes) -> Proposal:
    """What a request comes to, once it is clear that folds can have it.

    Raises:
        UsageFault, DataFault: as `propose`, and choices that no cross-validation can have.
    """
    if request.held_out is not None or "run.validation" in (request.settings or {}):
        do = "leave one of the two out"
        raise UsageFault(expected("folds alone to hold galaxies out", "--validation too", "--folds", do))
    if request.profile is not None:
        do = "leave one of the two out"
        raise UsageFault(expected("one run to record", "several", "--profile and --folds", do))
    return propose(request, here.count)


def train_fold(ground: Ground, split: Split, folder: Path, stop: Stop, go_on: str, display: Display) -> FoldResult:
    """Train a run on one part of a split and ask it about the other; in all processes alike.

    Args:
        folder: of the run. One that was begun there is gone on with; of one that is done the answers are read.
        go_on: the command that goes on after a stop.

    Raises:
        Stopped: someone asked to stop first; what was done is saved.
        DataFault: a loss that is not finite, or a folder that cannot be read or written.
    """
    processes = ground.processes
    if not processes.agree((folder / HELD_OUT).is_file()):
        trainer = fitted(ground, split, folder, stop, go_on, display)
        processes.by_first(lambda: _keep_answers(trainer, ground, display))
    return processes.by_first(lambda: result_of(folder / HELD_OUT, ground.store, split))


def fitted(ground: Ground, split: Split, folder: Path, stop: Stop, go_on: str, display: Display) -> Trainer:
    """Train a run on one part of a split; as `train_fold`, without asking it.

    Raises:
        Stopped, DataFault: as `train_fold`.
    """
    # Code that was compiled for the network of another fold holds its memory, and is counted against a limit.
    torch.compiler.reset()
    trainer = Trainer(ground.plan(split, folder))
    with begun(trainer, ground, ground.processes.agree((folder / run_folder.CONFIG).is_file()), display):
        fit(trainer, stop, go_on, display)
    return trainer


def _cross_validate(request: TrainOptions, processes: Processes, display: Display) -> None:
    proposal = agreed(checked(request, processes), processes)
    draw_sky(proposal, display)
    with advising(proposal.demo):
        store = open_galaxies(request, proposal)
        folds = _folds(request, proposal.config, store)
        _announce(request, proposal, store, folds, processes, display)
        ground = lay(proposal, store, processes, display)
        if request.fit_batch:
            ground = with_largest_batch(ground, split_of_fold(store, folds, 1, proposal.config.run.repeat), display)
    folder = proposal.folder
    with taken(folder, processes, None if request.resume else lambda: _start(folder, ground, folds), display):
        if request.resume:
            processes.by_first(lambda: run_folder.tidy(folder))
        results = _train_folds(ground, folds, folder, display)
        if processes.first:
            _summarise(results, ground, folder, display)


def _folds(request: TrainOptions, config: Config, store: Store) -> Folds:
    if request.folds is None and request.run is not None:
        return read_folds(request.run / FOLDS)
    return draw_folds(ids_to_hold_out(store, request.fold_ids), request.folds or 0, config.run.seed)


def _announce(
    request: TrainOptions, proposal: Proposal, store: Store, folds: Folds, here: Processes, display: Display
) -> None:
    say_choices(proposal, display)
    say_processes(here, display)
    display.note(f"{'folds':<10} {folds.count}, of {len(folds.ids)} galaxies to be held out once each")
    if request.fold_ids is not None:
        warn_of_unknown(request.fold_ids, store, display)
    finetune.say_start(proposal.start, proposal.folder, folds.ids, display)


def _start(folder: Path, ground: Ground, folds: Folds) -> None:
    with run_folder.laid_out(folder, ground.config, ground.backend, ground.store, ground.truth_table) as new:
        write_folds(new / FOLDS, folds)
        finetune.keep(new, ground.start)


def _train_folds(ground: Ground, folds: Folds, folder: Path, display: Display) -> list[FoldResult]:
    go_on, results = f"galaxy-triton train {ground.store.path} --run {folder} --resume", []
    with stop_between_steps() as stop:
        for number in range(1, folds.count + 1):
            split = split_of_fold(ground.store, folds, number, ground.config.run.repeat)
            _say_fold(number, folds.count, split, ground.config.run.repeat, display)
            results.append(train_fold(ground, split, _fold(folder, number), stop, go_on, display))
            code = max(ground.processes.gather(stop.code))
            if code and number < folds.count:
                display.say(f"\nStopped after fold {number} and saved. Go on with: {go_on}")
                raise Stopped(code)
    return results


def _summarise(results: list[FoldResult], ground: Ground, folder: Path, display: Display) -> None:
    summary = summarise(results, ground.store)
    write_summary(folder, summary, ground.store, ground.config.run)
    display.note()
    for line in lines(summary, folder):
        display.say(line)


def _fold(folder: Path, number: int) -> Path:
    """Where the run of a fold lies."""
    return folder / f"fold-{number}"


def _keep_answers(trainer: Trainer, ground: Ground, display: Display) -> None:
    """Draw the report of a fold, and write what it answers."""
    plan, found = trainer.plan, report(trainer, ground, display)
    if found.answers is not None:
        names = names_of(ground.store)
        write_answers(plan.folder / HELD_OUT, [([names[row] for row in plan.split.validation], found.answers)])


def _say_fold(number: int, count: int, split: Split, repeat: int, display: Display) -> None:
    repeated = f", {len(split.repeated)} of them {repeat} times" * bool(len(split.repeated))
    numbers = f"{len(split.train)} to train on{repeated}, {len(split.validation)} held out"
    display.note(f"\n{'fold':<10} {number} of {count}: {numbers}")
