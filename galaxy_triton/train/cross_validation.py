"""Cross-validation: a run for each fold, and the predictions of each on the galaxies that it did not train on."""

from pathlib import Path

import torch

from galaxy_triton.data.folds import FOLDS, Folds, draw_folds, ids_to_hold_out, read_folds, split_of_fold, write_folds
from galaxy_triton.data.names import warn_of_unknown
from galaxy_triton.data.split import Split
from galaxy_triton.evaluate.scores import worse_than_mean
from galaxy_triton.galaxyzoo.write_tables import write_answers
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import Stopped, UsageFault, command, expected
from galaxy_triton.system.signals import Stop, stop_between_steps
from galaxy_triton.train import finetune
from galaxy_triton.train.fold_summary import PREDICTIONS, fold_folder, summarise, summary_lines, write_summary
from galaxy_triton.train.loop import Trainer
from galaxy_triton.train.options import TrainOptions
from galaxy_triton.train.run import fit, lock_folder, open_folder, report, resume_command
from galaxy_triton.train.session import Session


def cross_validate(options: TrainOptions, display: Display, *, dry_run: bool = False) -> None:
    """Train every fold that is not done, with all processes that were started together, and summarise the predictions.

    dry_run: say what would happen, and write nothing.

    Raises:
        UsageFault, DataFault, Stopped: as `train`; and options that no cross-validation can have.
    """
    require_folds_alone(options)
    with Session.open(options, display, dry_run=dry_run) as session:
        folds = open_folds(session)
        finetune.say_start(session.start, session.folder, folds.ids, session.display)
        if dry_run:
            _say_what_would_happen(session, folds)
            return
        if options.auto_batch:
            session = session.with_largest_batch(split_of_fold(session.store, folds, 1))
        with session.own_folder() as session:
            folder, processes = session.folder, session.processes
            with lock_folder(session, folder, None if options.resume else lambda: _create_folder(session, folds)):
                if options.resume:
                    processes.by_first(lambda: run_folder.repair(folder))
                _train_folds(session, folds)
                processes.by_first(lambda: _summarise(session, folds))


def require_folds_alone(options: TrainOptions) -> None:
    """Raise unless the folds alone choose the validation galaxies.

    Raises:
        UsageFault: --validation is given too.
    """
    if options.validation_ids is not None or "run.validation" in (options.settings or {}):
        do = "leave one of the two out"
        raise UsageFault(expected("folds alone to choose the validation galaxies", "--validation too", "--folds", do))


def open_folds(session: Session) -> Folds:
    """The folds of a session, and a note of them: new ones, or those of the cross-validation that is resumed."""
    options, store = session.options, session.store
    if options.folds is None:
        folds = read_folds(session.folder / FOLDS)
    else:
        folds = draw_folds(ids_to_hold_out(store, options.fold_ids), options.folds, session.config.run.seed)
    session.display.field("folds", f"{folds.count}, of {len(folds.ids)} galaxies to validate on, once each")
    if options.fold_ids is not None:
        warn_of_unknown(options.fold_ids, store, session.display)
    return folds


def fit_fold(session: Session, split: Split, folder: Path, stop: Stop) -> Trainer:
    """Train a fold's run, in all processes alike. folder: of the run; a run that is there is resumed.

    Raises:
        Stopped: a signal asked to stop; every step that was made is saved.
        DataFault: a loss that is not finite, or a folder that cannot be read or written.
    """
    # Code that was compiled for the network of another fold holds its memory, and is counted against a limit.
    torch.compiler.reset()
    trainer = Trainer(session, split, folder)
    with open_folder(trainer, session.processes.agree((folder / run_folder.CONFIG).is_file())):
        fit(trainer, stop)
    return trainer


def _say_what_would_happen(session: Session, folds: Folds) -> None:
    folder, display = session.folder, session.display
    done = sum((fold_folder(folder, number) / PREDICTIONS).is_file() for number in range(1, folds.count + 1))
    left = f"{folds.count - done} of {folds.count} folds" if done else f"{folds.count} folds"
    display.say(f"Would train {left}, {session.config.run.epochs} epochs each, in {folder}")
    display.say("Nothing was written")


def _create_folder(session: Session, folds: Folds) -> None:
    with session.create_run(session.folder) as new:
        write_folds(new / FOLDS, folds, session.store)


def _train_folds(session: Session, folds: Folds) -> None:
    with stop_between_steps(session.display.say) as stop:
        for number in range(1, folds.count + 1):
            split = split_of_fold(session.store, folds, number)
            counts = f"{len(split.train)} to train on, {len(split.validation)} to validate on"
            session.display.note()
            session.display.field("fold", f"{number} of {folds.count}: {counts}")
            _train_fold(session, split, fold_folder(session.folder, number), stop)
            code = max(session.processes.gather(stop.code))
            if code and number < folds.count:
                session.display.say(f"\nStopped after fold {number} and saved. Go on with: {resume_command(session)}")
                raise Stopped(code)


def _train_fold(session: Session, split: Split, folder: Path, stop: Stop) -> None:
    """Train a fold's run, draw its report and predict its validation galaxies, unless that is done."""
    if not session.processes.agree((folder / PREDICTIONS).is_file()):
        trainer = fit_fold(session, split, folder, stop)
        session.processes.by_first(lambda: _write_predictions(trainer))


def _write_predictions(trainer: Trainer) -> None:
    found = report(trainer)
    if found is not None:
        write_answers(trainer.folder / PREDICTIONS, [(found.names, found.predictions)], replace=True)


def _summarise(session: Session, folds: Folds) -> None:
    summary = summarise(session.folder, session.store, folds)
    write_summary(session.folder, summary, session.store, session.config.run.seed)
    session.display.note()
    for line in summary_lines(summary, session.folder):
        session.display.say(line)
    session.display.note(f"next         {command('evaluate', session.folder)}")
    for fold in summary.folds:
        if worse := worse_than_mean(fold.rmse, fold.mean_answer):
            session.display.warn(f"fold {fold.fold}: {worse}")
