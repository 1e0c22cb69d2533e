"""A search for a better configuration: trials are drawn and trained over the same folds; poor ones are stopped."""

import math
import shlex
import statistics
import textwrap
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from optuna.trial import FrozenTrial, Trial, TrialState

from galaxy_triton.config.toml import override
from galaxy_triton.data.folds import Folds, split_of_fold
from galaxy_triton.evaluate.scores import rmse
from galaxy_triton.experiments import sweep_folder
from galaxy_triton.experiments.sweep_space import SPACE, Space, check_space, line, read_space
from galaxy_triton.experiments.sweep_study import Study, find_best, folds_of
from galaxy_triton.predict.predictor import PredictOptions
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.system.console import Display, duration
from galaxy_triton.system.errors import Diverged, Stopped, UsageFault, command, expected, out_of_memory
from galaxy_triton.system.processes import require_alone
from galaxy_triton.system.signals import Stop, stop_between_steps
from galaxy_triton.train.cross_validation import fit_fold, open_folds, require_folds_alone
from galaxy_triton.train.loop import Trainer
from galaxy_triton.train.options import TrainOptions, config_of
from galaxy_triton.train.session import Session

WIDTH = 80  # letters of a line that lists a trial's fields


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


def sweep(options: SweepOptions, display: Display, *, dry_run: bool = False) -> None:
    """Try configurations until the sweep's folder has as many trials as are wanted, beside any other workers there.

    dry_run: say what would happen, and write nothing.

    Raises:
        UsageFault: a space or option that cannot be, a folder of another sweep, or several processes.
        DataFault: a store or folder that is missing, damaged or cannot be written.
        Stopped: a signal asked to stop; the trial that ran is marked as failed.
    """
    space = _check(options)
    with Session.open(options.train, display, dry_run=dry_run) as session, stop_between_steps(display.say) as stop:
        folds, config = open_folds(session), session.config
        find_folder = run_folder.new_folder if dry_run else run_folder.reserve_folder
        out = options.out or find_folder(f"{config.recipe}-sweep")
        identity = sweep_folder.identify(config, space, session.store, folds)
        _announce(session, space, out)
        if dry_run:
            sweep_folder.check(out, identity)
            each = f"{folds.count} folds of {config.run.epochs} epochs each"
            display.say(f"Would try configurations, {each}, until {out} has {options.trials} of them")
            display.say("Nothing was written")
            return
        sweep_folder.create_or_join(out, identity, folds, session.store)
        study = Study(out, space, config)
        while not stop.requested and (trial := study.begin(options.trials)) is not None:
            _try(session, folds, study, trial, stop)
        # even if no trial was left: another worker may have been killed before it wrote its row
        _summarise(_write(study, folds), out, session)
        if stop.requested:
            display.say(f"Stopped. Go on with the same command and {shlex.join(('--out', str(out)))}")
            raise Stopped(stop.code)


def _check(options: SweepOptions) -> Space:
    """The space, once it and the options are known to be possible."""
    require_alone("sweep")
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


def _try(session: Session, folds: Folds, study: Study, trial: Trial, stop: Stop) -> None:
    """Train a trial and record how it ended, whatever happens. One that cannot be trained would fail again: it is
    pruned."""
    state, why, display = TrialState.FAIL, "", session.display
    settings = ", ".join(f"{name} {_short(value)}" for name, value in trial.params.items())
    for text in textwrap.wrap(f"trial {trial.number}  {settings}", WIDTH, subsequent_indent="  "):
        display.note(text)
    try:
        state, why = _train_folds(session, folds, study, trial, stop)
    except (Stopped, KeyboardInterrupt):  # which comes only after a request to stop
        display.say(f"\nStopped in trial {trial.number}, which counts as failed")
    except Diverged:
        state, why = TrialState.PRUNED, "its loss, or its RMSE, is not finite"
    except UsageFault as fault:
        state, why = TrialState.PRUNED, str(fault)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        state, why = TrialState.PRUNED, "out of memory"
    finally:
        if why:
            display.note(f"  pruned: {why}")
        study.end(trial, state)
        _write(study, folds)


def _train_folds(session: Session, folds: Folds, study: Study, trial: Trial, stop: Stop) -> tuple[TrialState, str]:
    """How the trial ended, and why if it was pruned."""
    changed = session.with_config(override(session.config, trial.params))
    changed = replace(changed, display=session.display.muted())
    errors, started = list[float](), time.perf_counter()
    for number in range(1, folds.count + 1):
        folder = study.folder_of(trial) / f"fold-{number}"
        split = split_of_fold(session.store, folds, number)
        # Without a name for the trainer: its network is freed before the next fold.
        errors.append(_validation_rmse(fit_fold(changed, split, folder, stop)))
        poor = study.add_fold(trial, errors)
        mean, took = statistics.fmean(errors), duration((time.perf_counter() - started) / number)
        session.display.note(f"  fold {number} of {folds.count}  {errors[-1]:.4f}  mean {mean:.4f}  {took} a fold")
        if number < folds.count and poor:
            return TrialState.PRUNED, "above the median of other trials over these folds"
        if number < folds.count and stop.requested:
            raise Stopped(stop.code)
    return TrialState.COMPLETE, ""


def _validation_rmse(trainer: Trainer) -> float:
    """As `evaluate` scores by default.

    Raises:
        Diverged: it is not finite.
    """
    galaxies, rows, asking = trainer.session.galaxies, trainer.validation_rows, PredictOptions()
    answers = trainer.learner.predictor().answer(galaxies, rows, asking.views, asking.batch_size, lambda done: None)
    found = rmse(answers, galaxies.answers[rows].cpu().numpy())
    if not math.isfinite(found):
        raise Diverged(expected("a finite RMSE", found, trainer.folder, "lower optimiser.lr"))
    return found


def _write(study: Study, folds: Folds) -> list[FrozenTrial]:
    """All trials so far, once their table and the best configuration are written."""
    with study.locked():
        trials = study.trials()
        sweep_folder.write(study.out, trials, study.config, study.space, folds.count)
    return trials


def _summarise(trials: list[FrozenTrial], out: Path, session: Session) -> None:
    display = session.display
    counts = Counter(trial.state.name.lower() for trial in trials)
    running = f", {counts['running']} running" if counts["running"] else ""
    ended = f"{counts['complete']} complete, {counts['pruned']} pruned, {counts['fail']} failed"
    display.result("trials", f"{ended}{running}")
    display.result("table", out / sweep_folder.TRIALS)
    if (best := find_best(trials)) is not None:
        means = [statistics.fmean(folds_of(trial)) for trial in trials if trial.state == TrialState.COMPLETE]
        deviation = f"± {statistics.stdev(folds_of(best)):.4f}, mean and standard deviation over its folds"
        display.result("best", f"{min(means):.4f}  {deviation}, trial {best.number}")
        display.result("spread", f"{min(means):.4f} to {max(means):.4f}, median {statistics.median(means):.4f}")
        display.note("             the best of several flatters: score it on galaxies that no trial was judged by")
        display.result("config", out / sweep_folder.BEST)
        display.note(f"next         {command('train', session.store.path, '--config', out / sweep_folder.BEST)}")


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
