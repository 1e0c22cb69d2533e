"""Cross-validation: a run for each fold, and the predictions of each on the galaxies that it did not train on."""

from pathlib import Path

import torch

from galaxy_triton.data.folds import FOLDS, Folds, draw_folds, ids_to_hold_out, read_folds, split_of_fold, write_folds
from galaxy_triton.data.split import Split
from galaxy_triton.galaxyzoo.write_tables import write_answers
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import Stopped, UsageFault, expected
from galaxy_triton.system.signals import Stop, stop_between_steps
from galaxy_triton.train import finetune
from galaxy_triton.train.fold_summary import FoldResult, lines, result_of, summarise, write_summary
from galaxy_triton.train.loop import Trainer
from galaxy_triton.train.options import TrainOptions
from galaxy_triton.train.run import fit, lock_folder, open_folder, report, resume_command
from galaxy_triton.train.session import Session

HELD_OUT = "held_out.csv"  # predictions of a fold, in the folder of its run: there once the fold is done


def cross_validate(options: TrainOptions, display: Display, *, dry_run: bool = False) -> None:
    """Train every fold that is not done, with all processes that were started together, and summarise the predictions.

    dry_run: say what would happen, and write nothing.

    Raises:
        UsageFault, DataFault, Stopped: as `train`; and options that no cross-validation can have.
    """
    require_folds_alone(options)
    with Session.open(options, display, dry_run=dry_run) as session:
        folds = folds_of(session)
        _announce(session, folds)
        if dry_run:
            _say_what_would_happen(session, folds)
            return
        if options.auto_batch:
            session = session.with_largest_batch(split_of_fold(session.store, folds, 1))
        folder, processes = session.folder, session.processes
        with lock_folder(session, folder, None if options.resume else lambda: _create_folder(session, folds)):
            if options.resume:
                processes.by_first(lambda: run_folder.repair(folder))
            results = _train_folds(session, folds)
            if processes.first:
                _summarise(session, results)


def require_folds_alone(options: TrainOptions) -> None:
    """Raise unless the folds alone hold galaxies out.

    Raises:
        UsageFault: --validation is given too.
    """
    if options.validation_ids is not None or "run.validation" in (options.settings or {}):
        do = "leave one of the two out"
        raise UsageFault(expected("folds alone to hold galaxies out", "--validation too", "--folds", do))


def folds_of(session: Session) -> Folds:
    """The folds of a session: those of the cross-validation that is resumed, or new ones."""
    options, store = session.options, session.store
    if options.folds is None:
        return read_folds(session.folder / FOLDS)
    return draw_folds(ids_to_hold_out(store, options.fold_ids), options.folds, session.config.run.seed)


def train_fold(session: Session, split: Split, folder: Path, stop: Stop, command: str) -> FoldResult:
    """Train a fold's run and predict its validation galaxies; in all processes alike.

    Args:
        folder: of the run. A run that is there is resumed; of one that is done the predictions are read.
        command: resumes after a stop.

    Raises:
        Stopped: a signal asked to stop; every step that was made is saved.
        DataFault: a loss that is not finite, or a folder that cannot be read or written.
    """
    processes = session.processes
    if not processes.agree((folder / HELD_OUT).is_file()):
        trainer = fit_fold(session, split, folder, stop, command)
        processes.by_first(lambda: _write_predictions(trainer))
    return processes.by_first(lambda: result_of(folder / HELD_OUT, session.store, split))


def fit_fold(session: Session, split: Split, folder: Path, stop: Stop, command: str) -> Trainer:
    """Train a fold's run; as `train_fold`, without predicting.

    Raises:
        Stopped, DataFault: as `train_fold`.
    """
    # Code that was compiled for the network of another fold holds its memory, and is counted against a limit.
    torch.compiler.reset()
    trainer = Trainer(session, split, folder)
    with open_folder(trainer, session.processes.agree((folder / run_folder.CONFIG).is_file())):
        fit(trainer, stop, command)
    return trainer


def _announce(session: Session, folds: Folds) -> None:
    session.display.field("folds", f"{folds.count}, of {len(folds.ids)} galaxies to be held out once each")
    if session.options.fold_ids is not None:
        session.warn_of_unknown_ids(session.options.fold_ids)
    finetune.say_start(session.start, session.folder, folds.ids, session.display)


def _say_what_would_happen(session: Session, folds: Folds) -> None:
    folder, display = session.folder, session.display
    done = sum((_fold_folder(folder, number) / HELD_OUT).is_file() for number in range(1, folds.count + 1))
    left = f"{folds.count - done} of {folds.count} folds" if done else f"{folds.count} folds"
    display.say(f"Would train {left}, {session.config.run.epochs} epochs each, in {folder}")
    display.say("Nothing was written")


def _create_folder(session: Session, folds: Folds) -> None:
    with run_folder.create_run(
        session.folder, session.config, session.backend, session.store, session.truth_table
    ) as new:
        write_folds(new / FOLDS, folds)
        finetune.save_start(new, session.start)


def _train_folds(session: Session, folds: Folds) -> list[FoldResult]:
    command, display, results = resume_command(session), session.display, []
    with stop_between_steps() as stop:
        for number in range(1, folds.count + 1):
            split = split_of_fold(session.store, folds, number)
            counts = f"{len(split.train)} to train on, {len(split.validation)} held out"
            display.note()
            display.field("fold", f"{number} of {folds.count}: {counts}")
            results.append(train_fold(session, split, _fold_folder(session.folder, number), stop, command))
            code = max(session.processes.gather(stop.code))
            if code and number < folds.count:
                display.say(f"\nStopped after fold {number} and saved. Go on with: {command}")
                raise Stopped(code)
    return results


def _write_predictions(trainer: Trainer) -> None:
    """Draw the report of a fold, and write its predictions."""
    found = report(trainer).findings
    if found is not None:
        write_answers(trainer.folder / HELD_OUT, [(found.names, found.predictions)])


def _summarise(session: Session, results: list[FoldResult]) -> None:
    summary = summarise(results, session.store)
    write_summary(session.folder, summary, session.store, session.config.run)
    session.display.note()
    for line in lines(summary, session.folder):
        session.display.say(line)


def _fold_folder(folder: Path, number: int) -> Path:
    return folder / f"fold-{number}"
