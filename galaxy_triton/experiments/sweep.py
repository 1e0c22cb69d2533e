"""A search for a better configuration: trials are drawn, and trained over the same folds; poor ones are stopped."""

import math
import shutil
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from galaxy_triton.config.toml import override
from galaxy_triton.data.folds import Folds, split_of_fold
from galaxy_triton.evaluate.scores import rmse
from galaxy_triton.experiments.sweep_folder import BEST, TRIALS, best_of, check_joinable, join, write
from galaxy_triton.experiments.sweep_space import SPACE, Space, check_space, line, read_space
from galaxy_triton.experiments.sweep_study import (
    COMPLETE,
    FAILED,
    PRUNED,
    RUNNING,
    Study,
    Trial,
    counted,
    held,
    require_optuna,
    trials_in,
)
from galaxy_triton.predict.predictor import Asking
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import Diverged, Stopped, UsageFault, expected, out_of_memory
from galaxy_triton.system.processes import require_alone
from galaxy_triton.system.signals import Stop, stop_between_steps
from galaxy_triton.train.cross_validation import fit_fold, folds_of, require_folds_alone
from galaxy_triton.train.loop import Trainer
from galaxy_triton.train.options import TrainOptions, config_of
from galaxy_triton.train.session import Session


@dataclass(frozen=True)
class Asked:
    """What `sweep` is asked for.

    request: the store, the configuration that trials depart from, and the folds, as `train` takes them. trials: of all
    workers and starts. out: the folder, None for a new one. space: a TOML file, None for SPACE.
    """

    request: TrainOptions
    trials: int
    out: Path | None = None
    space: Path | None = None


@dataclass(frozen=True)
class Plan:
    """What comes of it, before any pixel is read."""

    asked: Asked
    session: Session
    space: Space
    folds: Folds
    out: Path


@dataclass(frozen=True)
class Worker:
    """What tries trials here."""

    plan: Plan
    study: Study
    stop: Stop
    display: Display


def sweep(asked: Asked, display: Display) -> None:
    """Try configurations until the folder's study has as many as are wanted, beside any other workers there.

    Raises:
        UsageFault: no Optuna, a space or choice that cannot be, a folder of another sweep, or several processes.
        DataFault: a store that is not what it should be, or a folder that cannot be written.
        Stopped: someone asked to stop; the trial that ran is marked as failed.
    """
    with _planned(asked, display) as plan:
        session, out = plan.session, plan.out
        join(out, session.config, plan.space, session.store, plan.folds)
        study = Study(out, plan.space, session.config)
        with stop_between_steps() as stop:
            worker = Worker(plan, study, stop, display)
            while not stop.requested and (trial := study.begin(asked.trials)) is not None:
                _try(worker, trial)
        # though none was tried: the last worker may have been killed before it wrote its row
        _summarise(_written(plan, study), plan, display)
        if stop.requested:
            raise Stopped(stop.code)


def describe(asked: Asked, display: Display) -> None:
    """Say what `sweep` would do, and write nothing.

    Raises:
        UsageFault, DataFault: as `sweep` would before the first trial.
    """
    with _planned(asked, display, dry_run=True) as plan:
        config = plan.session.config
        check_joinable(plan.out, config, plan.space, plan.session.store, plan.folds)
        done = len(counted(trials_in(plan.out)))
        left = f"{max(asked.trials - done, 0)} of {asked.trials}" if done else f"{asked.trials}"
        folds = f"{plan.folds.count} folds of {config.run.epochs} epochs each"
        display.say(f"Would try {left} configurations, {folds}, in {plan.out}")
        display.say("Nothing was written")


@contextmanager
def _planned(asked: Asked, display: Display, dry_run: bool = False) -> Iterator[Plan]:
    require_alone("sweep")
    require_optuna()
    if asked.request.auto_batch:
        do = "give a number, or draw it: run.batch_size in --space"
        raise UsageFault(expected("the same batches in all trials", "auto", "--batch-size", do))
    require_folds_alone(asked.request)
    space = SPACE if asked.space is None else read_space(asked.space)
    check_space(space, config_of(asked.request))
    with Session.open(asked.request, display, dry_run=dry_run) as session:
        folds = folds_of(session)
        out = asked.out or run_folder.new_folder(f"{session.config.recipe}-sweep")
        plan = Plan(asked, session, space, folds, out)
        _announce(plan, display)
        yield plan


def _announce(plan: Plan, display: Display) -> None:
    display.note(f"{'folds':<10} {plan.folds.count}, of {len(plan.folds.ids)} galaxies to be held out once each")
    if plan.asked.request.fold_ids is not None:
        plan.session.warn_of_unknown_ids(plan.asked.request.fold_ids)
    for field, part in plan.space.items():
        display.note(f"{'space':<10} {line(field, part)}")
    display.note(f"{'sweep':<10} {plan.out}\n")


def _try(worker: Worker, trial: Trial) -> None:
    """Train a trial over the folds, and keep what came of it, whatever that is."""
    plan, state = worker.plan, FAILED
    folder = trial.folder(plan.out)
    worker.display.note(
        f"trial {trial.number}  " + ", ".join(f"{name} {_short(value)}" for name, value in trial.settings.items())
    )
    try:
        state = _state(worker, trial, folder)
    except Stopped:
        worker.display.say(f"\nStopped in trial {trial.number}, which counts as failed. Go on with the same command")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        worker.study.end(state)
        _written(plan, worker.study)


def _written(plan: Plan, study: Study) -> list[Trial]:
    """All trials so far, once the table of them and the best are in the folder."""
    with held(plan.out):
        trials = study.trials()
        write(plan.out, trials, plan.session.config, plan.space, plan.folds.count)
    return trials


def _state(worker: Worker, trial: Trial, folder: Path) -> str:
    """How a trial ends that comes to an end. One that cannot be trained is pruned: drawn again it would fail again.

    Raises:
        Stopped: someone asked to stop.
        DataFault: a file or folder that cannot be read or written.
    """
    try:
        return _over_folds(worker, trial, folder)
    except Diverged:
        reason = "its loss, or its RMSE, is not finite"
    except UsageFault as fault:
        reason = str(fault)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        reason = "out of memory"
    worker.display.note(f"  pruned: {reason}")
    return PRUNED


def _over_folds(worker: Worker, trial: Trial, folder: Path) -> str:
    """COMPLETE, or PRUNED where other trials do better.

    Raises:
        Stopped, DataFault: as `_state`.
        UsageFault, RuntimeError, MemoryError: what was drawn cannot be trained here.
    """
    folds, session = worker.plan.folds, worker.plan.session
    session = session.with_config(override(session.config, trial.settings))
    for number in range(1, folds.count + 1):
        trial = worker.study.add_fold(_fold_rmse(worker, session, number, folder / f"fold-{number}"))
        worker.display.note(f"  fold {number}  {trial.folds[-1]:.4f}  mean {trial.mean():.4f}")
        if number < folds.count and worker.study.is_poor():
            worker.display.note("  pruned: above the median of others over these folds")
            return PRUNED
        if number < folds.count and worker.stop.requested:
            raise Stopped(worker.stop.code)
    return COMPLETE


def _fold_rmse(worker: Worker, session: Session, number: int, folder: Path) -> float:
    """Train on a fold's galaxies and score the others; no network stays in memory beside the next fold's.

    Raises:
        Diverged: the loss or the score is not finite.
        Stopped, DataFault: as `_state`.
    """
    split = split_of_fold(session.store, worker.plan.folds, number)
    muted = replace(session, display=worker.display.muted())
    found = _held_out_rmse(fit_fold(muted, split, folder, worker.stop, ""))
    if not math.isfinite(found):
        raise Diverged(expected("a finite RMSE", found, folder, "lower optimiser.lr"))
    return found


def _held_out_rmse(trainer: Trainer) -> float:
    galaxies, asking = trainer.session.galaxies, Asking()  # as `evaluate` asks
    predictor = trainer.learner.predictor()
    answers = predictor.answer(galaxies, trainer.validation_rows, asking.views, asking.batch_size, lambda done: None)
    return rmse(answers, galaxies.answers[trainer.validation_rows].cpu().numpy())


def _summarise(trials: list[Trial], plan: Plan, display: Display) -> None:
    count = {state: sum(trial.state == state for trial in trials) for state in (COMPLETE, PRUNED, FAILED, RUNNING)}
    display.say(f"trials       {count[COMPLETE]} complete, {count[PRUNED]} pruned, {count[FAILED]} failed")
    for trial in trials:
        if trial.state == RUNNING and trial.worker is not None:
            display.say(f"running      trial {trial.number}, by process {trial.worker[1]} of {trial.worker[0]}")
    best, means = best_of(trials), sorted(trial.mean() for trial in trials if trial.state == COMPLETE)
    if best is not None:
        spread = f"{means[0]:.4f} to {means[-1]:.4f}, median {statistics.median(means):.4f}: complete trials' means"
        deviation = f"± {statistics.stdev(best.folds):.4f}, mean and standard deviation over {len(best.folds)} folds"
        display.say(f"best         {best.mean():.4f}  {deviation}, trial {best.number}")
        display.say(f"spread       {spread}")
        display.note("             the best of several flatters: score it on galaxies that no trial was judged by")
        display.say(f"config       {plan.out / BEST}")
    display.say(f"table        {plan.out / TRIALS}")


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
