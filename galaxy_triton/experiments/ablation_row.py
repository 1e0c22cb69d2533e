"""One row of an ablation, measured in the process that calls: its speed, where its time goes, and what it learns."""

import functools
import gc
import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.profiler import record_function

from galaxy_triton.config.schema import Config
from galaxy_triton.data.galaxies import Galaxies, load
from galaxy_triton.data.split import Split
from galaxy_triton.data.store import open_store, require_labels
from galaxy_triton.data.targets import targets
from galaxy_triton.evaluate.scores import rmse
from galaxy_triton.experiments.ablation_pipeline import Labelled
from galaxy_triton.experiments.ablation_rows import Way
from galaxy_triton.experiments.ablation_steps import FileSteps, ResidentSteps, Steps, idle, make_learner
from galaxy_triton.experiments.profile_steps import StepProfiler, unavailable
from galaxy_triton.model.backend import choose
from galaxy_triton.model.device import peak_memory
from galaxy_triton.system.errors import UsageFault, expected
from galaxy_triton.train.learner import Learner, no_label

WARM_UP = 5  # steps before the clock
SCHEDULE = 100_000  # steps of the learning rate's cycle while the clock runs
CHUNKS = 5  # of the timed steps, for their spread
Quartiles = tuple[float, float, float]
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


@dataclass(frozen=True)
class Job:
    """What to measure. Everything in it can be sent to another process.

    images: the files that the store was packed from, for the seed's pipeline. workers: of its DataLoader.
    timed: steps on the clock. steps: of each training; seeds: how many trainings, 0 for none.
    """

    way: Way
    config: Config
    store: Path
    images: Path | None
    split: Split
    workers: int
    timed: int
    steps: int
    seeds: int


@dataclass(frozen=True)
class Measured:
    """What a row is found to do.

    images_per_s: first quartile, median and third quartile over the chunks of the timed steps. batch: mean of a step.
    first_step_s: seconds of the first step, in which all is compiled.
    waiting: share of the timed steps' time before their batches are there, as the host sees it.
    peak_mib: the most held: allocated on a GPU, of this process elsewhere.
    shares: kind of work -> its share of a step's time, from other steps, which torch's profiler recorded.
    rmse: of the galaxies held out, for each seed.
    chosen: device, precision and implementations, by name.
    """

    images_per_s: Quartiles
    batch: float
    first_step_s: float
    waiting: float
    peak_mib: float
    shares: dict[str, float]
    rmse: tuple[float, ...]
    chosen: dict[str, str]


def measure(job: Job) -> Measured:
    """Measure a row.

    Raises:
        UsageFault, DataFault: what it needs is not here, or not as it should be.
    """
    bench = _Bench(job)
    rates, batch, first_step_s, waiting, peak_mib, shares = _speed(bench)
    learned = tuple(bench.learned(job.config.run.seed + number) for number in range(job.seeds))
    return Measured(rates, batch, first_step_s, waiting, peak_mib, shares, learned, bench.backend.chosen())


class _Bench:
    """Makes trainings of a job's way."""

    def __init__(self, job: Job) -> None:
        self.job, self.config = job, job.way.configured(job.config)
        self.backend, self.store = choose(self.config), open_store(job.store)
        self.device = self.backend.device

    @functools.cached_property
    def galaxies(self) -> Galaxies:
        return load(self.store, self.device, lambda done: None)

    def training(self, seed: int, steps: int) -> Steps:
        """A network at its start; what was compiled and held for the one before is given up."""
        torch.compiler.reset()
        gc.collect()
        config = replace(self.config, run=replace(self.config.run, seed=seed))
        learner = make_learner(config, self.backend, torch.from_numpy(self._labelled().answers), steps)
        return self._from_files(learner) if self.job.way.pixels == "files" else self._resident(learner)

    def learned(self, seed: int) -> float:
        """RMSE of the galaxies held out after the job's steps from this seed."""
        steps, run = self.training(seed, self.job.steps), self.config.run
        for _ in range(self.job.steps):
            steps()
        held_out = torch.from_numpy(self.job.split.validation).to(self.device)
        predictor = steps.learner.predictor()
        answers = predictor.answer(self.galaxies, held_out, run.views, run.batch_size, lambda done: None)
        return rmse(answers, self.galaxies.answers[held_out].cpu().numpy())

    def _resident(self, learner: Learner) -> Steps:
        rows = torch.from_numpy(self.job.split.train).to(self.device)
        answers = targets(self.galaxies.answers, rows, self.config.labels.stretch)
        return ResidentSteps(learner, self.galaxies._replace(answers=answers), rows)

    def _from_files(self, learner: Learner) -> Steps:
        if self.job.images is None:
            raise UsageFault(expected("image files for the seed's pipeline", "none", "--images", "name them"))
        return FileSteps(learner, self.job.images, self._labelled(), self.job.workers, LAYOUTS[self.job.way.layout])

    def _labelled(self) -> Labelled:
        rows = self.job.split.train
        answers = torch.from_numpy(np.array(require_labels(self.store)[rows]))
        taught = targets(answers, torch.arange(len(rows)), self.config.labels.stretch)
        return Labelled(np.array(self.store.ids[rows]), taught.numpy())


def _speed(bench: _Bench) -> tuple[Quartiles, float, float, float, float, dict[str, float]]:
    """The figures of Measured up to `shares`; the training that they are of is given up on return."""
    job, device = bench.job, bench.device
    steps = bench.training(job.config.run.seed, SCHEDULE)
    first_step_s = _seconds(steps, 1, device)
    # as many more as a loader has ready by then
    _seconds(steps, WARM_UP + 2 * job.workers * (job.way.pixels == "files"), device)
    rates, waiting, batch = _timed(steps, job.timed, device)
    peak_mib = peak_memory(device) / 2**20
    return rates, batch, first_step_s, waiting, peak_mib, _shares(steps, max(2, job.timed // 4), device)


def _seconds(steps: Steps, count: int, device: torch.device) -> float:
    """Of so many steps, from an idle device to an idle device."""
    idle(device)
    started = time.perf_counter()
    for _ in range(count):
        steps()
    idle(device)
    return time.perf_counter() - started


def _timed(steps: Steps, count: int, device: torch.device) -> tuple[Quartiles, float, float]:
    """Quartiles of images per second, the share of waiting, and the mean batch."""
    images, waited, took, rates = steps.images, steps.waited, 0.0, []
    chunks = [len(part) for part in np.array_split(np.arange(count), min(count, CHUNKS))]
    for chunk in chunks:
        before, seconds = steps.images, _seconds(steps, chunk, device)
        rates.append((steps.images - before) / seconds)
        took += seconds
    low, middle, high = statistics.quantiles(rates * 2 if len(rates) == 1 else rates, n=4, method="inclusive")
    return (low, middle, high), (steps.waited - waited) / took, (steps.images - images) / count


def _shares(steps: Steps, count: int, device: torch.device) -> dict[str, float]:
    """The share of each kind of work, by the names of profile_shares; empty where torch's profiler records nothing."""
    if unavailable(device):
        return {}
    steps.learner.label = record_function
    with StepProfiler(device, skip=1, steps=count) as profiler:
        for _ in range(1 + count):
            steps()
            profiler.step()
    steps.learner.label = no_label
    return {} if profiler.found is None else profiler.found.shares
