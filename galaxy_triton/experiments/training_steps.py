"""Training as one call a step, on an endless stream of batches: what `ablate` and the benchmarks time."""

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from galaxy_triton.config.schema import Config
from galaxy_triton.data.feed import Batch
from galaxy_triton.data.galaxies import Galaxies
from galaxy_triton.data.order import epoch_batches
from galaxy_triton.experiments.writeup_pipeline import Labelled, make_loader
from galaxy_triton.model.backend import Backend
from galaxy_triton.model.device import keep_freed_memory
from galaxy_triton.train.learner import Learner


class TrainingSteps:
    """A network in training; each call makes the next step.

    batches: endless. train: (batch, step number) -> (loss, number of galaxies).
    waited: seconds that the host has waited for batches. images: galaxies trained on so far.
    """

    def __init__(
        self, learner: Learner, batches: Iterator[Any], train: Callable[[Any, int], tuple[Tensor, int]]
    ) -> None:
        learner.network.train()
        self.learner, self.batches, self.train = learner, batches, train
        self.number, self.images, self.waited = 0, 0, 0.0

    def __call__(self) -> Tensor:
        """Make the next step; its loss is a scalar on the device, which the host has not waited for."""
        started = time.perf_counter()
        batch = next(self.batches)
        self.waited += time.perf_counter() - started
        loss, images = self.train(batch, self.number)
        self.number, self.images = self.number + 1, self.images + images
        return loss


def make_learner(config: Config, backend: Backend, answers: Tensor, steps: int) -> Learner:
    """An untrained network that predicts the mean of `answers` (fp32 [M, 37]), as `train` begins with.

    steps: length of the learning rate's schedule.
    """
    keep_freed_memory(backend.device)
    return Learner(config, backend, answers.mean(dim=0), min(config.run.batch_size, len(answers)), steps)


def resident_steps(learner: Learner, galaxies: Galaxies, rows: Tensor) -> TrainingSteps:
    """Steps on galaxies that lie on the device. rows: int64 [M], to train on, on the device."""

    def train(item: tuple[Batch, Tensor], number: int) -> tuple[Tensor, int]:
        batch, epoch = item
        return learner.step(batch, epoch, number), len(batch.ids)

    run = learner.config.run
    return TrainingSteps(learner, _resident_batches(galaxies, rows, run.seed, run.batch_size), train)


def file_steps(
    learner: Learner,
    images: Path,
    labelled: Labelled,
    workers: int,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> TrainingSteps:
    """Steps on image files, through the write-up's pipeline. memory_format: of the network and the views."""
    device = learner.backend.device
    learner.network.to(memory_format=memory_format)

    def train(batch: list[Tensor], number: int) -> tuple[Tensor, int]:
        views, _, answers = (part.to(device, non_blocking=True) for part in batch)
        # The layout changes on the device: before the copy, the CPU would have to do it.
        return learner.learn(views.contiguous(memory_format=memory_format), answers, number), len(views)

    loader = make_loader(images, labelled, learner.config, workers=workers, device=device)
    return TrainingSteps(learner, itertools.chain.from_iterable(itertools.repeat(loader)), train)


def _resident_batches(galaxies: Galaxies, rows: Tensor, seed: int, batch_size: int) -> Iterator[tuple[Batch, Tensor]]:
    """The batches of one epoch after the other, each with the number of its epoch on the device."""
    ids = galaxies.ids[rows]
    for epoch in itertools.count():
        number = torch.tensor(epoch, device=rows.device)
        for chosen in epoch_batches(rows, ids, seed, epoch, batch_size):
            yield Batch(galaxies.pixels, chosen, galaxies.ids[chosen], galaxies.answers[chosen]), number
