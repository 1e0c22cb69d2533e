"""The trials of a sweep in Optuna's journal, which any number of workers share; the one module that knows Optuna."""

import os
import shutil
import statistics
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from galaxy_triton.config.schema import Config
from galaxy_triton.experiments.sweep_space import Range, Space, is_whole
from galaxy_triton.system.errors import DataFault, UsageFault, expected
from galaxy_triton.system.lock import hold_lock

JOURNAL, LOCK = "journal.log", "journal.held"
WAIT = 300  # seconds, for another worker to release a lock
COMPLETE, PRUNED, FAILED, RUNNING, WAITING = "complete", "pruned", "fail", "running", "waiting"  # Optuna's, lower case
JUDGES = 5  # trials with as many folds that it takes to judge another
FOLDS = "folds"  # the attribute of a trial that holds the RMSE of each fold


@dataclass(frozen=True)
class Trial:
    """A configuration that is tried. settings: dotted fields -> values. folds: the RMSE of each fold so far."""

    number: int
    state: str
    settings: dict[str, Any]
    folds: tuple[float, ...] = ()

    def mean(self, folds: int | None = None) -> float:
        """The mean RMSE of the first `folds` folds, or of all so far."""
        return statistics.fmean(self.folds[:folds])

    def folder(self, out: Path) -> Path:
        """Where the trial's runs lie in the sweep's folder while it is tried."""
        return out / f"trial-{self.number}"

    def lock(self, out: Path) -> Path:
        """The file that the process of the trial's worker locks until the trial, or the process, ends."""
        return out / f"trial-{self.number}.held"


class Study:
    """The trials in a sweep's folder. A worker tries one trial at a time.

    Raises:
        UsageFault: Optuna is not installed.
        DataFault: the journal is damaged or cannot be written, or another worker does not release it; so every method.
    """

    def __init__(self, out: Path, space: Space, config: Config) -> None:
        # Optuna's lock links to the journal's path, which must lead there from the lock's own folder.
        self.out, self.space, self.config = out.resolve(), space, config
        self._optuna = require_optuna()
        self._optuna.logging.set_verbosity(self._optuna.logging.WARNING)
        self._own: Any = None  # Optuna's object of this worker's trial
        self._alive = ExitStack()  # holds the lock of this worker's trial
        journals = self._optuna.storages.journal
        with self.locked(), self._reading():
            storage = journals.JournalStorage(journals.JournalFileBackend(str(self.out / JOURNAL)))
            self._study = self._optuna.create_study(storage=storage, study_name="sweep", load_if_exists=True)

    def begin(self, wanted: int) -> Trial | None:
        """A new trial; None if `wanted` trials are running or have ended without failing.

        A trial that failed is tried again first. Another depends on run.seed, on how many have been drawn and on those
        that have ended, so that a sweep that was stopped draws what it would have drawn.
        """
        with self.locked():
            self._fail_lost()
            if sum(trial.state != FAILED for trial in self.trials()) >= wanted:
                return None
            self._study.sampler = self._sampler()
            self._own = self._study.ask(self._distributions())
            trial = Trial(self._own.number, RUNNING, self._own.params)
            self._alive.enter_context(hold_lock(trial.lock(self.out), WAIT, "trial", "give another --out"))
        return trial

    def add_fold(self, trial: Trial, rmse: float) -> Trial:
        """This worker's trial with the RMSE of its next fold, once that is in the journal."""
        trial = replace(trial, folds=(*trial.folds, rmse))
        with self.locked():
            self._own.set_user_attr(FOLDS, trial.folds)
            self._own.report(trial.mean(), len(trial.folds))
        return trial

    def is_poor(self, trial: Trial) -> bool:
        """Whether the trial's mean RMSE is above the median of other trials' over the same folds.

        The median rule of Google Vizier (Golovin et al. 2017, section 3.2.2) on paired means. Optuna's MedianPruner
        takes the lowest mean so far instead, which an easy first fold sets for good; its WilcoxonPruner cannot reach
        5 % before the fifth fold.
        """
        count = len(trial.folds)
        others = [other for other in self.trials() if other.number != trial.number and other.state != FAILED]
        means = [other.mean(count) for other in others if len(other.folds) >= count]
        return len(means) >= JUDGES and trial.mean() > statistics.median(means)

    def end(self, trial: Trial, state: str) -> None:
        """End this worker's trial as COMPLETE, PRUNED or FAILED; one that failed waits to be tried again."""
        with self.locked():
            self._tell(trial, state)
        self._alive.close()
        trial.lock(self.out).unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Inside the block no other worker writes, and the journal ends with a whole line."""
        with lock_sweep(self.out):
            _drop_half_line(self.out / JOURNAL)
            yield

    def trials(self) -> list[Trial]:
        """All trials that were begun, by number."""
        with self._reading():
            found = self._study.get_trials(deepcopy=False)
        trials = [
            Trial(each.number, each.state.name.lower(), dict(each.params), tuple(each.user_attrs.get(FOLDS, ())))
            for each in found
        ]
        return [trial for trial in trials if trial.state != WAITING]

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Turn what Optuna raises on a damaged line into a fault."""
        try:
            yield
        except (ValueError, LookupError, TypeError, AssertionError) as error:
            journal, do = self.out / JOURNAL, "choose another --out"
            raise DataFault(expected("a sweep's journal", repr(error), journal, do)) from error

    def _sampler(self) -> Any:
        drawn = sum(found.state.name.lower() != FAILED for found in self._study.get_trials(deepcopy=False))
        seed = int(np.random.SeedSequence((self.config.run.seed, drawn)).generate_state(1)[0])
        with warnings.catch_warnings():
            # Optuna 4 calls it experimental: workers keep away from the configurations of running trials.
            warnings.simplefilter("ignore", self._optuna.exceptions.ExperimentalWarning)
            return self._optuna.samplers.TPESampler(seed=seed, constant_liar=True)

    def _distributions(self) -> dict[str, Any]:
        kinds, found = self._optuna.distributions, {}
        for field, part in self.space.items():
            if not isinstance(part, Range):
                found[field] = kinds.CategoricalDistribution(part)
            elif is_whole(self.config, field):
                found[field] = kinds.IntDistribution(int(part.low), int(part.high), log=part.log)
            else:
                found[field] = kinds.FloatDistribution(part.low, part.high, log=part.log)
        return found

    def _fail_lost(self) -> None:
        """End the trials whose workers were killed."""
        for trial in self.trials():
            if trial.state == RUNNING and _is_free(trial.lock(self.out)):
                shutil.rmtree(trial.folder(self.out), ignore_errors=True)
                self._tell(trial, FAILED)
                trial.lock(self.out).unlink(missing_ok=True)

    def _tell(self, trial: Trial, state: str) -> None:
        value = trial.mean() if state == COMPLETE else None
        self._study.tell(trial.number, value, self._optuna.trial.TrialState[state.upper()])
        if state == FAILED and trial.settings:
            self._study.enqueue_trial(trial.settings)


def lock_sweep(out: Path) -> AbstractContextManager[None]:
    """Inside the block no other worker writes the sweep's files.

    Raises:
        DataFault: the lock's file cannot be written, the file system has no locks, or another worker keeps it.
    """
    return hold_lock(out / LOCK, WAIT, "sweep", "give another --out")


def require_optuna() -> ModuleType:
    """Optuna.

    Raises:
        UsageFault: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        do = "pip install 'galaxy-triton[sweep]', or '.[sweep]' in a clone"
        raise UsageFault(expected("Optuna for `sweep`", "none that works", error, do)) from error
    return optuna


def _is_free(lock: Path) -> bool:
    """Whether no process on this machine, or on another that shares the folder, holds a lock."""
    if not lock.exists():
        return True
    try:
        FileLock(lock, fallback_to_soft=False).acquire(timeout=0).lock.release()
    except (Timeout, OSError):
        return False
    return True


def _drop_half_line(journal: Path) -> None:
    """Remove what follows the last whole line: a full disk may leave half a line."""
    content = journal.read_bytes() if journal.exists() else b""
    if content and not content.endswith(b"\n"):
        os.truncate(journal, content.rfind(b"\n") + 1)
