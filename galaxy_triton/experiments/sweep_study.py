"""The trials of a sweep in Optuna's journal, which any number of workers share."""

import os
import shutil
import statistics
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import numpy as np
import optuna
from filelock import FileLock, Timeout
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from galaxy_triton.config.schema import Config
from galaxy_triton.config.toml import flat
from galaxy_triton.experiments.sweep_space import Part, Space
from galaxy_triton.system.errors import DataFault, expected
from galaxy_triton.system.lock import hold_lock

JOURNAL, LOCK = "journal.log", "journal.held"
WAIT = 300  # seconds, for another worker to release a lock
JUDGES = 5  # trials with as many folds that it takes to judge another
FOLDS = "folds"  # the attribute of a trial that holds the RMSE of each fold


class Study:
    """The trials in a sweep's folder. A worker tries one trial at a time.

    Raises:
        DataFault: the journal is damaged or cannot be written, or another worker does not release it; so every method.
    """

    def __init__(self, out: Path, space: Space, config: Config) -> None:
        # Optuna's lock links to the journal's path, which must lead there from the lock's own folder.
        self.out, self.space, self.config = out.resolve(), space, config
        self._alive = ExitStack()  # holds the lock of this worker's trial
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with self.locked():
            storage = JournalStorage(JournalFileBackend(str(self.out / JOURNAL)))
            self._study = optuna.create_study(storage=storage, study_name="sweep", load_if_exists=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Inside the block no other worker writes, and the journal ends with a whole line."""
        with lock_sweep(self.out):
            _drop_half_line(self.out / JOURNAL)
            try:
                yield
            except (ValueError, LookupError, TypeError, AssertionError) as error:  # Optuna's, of a damaged line
                got, do = repr(error), "choose another --out"
                raise DataFault(expected("a sweep's journal", got, self.out / JOURNAL, do)) from error

    def trials(self) -> list[FrozenTrial]:
        """All trials that were begun, by number; inside `locked`."""
        return [trial for trial in self._study.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]

    def begin(self, wanted: int) -> Trial | None:
        """A new trial; None if `wanted` trials are running or have ended without failing.

        A trial that failed is tried again first. Another depends on run.seed, on how many have been drawn and on those
        that have ended, so that a sweep that was stopped draws what it would have drawn.
        """
        with self.locked():
            self._fail_lost()
            states = [trial.state for trial in self._study.get_trials(deepcopy=False)]
            drawn = len(states) - states.count(TrialState.FAIL)
            if drawn - states.count(TrialState.WAITING) >= wanted:
                return None
            seed = int(np.random.SeedSequence((self.config.run.seed, drawn)).generate_state(1)[0])
            with warnings.catch_warnings():
                # Optuna 4 calls it experimental: workers keep away from the configurations of running trials.
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                self._study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
            trial = self._study.ask({field: self._distribution(field, part) for field, part in self.space.items()})
            self._alive.enter_context(hold_lock(self._lock_of(trial), WAIT, "trial", "give another --out"))
        return trial

    def add_fold(self, trial: Trial, folds: list[float]) -> bool:
        """Record the RMSE of each fold so far of this worker's trial.

        Returns:
            Whether their mean is above the median of other trials' over the same folds. This is the median rule of
            Google Vizier (Golovin et al. 2017, section 3.2.2) on paired means. Optuna's MedianPruner takes the lowest
            mean so far instead, which an easy first fold sets for good; its WilcoxonPruner cannot reach 5 % before the
            fifth fold.
        """
        count, mean = len(folds), statistics.fmean(folds)
        with self.locked():
            trial.set_user_attr(FOLDS, folds)
            trial.report(mean, count)
            others = [each for each in self.trials() if each.number != trial.number and each.state != TrialState.FAIL]
        means = [statistics.fmean(folds_of(each)[:count]) for each in others if len(folds_of(each)) >= count]
        return len(means) >= JUDGES and mean > statistics.median(means)

    def end(self, trial: Trial, state: TrialState) -> None:
        """End this worker's trial as complete, pruned or failed; one that failed waits to be tried again."""
        with self.locked():
            self._end(trial, state)
        self._alive.close()
        self._lock_of(trial).unlink(missing_ok=True)

    def folder_of(self, trial: Trial | FrozenTrial) -> Path:
        """Where the trial's runs lie in the sweep's folder while it is tried."""
        return self.out / f"trial-{trial.number}"

    def _lock_of(self, trial: Trial | FrozenTrial) -> Path:
        """The file that the process of the trial's worker locks until the trial, or the process, ends."""
        return self.out / f"trial-{trial.number}.held"

    def _distribution(self, field: str, part: Part) -> CategoricalDistribution | IntDistribution | FloatDistribution:
        if isinstance(part, list):
            return CategoricalDistribution(part)
        whole = type(flat(self.config)[field]) is int
        return (IntDistribution if whole else FloatDistribution)(**part)

    def _fail_lost(self) -> None:
        """End the trials whose workers were killed."""
        for trial in self.trials():
            if trial.state == TrialState.RUNNING and _is_free(self._lock_of(trial)):
                self._end(trial, TrialState.FAIL)
                self._lock_of(trial).unlink(missing_ok=True)

    def _end(self, trial: Trial | FrozenTrial, state: TrialState) -> None:
        shutil.rmtree(self.folder_of(trial), ignore_errors=True)
        value = statistics.fmean(folds_of(trial)) if state == TrialState.COMPLETE else None
        self._study.tell(trial.number, value, state)
        if state == TrialState.FAIL and trial.params:
            self._study.enqueue_trial(trial.params)


def folds_of(trial: Trial | FrozenTrial) -> list[float]:
    """The RMSE of each fold so far."""
    return list(trial.user_attrs.get(FOLDS, ()))


def find_best(trials: list[FrozenTrial]) -> FrozenTrial | None:
    """The trial of the lowest mean RMSE over all folds, the first of equal ones; None before the first is complete."""
    complete = (trial for trial in trials if trial.state == TrialState.COMPLETE)
    return min(complete, key=lambda trial: statistics.fmean(folds_of(trial)), default=None)


def lock_sweep(out: Path) -> AbstractContextManager[None]:
    """Inside the block no other worker writes the sweep's files; raises DataFault as `hold_lock`."""
    return hold_lock(out / LOCK, WAIT, "sweep", "give another --out")


def _is_free(lock: Path) -> bool:
    """Whether no process on this machine, or on another that shares the folder, holds a lock."""
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
