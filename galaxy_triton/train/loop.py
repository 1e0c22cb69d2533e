"""Training: the loop over epochs and steps, and what is kept between them."""

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from galaxy_triton.config.schema import Config
from galaxy_triton.data.feed import Waiting, batches
from galaxy_triton.data.galaxies import Galaxies
from galaxy_triton.data.passes import Passes, Step
from galaxy_triton.data.split import Split
from galaxy_triton.data.targets import targets
from galaxy_triton.evaluate.scores import rmse
from galaxy_triton.model.backend import Backend
from galaxy_triton.model.device import be_deterministic, keep_freed_memory, peak_memory
from galaxy_triton.predict.predictor import Answers
from galaxy_triton.runs import checkpoint as checkpoints
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.runs.checkpoint import Checkpoint, Progress
from galaxy_triton.runs.folder import EpochRow
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault, Diverged, Stopped, UsageFault, expected
from galaxy_triton.system.processes import ALONE, Processes
from galaxy_triton.system.provenance import provenance
from galaxy_triton.system.signals import CODES, Stop
from galaxy_triton.train.finetune import Start
from galaxy_triton.train.learner import Learner

LOOK_EVERY = 50  # steps at most between two looks at the losses, which wait for the GPU
LOOK_SECONDS = 5.0  # between two looks where steps are long: torchrun gives 30 s to stop, and SLURM what is asked of it


@dataclass(frozen=True)
class Plan:
    """What a run trains: resolved once, before the first step."""

    config: Config
    backend: Backend
    galaxies: Galaxies
    split: Split
    store_hash: str
    folder: Path
    processes: Processes = ALONE
    start: Start | None = None  # of a run that is fine-tuned


class Speed(NamedTuple):
    """Of the training of an epoch, its validation left out. waiting: the share of the time in which the host waited."""

    images_per_s: float
    waiting: float


class Pace:
    """When to look at the losses of a GPU again: after the same step in all processes."""

    due, last, began = 0, -1, 0.0

    def begin(self, step: int) -> None:
        """Steps are about to be made, this one first; the first is looked at."""
        self.due, self.last, self.began = step, step - 1, time.perf_counter()

    def is_due(self, step: int) -> bool:
        """Whether it is time after this step."""
        return step >= self.due

    def looked(self, step: int, processes: Processes) -> None:
        """The losses up to this step are known; the first process's clock says when to look next."""
        now = time.perf_counter()
        each = (now - self.began) / (step - self.last)
        self.due = step + processes.agree(max(1, min(LOOK_EVERY, int(LOOK_SECONDS / each))))
        self.last, self.began = step, now


class Trainer:
    """A run: what learns, and how far it is."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.run, self.processes = plan, plan.config.run, plan.processes
        self.device = plan.backend.device
        keep_freed_memory(self.device)
        if self.run.deterministic:
            be_deterministic()
        self.rows = torch.from_numpy(plan.split.train).to(self.device)
        self.held_out = torch.from_numpy(plan.split.validation).to(self.device)
        answers = targets(plan.galaxies.answers, self.rows, plan.config.labels.stretch)
        self.taught = plan.galaxies._replace(answers=answers)
        self.passes = Passes(plan.split, plan.galaxies.ids, self.run)
        self.sizes = [len(step.rows) for step in self.passes.steps(0)]  # of the batches of any epoch
        self.steps_per_epoch, self.images_per_epoch = len(self.sizes), sum(self.sizes)
        self.learner = self._learner()
        if plan.start is not None:
            self._begin_with(plan.start.checkpoint)
        self.losses = torch.zeros(self.steps_per_epoch, device=self.device)  # of the epoch's steps
        self.after_step: Callable[[], None] = lambda: None
        self.pace = Pace()
        self.made_with = provenance()
        self.progress = Progress()
        self.last_rmse = math.nan

    @property
    def stretched(self) -> int:
        """How many of the galaxies trained on are taught another answer than their label."""
        given, taught = self.plan.galaxies.answers[self.rows], self.taught.answers[self.rows]
        return int((given != taught).any(dim=1).sum())

    def fit(self, display: Display, stop: Stop) -> None:
        """Train the epochs that are left, saving after each.

        Raises:
            Stopped: someone asked to stop first; all that was done is saved.
            Diverged: a loss is not finite.
            DataFault: a folder that cannot be written; the last checkpoint is whole.
        """
        for epoch in range(self.progress.epoch, self.run.epochs):
            started, waiting, before = time.perf_counter(), Waiting(), self._trained_on()
            with display.progress(f"epoch {epoch + 1}/{self.run.epochs}", "images") as show:
                code, whole = self._train_epoch(epoch, stop, show, waiting)
            trained = time.perf_counter() - started
            if not whole:
                self.save(run_folder.LAST)
                raise Stopped(code)
            speed = Speed((self.images_per_epoch - before) / trained, waiting.seconds / trained)
            row = self._finish_epoch(epoch, started, speed)
            display.note(epoch_line(row, self.run.epochs))
            if code and self.progress.epoch < self.run.epochs:
                raise Stopped(code)

    def save(self, name: str) -> None:
        """Write the checkpoint `name` of the run."""
        self.processes.by_first(lambda: checkpoints.save(self.plan.folder / name, self._checkpoint()))

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint of this run.

        Raises:
            DataFault: it was trained on another store, or is not of this network and optimiser.
        """
        if checkpoint.store_hash != self.plan.store_hash:
            do = "resume with the store that the run began with"
            got = f"one with hash {self.plan.store_hash[:12]}"
            raise DataFault(expected(f"the store with hash {checkpoint.store_hash[:12]}", got, self.plan.folder, do))
        try:
            self.learner.restore(checkpoint)
        except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
            want = f"the weights and the optimiser's state of {self.plan.config.network.name}"
            got = str(error).splitlines()[-1].strip()
            raise DataFault(expected(want, got, self.plan.folder, "resume this run's own checkpoint")) from error
        self.progress = checkpoint.progress

    def _begin_with(self, checkpoint: Checkpoint) -> None:
        """Take up the weights of another run; in all processes those that the first has read."""
        network = self.learner.network
        network.load_state_dict(checkpoint.best_weights)
        self.processes.copy_first(network.state_dict().values())

    def _learner(self) -> Learner:
        smallest, largest = min(self.sizes), max(self.sizes)
        if smallest < self.processes.count:
            want, got = f"a galaxy for each of {self.processes.count} processes", f"batches of {smallest}"
            raise UsageFault(expected(want, got, "--batch-size", "raise it, or start fewer processes"))
        if self.run.sync_norm and smallest // self.processes.count < self.run.accumulate:
            # Its collectives want the same number of parts in every process.
            want, got = f"{self.run.accumulate} galaxies in each process's batch", str(smallest // self.processes.count)
            raise UsageFault(expected(want, got, "--accumulate", "lower it, or leave out --sync-norm"))
        mean = self.plan.galaxies.answers[self.rows].mean(dim=0)
        steps, part = self.steps_per_epoch * self.run.epochs, -(-largest // self.processes.count)
        return Learner(self.plan.config, self.plan.backend, mean, part, steps, self.processes)

    def _train_epoch(
        self, epoch: int, stop: Stop, show: Callable[[int, int], None], waiting: Waiting
    ) -> tuple[int, bool]:
        """The steps that are left of an epoch: the exit code of a stop, or 0, and whether all steps were made."""
        self.learner.network.train()
        first, order = self.progress.step, self.passes.steps(epoch)
        numbers = {number: torch.tensor(number, device=self.device) for number in {step.number for step in order}}
        parts = [self.processes.part(step.rows) for step in order[first:]]
        shares = [len(part) / len(step.rows) for part, step in zip(parts, order[first:], strict=True)]
        self.pace.begin(first)
        code, done = 0, self._trained_on()
        with closing(batches(self.taught, parts, shares, waiting)) as feed:
            for step, batch in enumerate(feed, first):
                self.losses[step] = self.learner.step(batch, numbers[order[step].number], epoch * len(order) + step)
                self.after_step()
                done += len(order[step].rows)
                if self._is_time_to_look(step, stop):
                    code = self._look(order, step, stop)
                show(done, self.images_per_epoch)
                if code and step + 1 < len(order):
                    return code, False
        return code, True

    def _trained_on(self) -> int:
        """Images of the epoch's steps that are made already."""
        return sum(self.sizes[: self.progress.step])

    def _is_time_to_look(self, step: int, stop: Stop) -> bool:
        """Alone, a stop is seen after any step; several processes must look after the same one."""
        regular = self.pace.is_due(step) or step + 1 == self.steps_per_epoch or self.device.type == "cpu"
        return regular or (stop.requested and self.processes.count == 1)

    def _look(self, order: list[Step], step: int, stop: Stop) -> int:
        """Read the losses since the last look and whether any process is to stop: what the host waits for the GPU for.

        Returns:
            The exit code of the stop, or 0.
        """
        codes = sorted(set(CODES.values()))
        asked = torch.tensor([float(stop.code == code) for code in codes], device=self.device)
        seen = self.processes.sum(torch.cat([self.losses[self.progress.step : step + 1], asked])).tolist()
        losses, asked_for = seen[: -len(codes)], seen[-len(codes) :]
        total = self.progress.loss_sum
        for number, loss in enumerate(losses, self.progress.step):
            self._check_finite(loss, order[number].rows)
            total += loss * len(order[number].rows)
        self.progress = replace(self.progress, step=step + 1, loss_sum=total)
        if self.device.type != "cpu":
            self.pace.looked(step, self.processes)
        return next((code for code, count in zip(codes, asked_for, strict=True) if count), 0)

    def _check_finite(self, loss: float, rows: Tensor) -> None:
        if math.isfinite(loss):
            return
        ids = ", ".join(map(str, self.plan.galaxies.ids[rows].tolist()))
        do = "lower --lr or use --precision fp32; the last checkpoint is whole"
        raise Diverged(expected("a finite loss", f"{loss} on the galaxies {ids}", self.plan.folder, do))

    def _finish_epoch(self, epoch: int, started: float, speed: "Speed") -> EpochRow:
        train_loss = self.progress.loss_sum / self.images_per_epoch
        error = self._validate()
        self.last_rmse = error
        better = error < self.progress.best_rmse
        self.progress = Progress(epoch + 1, 0, 0.0, min(self.progress.best_rmse, error))
        row = EpochRow(
            epoch=epoch + 1,
            train_loss=train_loss,
            validation_loss=error**2,
            validation_rmse=error,
            learning_rate=self.learner.learning_rate(self.steps_per_epoch * (epoch + 1) - 1),
            images_per_s=speed.images_per_s,
            waiting_for_data=speed.waiting,
            peak_memory_mib=peak_memory(self.device) / 2**20,
            seconds=time.perf_counter() - started,
        )
        # The row first: a resumed run cuts rows that its checkpoint does not have.
        self.processes.by_first(lambda: run_folder.add_metrics(self.plan.folder, row))
        # The best before the last: a run killed between the two makes this epoch again, and its best with it.
        if better:
            self.save(run_folder.BEST)
        self.save(run_folder.LAST)
        return row

    def _validate(self) -> float:
        """The RMSE of the galaxies held out, of which each process answers a part."""
        if len(self.held_out) == 0:
            return math.nan
        self.learner.share_statistics()
        parts = self.processes.gather(self._answer(self.processes.part(self.held_out)))
        return rmse(np.concatenate(parts), self.plan.galaxies.answers[self.held_out].cpu().numpy())

    def _answer(self, rows: Tensor) -> Answers:
        predictor, size = self.learner.predictor(), len(self.learner.buffer)  # what a step has room for
        return predictor.answer(self.plan.galaxies, rows, self.run.views, size, lambda done: None)

    def _checkpoint(self) -> Checkpoint:
        plan, learner = self.plan, self.learner
        average = None if learner.average is None else learner.average.module.state_dict()
        weights, state = learner.network.state_dict(), learner.state()
        return Checkpoint(plan.config, plan.store_hash, self.progress, weights, average, state, self.made_with)


def epoch_line(row: EpochRow, epochs: int) -> str:
    """An epoch as a line of text."""
    held_out = "" if math.isnan(row.validation_rmse) else f"  RMSE {row.validation_rmse:.4f}"
    train = math.sqrt(row.train_loss)
    return (
        f"epoch {row.epoch:>3}/{epochs}  train {train:.4f}{held_out}  lr {row.learning_rate:.1e}  "
        f"{row.images_per_s:,.0f} images/s  {row.seconds:.1f} s"
    )
