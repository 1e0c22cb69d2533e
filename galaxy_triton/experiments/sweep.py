"""A search for a better configuration: trials are drawn and trained over the same folds; poor ones are stopped."""

import math
import shutil
import statistics
from dataclasses import dataclass, replace
from pathlib import Path

from galaxy_triton.config.toml import override
from galaxy_triton.data.folds import Folds, split_of_fold
from galaxy_triton.evaluate.scores import rmse
from galaxy_triton.experiments import sweep_folder
from galaxy_triton.experiments.sweep_space import SPACE, Space, check_space, line, read_space
from galaxy_triton.experiments.sweep_study import COMPLETE, FAILED, PRUNED, RUNNING, Study, Trial, require_optuna
from galaxy_triton.predict.predictor import PredictOptions
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import Diverged, Stopped, UsageFault, expected, out_of_memory
from galaxy_triton.system.processes import require_alone
from galaxy_triton.system.signals import Stop, stop_between_steps
from galaxy_triton.train.cross_validation import fit_fold, open_folds, require_folds_alone
from galaxy_triton.train.loop import Trainer
from galaxy_triton.train.options import TrainOptions, config_of
from galaxy_triton.train.session import Session


@dataclass(frozen=True)
class SweepOptions:
    """Options of `sweep`.

    train: the store, the folds, and the configuration whose fields trials change. trials: of all workers together.
    out: the sweep's folder, None for a new one. space: a TOML file of fields to draw, None for SPACE.
    """

    train: TrainOptions
    trials: int
    out: Path | None = None
    space: Path | None = None


@dataclass(frozen=True)
class Sweep:
    """What the trials of this worker share."""

    session: Session
    space: Space
    folds: Folds
    out: Path
    stop: Stop


def sweep(options: SweepOptions, display: Display, *, dry_run: bool = False) -> None:
    """Try configurations until the sweep's folder has as many trials as are wanted, beside any other workers there.

    dry_run: say what would happen, and write nothing.

    Raises:
        UsageFault: no Optuna, a space or option that cannot be, a folder of another sweep, or several processes.
        DataFault: a store or folder that is missing, damaged or cannot be written.
        Stopped: a signal asked to stop; the trial that ran is marked as failed.
    """
    space = _check(options)
    with Session.open(options.train, display, dry_run=dry_run) as session, stop_between_steps() as stop:
        folds, config = open_folds(session), session.config
        out = options.out or run_folder.new_folder(f"{config.recipe}-sweep")
        identity = sweep_folder.identify(config, space, session.store, folds)
        _announce(session, space, out)
        if dry_run:
            sweep_folder.check(out, identity)
            _say_what_would_happen(session, options.trials, folds, out)
            return
        sweep_folder.create_or_join(out, identity, folds)
        study, here = Study(out, space, config), Sweep(session, space, folds, out, stop)
        while not stop.requested and (trial := study.begin(options.trials)) is not None:
            _try(here, study, trial)
        # even if no trial was left: another worker may have been killed before it wrote its row
        _summarise(_write(here, study), out, display)
        if stop.requested:
            raise Stopped(stop.code)


def _check(options: SweepOptions) -> Space:
    """The space, once it and the options are known to be possible."""
    require_alone("sweep")
    require_optuna()
    if options.train.auto_batch:
        do = "give a number, or draw it: run.batch_size in --space"
        raise UsageFault(expected("the same batches in all trials", "auto", "--batch-size", do))
    require_folds_alone(options.train)
    space = SPACE if options.space is None else read_space(options.space)
    check_space(space, config_of(options.train))
    return space


def _announce(session: Session, space: Space, out: Path) -> None:
    for field, part in space.items():
        session.display.field("space", line(field, part))
    session.display.field("sweep", f"{out}\n")


def _say_what_would_happen(session: Session, trials: int, folds: Folds, out: Path) -> None:
    done = sweep_folder.count_done(out)
    left = f"{max(trials - done, 0)} of {trials}" if done else f"{trials}"
    each = f"{folds.count} folds of {session.config.run.epochs} epochs each"
    session.display.say(f"Would try {left} configurations, {each}, in {out}")
    session.display.say("Nothing was written")


def _try(here: Sweep, study: Study, trial: Trial) -> None:
    """Train a trial and record how it ended, whatever happens."""
    state, folder = FAILED, trial.folder(here.out)
    settings = ", ".join(f"{name} {_short(value)}" for name, value in trial.settings.items())
    display = here.session.display
    display.note(f"trial {trial.number}  {settings}")
    try:
        trial, state = _train(here, study, trial)
    except Stopped:
        display.say(f"\nStopped in trial {trial.number}, which counts as failed. Go on with the same command")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        study.end(trial, state)
        _write(here, study)


def _train(here: Sweep, study: Study, trial: Trial) -> tuple[Trial, str]:
    """The trial with its folds, and how it ended. One that cannot be trained is pruned: it would fail again.

    Raises:
        Stopped: a signal asked to stop.
        DataFault: a file or folder that cannot be read or written.
    """
    try:
        return _train_folds(here, study, trial)
    except Diverged:
        reason = "its loss, or its RMSE, is not finite"
    except UsageFault as fault:
        reason = str(fault)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        reason = "out of memory"
    here.session.display.note(f"  pruned: {reason}")
    return trial, PRUNED


def _train_folds(here: Sweep, study: Study, trial: Trial) -> tuple[Trial, str]:
    display, last = here.session.display, here.folds.count
    session = here.session.with_config(override(here.session.config, trial.settings))
    session = replace(session, display=display.muted())
    for number in range(1, last + 1):
        trial = study.add_fold(trial, _fold_rmse(here, session, number, trial.folder(here.out) / f"fold-{number}"))
        display.note(f"  fold {number}  {trial.folds[-1]:.4f}  mean {trial.mean():.4f}")
        if number < last and study.is_poor(trial):
            display.note("  pruned: above the median of other trials over these folds")
            return trial, PRUNED
        if number < last and here.stop.requested:
            raise Stopped(here.stop.code)
    return trial, COMPLETE


def _fold_rmse(here: Sweep, session: Session, number: int, folder: Path) -> float:
    """The RMSE of a fold's run; its network is freed before the next fold.

    Raises:
        Diverged: the loss or the RMSE is not finite.
    """
    split = split_of_fold(session.store, here.folds, number)
    found = _validation_rmse(fit_fold(session, split, folder, here.stop))
    if not math.isfinite(found):
        raise Diverged(expected("a finite RMSE", found, folder, "lower optimiser.lr"))
    return found


def _validation_rmse(trainer: Trainer) -> float:
    """As `evaluate` scores by default."""
    galaxies, rows, asking = trainer.session.galaxies, trainer.validation_rows, PredictOptions()
    answers = trainer.learner.predictor().answer(galaxies, rows, asking.views, asking.batch_size, lambda done: None)
    return rmse(answers, galaxies.answers[rows].cpu().numpy())


def _write(here: Sweep, study: Study) -> list[Trial]:
    """All trials so far, once their table and the best configuration are written."""
    with study.locked():
        trials = study.trials()
        sweep_folder.write(here.out, trials, here.session.config, here.space, here.folds.count)
    return trials


def _summarise(trials: list[Trial], out: Path, display: Display) -> None:
    states = [trial.state for trial in trials]
    running = f", {states.count(RUNNING)} running" * (RUNNING in states)
    ended = f"{states.count(COMPLETE)} complete, {states.count(PRUNED)} pruned, {states.count(FAILED)} failed"
    display.result("trials", f"{ended}{running}")
    if (best := sweep_folder.find_best(trials)) is not None:
        means = sorted(trial.mean() for trial in trials if trial.state == COMPLETE)
        deviation = f"± {statistics.stdev(best.folds):.4f}, mean and standard deviation over {len(best.folds)} folds"
        display.result("best", f"{best.mean():.4f}  {deviation}, trial {best.number}")
        display.result("spread", f"{means[0]:.4f} to {means[-1]:.4f}, median {statistics.median(means):.4f}")
        display.note("             the best of several flatters: score it on galaxies that no trial was judged by")
        display.result("config", out / sweep_folder.BEST)
    display.result("table", out / sweep_folder.TRIALS)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
