"""Training as one call a step, on batches that keep coming: what `ablate` and the benchmarks time."""

import itertools
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from galaxy_triton.config.schema import Config
from galaxy_triton.data.feed import Batch
from galaxy_triton.data.galaxies import Galaxies
from galaxy_triton.data.order import epoch_batches
from galaxy_triton.experiments.ablation_pipeline import Labelled, SeedBatch, endless, make_loader
from galaxy_triton.model.backend import Backend
from galaxy_triton.model.device import keep_freed_memory
from galaxy_triton.train.learner import Learner


class Steps(ABC):
    """A network in training; each call makes the next step.

    waited: seconds in which steps had no batch yet, as the host sees it. images: how many were trained on.
    """

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        learner.network.train()
        self.number, self.images, self.waited = 0, 0, 0.0

    def __call__(self) -> Tensor:
        """The loss of the step: a scalar on the device, which nothing has waited for."""
        loss, images = self._step(self.number)
        self.number, self.images = self.number + 1, self.images + images
        return loss

    @abstractmethod
    def _step(self, number: int) -> tuple[Tensor, int]:
        """The step's loss, and how many galaxies it was made on."""


class ResidentSteps(Steps):
    """On galaxies that lie on the device. rows: int64 [M], to train on, there too."""

    def __init__(self, learner: Learner, galaxies: Galaxies, rows: Tensor) -> None:
        super().__init__(learner)
        self.batches = _resident(galaxies, rows, learner.config.run.seed, learner.config.run.batch_size)

    def _step(self, number: int) -> tuple[Tensor, int]:
        started = time.perf_counter()
        batch, epoch = next(self.batches)
        self.waited += time.perf_counter() - started
        return self.learner.step(batch, epoch, number), len(batch.ids)


class FileSteps(Steps):
    """On image files, through the seed's pipeline. memory_format: of the network and the views."""

    def __init__(
        self,
        learner: Learner,
        images: Path,
        labelled: Labelled,
        workers: int,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        super().__init__(learner)
        self.device, self.memory_format = learner.backend.device, memory_format
        learner.network.to(memory_format=memory_format)
        loader = make_loader(images, labelled, learner.config, workers=workers, device=self.device)
        self.batches = endless(loader)

    def _step(self, number: int) -> tuple[Tensor, int]:
        started = time.perf_counter()
        batch: SeedBatch = next(self.batches)
        self.waited += time.perf_counter() - started
        # contiguous after the copy: otherwise the CPU would turn the layout round
        views = batch.views.to(self.device, non_blocking=True).contiguous(memory_format=self.memory_format)
        answers = batch.answers.to(self.device, non_blocking=True)
        return self.learner.learn(views, answers, number), len(views)


def make_learner(config: Config, backend: Backend, answers: Tensor, steps: int) -> Learner:
    """A network at its start, which gives the mean of `answers` (fp32 [M, 37]), as `train` has it. steps: of its
    schedule."""
    keep_freed_memory(backend.device)
    return Learner(config, backend, answers.mean(dim=0), min(config.run.batch_size, len(answers)), steps)


def idle(device: torch.device) -> None:
    """Wait until the device has nothing left to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _resident(galaxies: Galaxies, rows: Tensor, seed: int, batch_size: int) -> Iterator[tuple[Batch, Tensor]]:
    """The batches of one epoch after the other, each with its epoch's number on the device."""
    ids = galaxies.ids[rows]
    for epoch in itertools.count():
        number = torch.tensor(epoch, device=rows.device)
        for chosen in epoch_batches(rows, ids, seed, epoch, batch_size):
            yield Batch(galaxies.pixels, chosen, galaxies.ids[chosen], galaxies.answers[chosen]), number
