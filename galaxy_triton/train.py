"""Training: the step, the loop, and what is kept between them."""

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from galaxy_triton import checkpoint as checkpoints
from galaxy_triton import head as heads
from galaxy_triton import run_folder
from galaxy_triton.answer import Answerer
from galaxy_triton.checkpoint import Checkpoint, Progress
from galaxy_triton.config import Config
from galaxy_triton.data import Galaxies, Split, count_batches, epoch_batches
from galaxy_triton.display import Display
from galaxy_triton.errors import DataFault, expected
from galaxy_triton.evaluate import rmse
from galaxy_triton.machine import Machine, compiled, peak_memory
from galaxy_triton.optimise import average_of, make_optimiser, one_cycle, restore, set_learning_rate
from galaxy_triton.run_folder import EpochRow
from galaxy_triton.stop import Stop
from galaxy_triton.surroundings import surroundings
from galaxy_triton.views import ViewMaker

LOOK_EVERY = 50  # steps between two looks at the loss, which wait for the GPU


@dataclass(frozen=True)
class Plan:
    """What a run trains: resolved once, before the first step."""

    config: Config
    machine: Machine
    galaxies: Galaxies
    split: Split
    store_hash: str
    folder: Path


class Trainer:
    """The moving parts of a run: network, optimiser, averages, and how far they are."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.run = plan.config.run
        self.device = plan.machine.device
        if self.run.deterministic:
            # cuBLAS reads this when it is first used.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True)
        torch.manual_seed(self.run.seed)
        self.rows = torch.from_numpy(plan.split.train).to(self.device)
        self.held_out = torch.from_numpy(plan.split.validation).to(self.device)
        self.head = heads.HEADS[plan.config.network.head]
        self.network = self._network()
        self.step_network = compiled(plan.machine.body.name, self.network)
        self.optimiser = make_optimiser(self.network, plan.config.optimiser, self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=plan.machine.precision.name == "fp16")
        self.average = average_of(self.network, plan.config.optimiser.average)
        self.maker = ViewMaker(plan.config.augmentation, plan.machine.dtype, impl=plan.machine.augment.name)
        self.buffer = self.maker.empty(min(self.run.batch_size, len(self.rows)), self.device)
        self.seed = torch.tensor(self.run.seed, device=self.device)
        self.steps_per_epoch = count_batches(len(self.rows), self.run.batch_size)
        self.losses = torch.zeros(self.steps_per_epoch, device=self.device)  # of the epoch's steps
        self.made_with = surroundings()
        self.progress = Progress()
        self.last_rmse = math.nan

    def fit(self, display: Display, stop: Stop) -> bool:
        """Train the epochs that are left, saving after each; False if a stop was asked for first."""
        for epoch in range(self.progress.epoch, self.run.epochs):
            started = time.perf_counter()
            with display.progress(f"epoch {epoch + 1}/{self.run.epochs}", "images") as show:
                whole, waited = self._train_epoch(epoch, stop, show)
            trained = time.perf_counter() - started
            if not whole:
                self.save(run_folder.LAST)
                return False
            row = self._finish_epoch(epoch, started, trained, waited)
            display.note(epoch_line(row, self.run.epochs))
            if stop.requested:
                return self.progress.epoch == self.run.epochs
        return True

    def save(self, name: str) -> None:
        """Write the checkpoint `name` of the run."""
        checkpoints.save(self.plan.folder / name, self._checkpoint())

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
            self._restore(checkpoint)
        except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
            want = f"the weights and the optimiser's state of {self.plan.config.network.name}"
            got = str(error).splitlines()[-1].strip()
            raise DataFault(expected(want, got, self.plan.folder, "resume this run's own checkpoint")) from error

    def answerer(self) -> Answerer:
        """The network as it is evaluated: averaged weights when there are any."""
        network = self.network if self.average is None else self.average.module
        return Answerer(network, self.head, self.maker, self.plan.machine, self.plan.config)

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.network.load_state_dict(checkpoint.weights)
        restore(self.optimiser, checkpoint.state["optimiser"])
        # Empty when the run has so far been on a machine without fp16.
        if checkpoint.state["scaler"]:
            self.scaler.load_state_dict(checkpoint.state["scaler"])
        if self.average is not None and checkpoint.average is not None:
            self.average.module.load_state_dict(checkpoint.average)
            self.average.n_averaged.fill_(checkpoint.state["averaged"])
        self.progress = checkpoint.progress

    def _network(self) -> heads.AnswerNet:
        network = heads.make_network(self.plan.config.network)
        network.start_at(self.plan.galaxies.answers[self.rows].mean(dim=0).cpu(), self.head)
        network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    def _train_epoch(self, epoch: int, stop: Stop, show: Callable[[int, int], None]) -> tuple[bool, float]:
        """The steps that are left of an epoch: whether all were made, and the seconds waited for views."""
        self.network.train()
        epoch_tensor = torch.tensor(epoch, device=self.device)
        batches = epoch_batches(self.rows, self.plan.galaxies.ids[self.rows], self.run.seed, epoch, self.run.batch_size)
        loss_sum = torch.tensor(self.progress.loss_sum, dtype=torch.float32, device=self.device)
        waited, done = 0.0, sum(map(len, batches[: self.progress.step]))
        for step in range(self.progress.step, len(batches)):
            loss, wait = self._step(batches[step], epoch_tensor, epoch * len(batches) + step)
            self.losses[step] = loss
            loss_sum += loss * len(batches[step])
            waited, done = waited + wait, done + len(batches[step])
            stopping = stop.requested and step + 1 < len(batches)
            if stopping or step + 1 == len(batches) or self.device.type == "cpu" or step % LOOK_EVERY == 0:
                self._check_finite(batches)
                self.progress = replace(self.progress, step=step + 1, loss_sum=loss_sum.item())
            show(done, len(self.rows))
            if stopping:
                return False, waited
        return True, waited

    def _step(self, rows: Tensor, epoch: Tensor, number: int) -> tuple[Tensor, float]:
        """One step of the optimiser on the galaxies `rows` (int64 [B]): the loss, and the seconds until the views."""
        torch.manual_seed(step_seed(self.run.seed, number))
        set_learning_rate(self.optimiser, self._learning_rate(number))
        started = time.perf_counter()
        views = self.maker.random(self.plan.galaxies, rows, self.seed, epoch, self.buffer)
        waited = time.perf_counter() - started
        with self.plan.machine.autocast():
            logits = self.step_network(views)
        loss = self.head.loss(logits, self.plan.galaxies.answers[rows], self.plan.machine.loss.name)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._update()
        return loss.detach(), waited

    def _update(self) -> None:
        clip = self.plan.config.optimiser.clip
        if clip:
            self.scaler.unscale_(self.optimiser)
            nn.utils.clip_grad_norm_(self.network.parameters(), clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update_parameters(self.network)

    def _learning_rate(self, number: int) -> float:
        return one_cycle(number, self.steps_per_epoch * self.run.epochs, self.plan.config.optimiser)

    def _finish_epoch(self, epoch: int, started: float, trained: float, waited: float) -> EpochRow:
        train_loss = self.progress.loss_sum / len(self.rows)
        error = self._validate()
        self.last_rmse = error
        better = error < self.progress.best_rmse
        self.progress = Progress(epoch + 1, 0, 0.0, min(self.progress.best_rmse, error))
        row = EpochRow(
            epoch=epoch + 1,
            train_loss=train_loss,
            validation_loss=error**2,
            validation_rmse=error,
            learning_rate=self._learning_rate(self.steps_per_epoch * (epoch + 1) - 1),
            images_per_s=len(self.rows) / trained,
            waiting_for_data=waited / trained,
            peak_memory_mib=peak_memory(self.device) / 2**20,
            seconds=time.perf_counter() - started,
        )
        # The row first: a resumed run cuts rows that its checkpoint does not have.
        run_folder.add_metrics(self.plan.folder, row)
        # The best before the last: a run killed between the two makes this epoch again, and its best with it.
        if better:
            self.save(run_folder.BEST)
        self.save(run_folder.LAST)
        return row

    def _validate(self) -> float:
        if len(self.held_out) == 0:
            return math.nan
        answers = self.answerer().answer(
            self.plan.galaxies, self.held_out, self.run.views, self.run.batch_size, lambda done: None
        )
        return rmse(answers, self.plan.galaxies.answers[self.held_out].cpu().numpy())

    def _check_finite(self, batches: tuple[Tensor, ...]) -> None:
        bad = torch.isfinite(self.losses).logical_not().nonzero().flatten().tolist()
        if not bad:
            return
        ids = self.plan.galaxies.ids[batches[bad[0]]].tolist()
        got = f"{self.losses[bad[0]].item()} on the galaxies {', '.join(map(str, ids))}"
        do = "lower --lr or use --precision fp32; the last checkpoint is whole"
        raise DataFault(expected("a finite loss", got, self.plan.folder, do))

    def _checkpoint(self) -> Checkpoint:
        state: dict[str, Any] = {"optimiser": self.optimiser.state_dict(), "scaler": self.scaler.state_dict()}
        average = None
        if self.average is not None:
            average = self.average.module.state_dict()
            state["averaged"] = int(self.average.n_averaged)
        plan = self.plan
        return Checkpoint(
            plan.config, plan.store_hash, self.progress, self.network.state_dict(), average, state, self.made_with
        )


def step_seed(seed: int, step: int) -> int:
    """The seed of torch's generator in a step, for dropout: far apart for neighbouring steps (Weyl's constant)."""
    return (seed + (step + 1) * 0x9E3779B97F4A7C15) % 2**63


def epoch_line(row: EpochRow, epochs: int) -> str:
    """An epoch as a line of text."""
    held_out = "" if math.isnan(row.validation_rmse) else f"  RMSE {row.validation_rmse:.4f}"
    train = math.sqrt(row.train_loss)
    return (
        f"epoch {row.epoch:>3}/{epochs}  train {train:.4f}{held_out}  lr {row.learning_rate:.1e}  "
        f"{row.images_per_s:,.0f} images/s  {row.seconds:.1f} s"
    )
