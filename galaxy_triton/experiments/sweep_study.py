"""The trials of a sweep, in a journal that any number of workers share; the one place that knows Optuna."""

import itertools
import os
import platform
import shutil
import statistics
import warnings
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from galaxy_triton.config.schema import Config
from galaxy_triton.experiments.sweep_space import Choices, Range, Space, is_whole
from galaxy_triton.system.errors import DataFault, UsageFault, expected
from galaxy_triton.system.lock import locked

JOURNAL, LOCK = "journal.log", "journal.held"
WAIT = 300  # seconds, for another worker of a sweep, who holds it for the writing of a line
COMPLETE, PRUNED, FAILED, RUNNING = "complete", "pruned", "fail", "running"  # Optuna's states, in small letters
JUDGES = 5  # trials that must have had a fold before one is judged by it
FOLDS, WORKER, DRAW = "folds", "worker", "draw"  # attributes of a trial


@dataclass(frozen=True)
class Trial:
    """A configuration and how it does.

    settings: dotted fields. folds: the RMSE of each fold so far. worker: the machine and the process that try it,
    and when that process started, in ticks since the machine did; None where the system does not say.
    draw: which of the seed's draws it is; one that failed leaves its draw to another.
    """

    number: int
    state: str
    settings: dict[str, Any]
    folds: tuple[float, ...]
    worker: tuple[str, int, int | None] | None
    draw: int | None

    def mean(self, folds: int | None = None) -> float:
        """The mean RMSE of the first so many folds, or of all so far."""
        return statistics.fmean(self.folds[:folds])

    def folder(self, out: Path) -> Path:
        """Where in a sweep's folder its networks are while it is tried."""
        return out / f"trial-{self.number}"


def is_poor(mean: float, others: Sequence[float]) -> bool:
    """Whether a mean RMSE over some folds is above the median of other trials' over the same folds.

    The median rule of Google Vizier (Golovin et al. 2017, section 3.2.2) on paired means: all trials have the same
    folds. Optuna's MedianPruner compares the lowest mean so far instead, which an easy first fold sets for good; and a
    signed-rank test, its WilcoxonPruner, cannot reach 5 % before the fifth fold.
    """
    return len(others) >= JUDGES and mean > statistics.median(others)


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


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """While the block runs, no other worker of a sweep begins a trial or is in such a block.

    Raises:
        DataFault: its file cannot be written, the file system has no locks, or another worker does not let go.
    """
    with locked(folder / LOCK, WAIT, "sweep", "give another --out"):
        yield


def trials_in(folder: Path) -> list[Trial]:
    """All trials in a folder, by number, and nothing is written there; none before the first worker's journal.

    Raises:
        UsageFault, DataFault: as `Study`.
    """
    optuna, journal = require_optuna(), folder / JOURNAL
    if not journal.exists():
        return []
    with _reading(journal):
        storage = _storage(optuna, journal)
        studies = [optuna.load_study(study_name=name, storage=storage) for name in optuna.get_all_study_names(storage)]
        return [_trial(found) for study in studies for found in study.get_trials(deepcopy=False)]


def counted(trials: Sequence[Trial]) -> list[Trial]:
    """The trials that count among those wanted: none that failed, or that a killed worker has left running."""
    return [trial for trial in trials if trial.state != FAILED and not _is_lost(trial)]


class Study:
    """The trials in a folder. One worker tries one at a time.

    Raises:
        UsageFault: Optuna is not installed.
        DataFault: the journal there is none; of any method.
    """

    def __init__(self, folder: Path, space: Space, config: Config) -> None:
        self.optuna, self.space, self.config = require_optuna(), space, config
        self.optuna.logging.set_verbosity(self.optuna.logging.WARNING)
        self.folder, self.journal = folder, (folder / JOURNAL).resolve()
        self._begun: Any = None  # Optuna's object of this worker's trial
        with self._writing():
            self._study = self._opened()

    def begin(self, wanted: int) -> Trial | None:
        """A new trial; None once `wanted` have been tried to their end or are being tried.

        What it draws depends on run.seed, the lowest number of a draw that is free, and the trials so far but those
        that failed: who was stopped draws the same again, and no two workers draw alike.
        """
        with self._writing():
            self._fail_lost()
            taken = counted(self.trials())
            if len(taken) >= wanted:
                return None
            draw = _lowest_free({trial.draw for trial in taken})
            self._study.sampler = self._sampler(draw)
            self._begun = self._study.ask()
            self._begun.set_user_attr(DRAW, draw)
            self._begun.set_user_attr(WORKER, [platform.node(), os.getpid(), _started(os.getpid())])
            for field, part in self.space.items():
                self._suggest(field, part)
        return self._of_this_worker()

    def add_fold(self, rmse: float) -> Trial:
        """Keep the RMSE of the next fold of this worker's trial.

        Raises:
            DataFault: another worker took this one for gone; so of `end`.
        """
        with self._writing():
            folds = (*self._own_running().folds, rmse)
            self._begun.set_user_attr(FOLDS, folds)
            self._begun.report(statistics.fmean(folds), len(folds))
        return self._of_this_worker()

    def is_poor(self) -> bool:
        """Whether to stop this worker's trial after the folds it has."""
        trial = self._of_this_worker()
        count = len(trial.folds)
        others = [other for other in self.trials() if other.number != trial.number and other.state != FAILED]
        return is_poor(trial.mean(), [other.mean(count) for other in others if len(other.folds) >= count])

    def end(self, state: str) -> None:
        """This worker's trial is COMPLETE, PRUNED or FAILED."""
        with self._writing():
            if state == self._of_this_worker().state == FAILED:
                return
            trial = self._own_running()
            self._tell(trial.number, state, trial.mean() if state == COMPLETE else None)

    def trials(self) -> list[Trial]:
        """All trials, by number."""
        with _reading(self.journal):
            return list(map(_trial, self._study.get_trials(deepcopy=False)))

    def _opened(self) -> Any:
        with _reading(self.journal):
            # Optuna's lock is a link to the path: a relative one leads nowhere, and its owner's end is never noticed.
            storage = _storage(self.optuna, self.journal)
            return self.optuna.create_study(storage=storage, study_name="sweep", load_if_exists=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """While the block runs this worker alone writes to the journal, whose lines are whole."""
        with held(self.folder):
            _drop_half_line(self.journal)
            yield

    def _of_this_worker(self) -> Trial:
        number: int = self._begun.number
        return self.trials()[number]

    def _own_running(self) -> Trial:
        trial = self._of_this_worker()
        if trial.state != RUNNING:
            do = "give each machine or container a host name of its own, and start this worker again"
            raise DataFault(
                expected(f"trial {trial.number} to be this worker's", "one ended by another", self.journal, do)
            )
        return trial

    def _sampler(self, draw: int) -> Any:
        seed = int(np.random.SeedSequence((self.config.run.seed, draw)).generate_state(1)[0])
        with warnings.catch_warnings():
            # Optuna 4 calls it experimental: workers keep away from what another is trying.
            warnings.simplefilter("ignore", self.optuna.exceptions.ExperimentalWarning)
            return self.optuna.samplers.TPESampler(seed=seed, constant_liar=True)

    def _suggest(self, field: str, part: Range | Choices) -> None:
        if not isinstance(part, Range):
            self._begun.suggest_categorical(field, part)
        elif is_whole(self.config, field):
            self._begun.suggest_int(field, int(part.low), int(part.high), log=part.log)
        else:
            self._begun.suggest_float(field, part.low, part.high, log=part.log)

    def _fail_lost(self) -> None:
        """End what a killed worker of this machine has left running; of another machine's nobody here can know."""
        for trial in filter(_is_lost, self.trials()):
            # before the mark: who is killed between the two leaves a folder that is looked for again
            shutil.rmtree(trial.folder(self.folder), ignore_errors=True)
            self._tell(trial.number, FAILED, None)

    def _tell(self, number: int, state: str, value: float | None) -> None:
        self._study.tell(number, value, self.optuna.trial.TrialState[state.upper()])


def _storage(optuna: ModuleType, journal: Path) -> Any:
    return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(journal)))


@contextmanager
def _reading(journal: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, LookupError, TypeError, AssertionError) as error:  # Optuna on a line that is not its own
        do = "choose another --out"
        raise DataFault(expected("a sweep's journal", repr(error), journal, do)) from error


def _drop_half_line(journal: Path) -> None:
    """Take away what follows the last line's end: a worker that was killed, or a full disk, may leave half a line."""
    content = journal.read_bytes() if journal.exists() else b""
    if content and not content.endswith(b"\n"):
        os.truncate(journal, content.rfind(b"\n") + 1)


def _trial(found: Any) -> Trial:
    """Optuna's record of a trial, as ours."""
    kept, state = found.user_attrs, found.state.name.lower()
    worker = tuple(kept[WORKER]) if WORKER in kept else None
    return Trial(found.number, state, dict(found.params), tuple(kept.get(FOLDS, ())), worker, kept.get(DRAW))


def _lowest_free(taken: Set[int | None]) -> int:
    return next(number for number in itertools.count() if number not in taken)


def _is_lost(trial: Trial) -> bool:
    """Whether a trial runs whose process is known to be gone; it names itself before it lets another begin."""
    if trial.state != RUNNING:
        return False
    if trial.worker is None:
        return True
    backend, process, started = trial.worker
    # a process that started at another time only has the number of the one that is gone
    return backend == platform.node() and not (_is_alive(process) and _started(process) in (None, started))


def _started(process: int) -> int | None:
    """When a process started (field 22 of proc_pid_stat(5)), in ticks since the machine did; None if not known."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])  # the name, field 2, may hold spaces


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    return True
