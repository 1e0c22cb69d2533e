"""Measures one row of an ablation in the calling process: its speed and the RMSE."""

import functools
import gc
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from galaxy_triton.config.schema import Config
from galaxy_triton.data.galaxies import Galaxies, load
from galaxy_triton.data.split import Split
from galaxy_triton.data.store import open_store, require_labels
from galaxy_triton.data.targets import targets
from galaxy_triton.evaluate.scores import rmse
from galaxy_triton.experiments.ablation_rows import Variant
from galaxy_triton.experiments.training_steps import TrainingSteps, file_steps, make_learner, resident_steps
from galaxy_triton.experiments.writeup_pipeline import Labelled
from galaxy_triton.model.backend import choose
from galaxy_triton.model.device import peak_memory

WARM_UP = 5  # steps before the clock starts
SCHEDULE = 100_000  # length in steps of the learning rate's schedule during the timed steps
CHUNKS = 5  # parts of the timed steps, whose speeds give the quartiles
# Student's t, two-sided 95 %, by degrees of freedom from 1.
T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}

Record = dict[str, Any]  # a row of the CSV, or some columns of it


@dataclass(frozen=True)
class Job:
    """The measurement of a variant; picklable.

    images: the files that the store was packed from, for the write-up's pipeline. workers: of its DataLoader.
    timed: steps on the clock. steps: of each training. seeds: number of trainings, 0 for none.
    """

    variant: Variant
    config: Config
    store: Path
    images: Path
    split: Split
    workers: int
    timed: int
    steps: int
    seeds: int


def measure(job: Job) -> Record:
    """Measure the speed of a variant, then train it from each seed.

    Returns:
        Columns of the CSV: images a second, median and quartiles over the chunks of the timed steps; seconds of the
        first step, with all compilation; the share of the timed steps in which the host waited for a batch; peak
        memory, allocated on a GPU, resident in this process elsewhere; RMSE of the validation galaxies; device,
        precision and implementations. "speed" and "mfu_measured" are None.

    Raises:
        UsageFault, DataFault: something that the variant needs is missing or broken.
    """
    trainings, first = _Trainings(job), job.config.run.seed
    speed = _measure_speed(trainings.start(first, SCHEDULE), job)
    errors = [trainings.rmse(seed) for seed in range(first, first + job.seeds)]
    layout = {"pixels": job.variant.pixels, "layout": job.variant.layout}
    return {**speed, **(_learned(errors) if errors else {}), **layout, **trainings.backend.chosen()}


def mean_with_interval(values: Sequence[float]) -> tuple[float, float | None, float | None]:
    """The mean and the 95 % interval of Student's t, which a single value does not have."""
    mean = statistics.fmean(values)
    if len(values) == 1:
        return mean, None, None
    half = T95[len(values) - 2] * statistics.stdev(values) / math.sqrt(len(values))
    return mean, mean - half, mean + half


def _learned(errors: Sequence[float]) -> Record:
    mean, low, high = mean_with_interval(errors)
    each = " ".join(f"{error:.6f}" for error in errors)
    return {"rmse": mean, "rmse_low": low, "rmse_high": high, "rmse_of_seeds": each}


class _Trainings:
    """The trainings of a job's variant."""

    def __init__(self, job: Job) -> None:
        self.job, self.config = job, job.variant.apply(job.config)
        self.backend, self.store = choose(self.config), open_store(job.store)
        self.device = self.backend.device

    @functools.cached_property
    def galaxies(self) -> Galaxies:
        return load(self.store, self.device, lambda done: None)

    def start(self, seed: int, steps: int) -> TrainingSteps:
        """An untrained network and its steps, after the memory and compiled code of the training before are freed."""
        torch.compiler.reset()
        gc.collect()
        config, labelled = replace(self.config, run=replace(self.config.run, seed=seed)), self._labelled()
        learner = make_learner(config, self.backend, torch.from_numpy(labelled.answers), steps)
        if self.job.variant.pixels == "files":
            layout = LAYOUTS[self.job.variant.layout]
            return file_steps(learner, self.job.images, labelled, self.job.workers, layout)
        rows = torch.from_numpy(self.job.split.train).to(self.device)
        answers = targets(self.galaxies.answers, rows, config.labels.stretch)
        return resident_steps(learner, self.galaxies._replace(answers=answers), rows)

    def rmse(self, seed: int) -> float:
        """RMSE of the validation galaxies after the job's steps from this seed."""
        steps, run = self.start(seed, self.job.steps), self.config.run
        for _ in range(self.job.steps):
            steps()
        rows = torch.from_numpy(self.job.split.validation).to(self.device)
        predictor = steps.learner.predictor()
        answers = predictor.answer(self.galaxies, rows, run.views, run.batch_size, lambda done: None)
        return rmse(answers, self.galaxies.answers[rows].cpu().numpy())

    def _labelled(self) -> Labelled:
        """The training galaxies, with the answers to learn."""
        rows = self.job.split.train
        answers = torch.from_numpy(np.array(require_labels(self.store)[rows]))
        learned = targets(answers, torch.arange(len(rows)), self.config.labels.stretch)
        return Labelled(np.array(self.store.ids[rows]), learned.numpy())


def _measure_speed(steps: TrainingSteps, job: Job) -> Record:
    """The columns of speed and memory."""
    device, rates, seconds = steps.learner.backend.device, list[float](), 0.0
    first_step_s = _seconds(steps, 1, device)
    # Past the batches that the loader's workers have prepared in the meantime.
    _seconds(steps, WARM_UP + 2 * job.workers * (job.variant.pixels == "files"), device)
    images, waited = steps.images, steps.waited
    for chunk in np.array_split(np.arange(job.timed), min(job.timed, CHUNKS)):
        before, elapsed = steps.images, _seconds(steps, len(chunk), device)
        rates.append((steps.images - before) / elapsed)
        seconds += elapsed
    low, median, high = np.quantile(rates, (0.25, 0.5, 0.75)).tolist()
    return {
        "images_per_s": median,
        "images_per_s_low": low,
        "images_per_s_high": high,
        "speed": None,
        "ms_a_step": 1e3 * ((steps.images - images) / job.timed) / median,
        "first_step_s": first_step_s,
        "waiting_for_data": (steps.waited - waited) / seconds,
        "peak_memory_mib": peak_memory(device) / 2**20,
        "mfu_measured": None,
    }


def _seconds(steps: TrainingSteps, count: int, device: torch.device) -> float:
    """Seconds of `count` steps, from an idle device to an idle device."""
    _wait(device)
    started = time.perf_counter()
    for _ in range(count):
        steps()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
