"""The training loop: epochs, steps, and what is saved between them."""

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from galaxy_triton.data.feed import Waiting, batches
from galaxy_triton.data.names import names_of
from galaxy_triton.data.order import batch_sizes, epoch_batches
from galaxy_triton.data.split import Split
from galaxy_triton.data.targets import targets
from galaxy_triton.evaluate.scores import rmse
from galaxy_triton.galaxyzoo.tables import shown
from galaxy_triton.model.device import be_deterministic, keep_freed_memory, peak_memory
from galaxy_triton.runs import checkpoint as checkpoints
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.runs.checkpoint import Checkpoint, Progress
from galaxy_triton.runs.folder import EpochRow
from galaxy_triton.system.console import Display, Update, duration
from galaxy_triton.system.errors import DataFault, Diverged, Stopped, UsageFault, expected
from galaxy_triton.system.provenance import provenance
from galaxy_triton.system.signals import CODES, Stop
from galaxy_triton.train.forecast import Forecast, smaller
from galaxy_triton.train.learner import Learner
from galaxy_triton.train.pace import Pace
from galaxy_triton.train.session import Session


class Trainer:
    """Trains one run.

    Args:
        session: with its galaxies loaded.
        split: rows to train on and to validate on.
        folder: of the run; it exists before `fit`.
    """

    def __init__(self, session: Session, split: Split, folder: Path) -> None:
        self.session, self.split, self.folder = session, split, folder
        self.run, self.processes, self.device = session.config.run, session.processes, session.backend.device
        keep_freed_memory(self.device)
        if self.run.deterministic:
            be_deterministic()
        self.rows = torch.from_numpy(split.train).to(self.device)
        self.validation_rows = torch.from_numpy(split.validation).to(self.device)
        answers = targets(session.galaxies.answers, self.rows, session.config.labels.stretch)
        self.galaxies = session.galaxies._replace(answers=answers)  # with the labels as they are learned
        self.sizes = batch_sizes(len(self.rows), self.run.batch_size)  # of an epoch's batches
        self.learner = self._make_learner()
        self.losses = torch.zeros(len(self.sizes), device=self.device)  # of an epoch's steps
        self.progress, self.pace, self.last_rmse = Progress(), Pace(), math.nan
        options = session.options  # a resumed run cannot change, and a fine-tuned one has its recipe
        less = "" if options.resume else "fewer --epochs" + f", or {smaller(session.config)}" * (not options.finetune)
        self.forecast = Forecast(len(self.sizes) * self.run.epochs, options.folds or 1, less, session.display)
        self.made_with = provenance()
        self.after_step: Callable[[], None] = lambda: None

    def fit(self, display: Display, stop: Stop) -> None:
        """Train the epochs that are left, and save a checkpoint after each.

        Raises:
            Stopped: a signal asked to stop; every step that was made is saved.
            Diverged: a loss is not finite.
            DataFault: the folder cannot be written; the last checkpoint is whole.
        """
        for epoch in range(self.progress.epoch, self.run.epochs):
            started, waiting, images = time.perf_counter(), Waiting(), sum(self.sizes[self.progress.step :])
            with display.progress(f"epoch {epoch + 1}/{self.run.epochs}", "images") as show:
                code = self._train_epoch(epoch, stop, show, waiting)
            seconds = time.perf_counter() - started
            if self.progress.step < len(self.sizes):
                self.save(run_folder.LAST)
                raise Stopped(code)
            row = self._finish_epoch(epoch, started, images / seconds, waiting.seconds / seconds)
            # A resumed epoch is a part of one.
            an_epoch = row.seconds + seconds * (sum(self.sizes) / max(images, 1) - 1)
            display.note(epoch_line(row, self.run.epochs, an_epoch * (self.run.epochs - row.epoch)))
            if code and self.progress.epoch < self.run.epochs:
                raise Stopped(code)

    def _train_epoch(self, epoch: int, stop: Stop, show: Update, waiting: Waiting) -> int:
        """Make the steps of an epoch that are left; a stop's exit code ends them early, else the return value is 0."""
        self.learner.network.train()
        order = epoch_batches(self.rows, self.galaxies.ids[self.rows], self.run.seed, epoch, self.run.batch_size)
        first, drawn, code = self.progress.step, torch.tensor(epoch, device=self.device), 0
        parts = [self.processes.part(rows) for rows in order[first:]]
        shares = [len(part) / len(rows) for part, rows in zip(parts, order[first:], strict=True)]
        self.pace.start(first)
        with closing(batches(self.galaxies, parts, shares, waiting)) as feed:
            for step, batch in enumerate(feed, first):
                self.losses[step] = self.learner.step(batch, drawn, epoch * len(order) + step)
                self.after_step()
                if self._must_read_losses(step, stop):
                    code = self._read_losses(order, step, stop)
                    self.forecast.look(epoch * len(order) + step + 1)
                show(sum(self.sizes[: step + 1]), len(self.rows))
                if code:
                    break
        return code

    def _must_read_losses(self, step: int, stop: Stop) -> bool:
        """One process alone sees a stop after any step; several must look after the same one."""
        regular = step >= self.pace.due or step + 1 == len(self.sizes) or self.device.type == "cpu"
        return regular or (stop.requested and self.processes.count == 1)

    def _read_losses(self, order: tuple[Tensor, ...], step: int, stop: Stop) -> int:
        """Add the losses of the steps since the last reading to the progress; here the host waits for the GPU.

        Returns:
            The exit code if any process was asked to stop, else 0.
        """
        codes = sorted(set(CODES.values()))
        wanted = torch.tensor([float(stop.code == code) for code in codes], device=self.device)
        read = self.processes.sum(torch.cat([self.losses[self.progress.step : step + 1], wanted])).tolist()
        losses, votes = read[: -len(codes)], read[-len(codes) :]
        total = self.progress.loss_sum
        for number, loss in enumerate(losses, self.progress.step):
            self._require_finite(loss, order[number])
            total += loss * len(order[number])
        self.progress = replace(self.progress, step=step + 1, loss_sum=total)
        if self.device.type != "cpu":
            self.pace.plan_next(step, self.processes)
        return next((code for code, count in zip(codes, votes, strict=True) if count), 0)

    def _require_finite(self, loss: float, rows: Tensor) -> None:
        if not math.isfinite(loss):
            session, names = self.session, names_of(self.session.store)
            exact = "" if session.backend.precision.name == "fp32" else ", or with --precision fp32"
            saved = f"; the checkpoint of epoch {self.progress.epoch} is whole" if self.progress.epoch else ""
            got = f"{loss} on the galaxies {', '.join(shown(names[row]) for row in rows.tolist())}"
            do = f"begin another run with an --lr below {session.config.optimiser.lr:g}{exact}{saved}"
            raise Diverged(expected("a finite loss", got, self.folder, do))

    def _finish_epoch(self, epoch: int, started: float, images_per_s: float, waiting: float) -> EpochRow:
        """Validate, write the epoch's row of figures, and save."""
        train_loss = self.progress.loss_sum / len(self.rows)
        error = self.last_rmse = self._validate()
        better = error < self.progress.best_rmse
        self.progress = Progress(epoch + 1, 0, 0.0, min(self.progress.best_rmse, error))
        row = EpochRow(
            epoch=epoch + 1,
            train_loss=train_loss,
            validation_loss=error**2,
            validation_rmse=error,
            learning_rate=self.learner.learning_rate(len(self.sizes) * (epoch + 1) - 1),
            images_per_s=images_per_s,
            waiting_for_data=waiting,
            peak_memory_mib=peak_memory(self.device) / 2**20,
            seconds=time.perf_counter() - started,
        )
        # The row first: a resumed run cuts rows that its checkpoint does not have.
        self.processes.by_first(lambda: run_folder.add_metrics(self.folder, row))
        # Best before last: a run that is killed between the two resumes before this epoch, and writes both again.
        if better:
            self.save(run_folder.BEST)
        self.save(run_folder.LAST)
        return row

    def _validate(self) -> float:
        """RMSE on the validation galaxies, of which each process predicts a part; nan where there are none."""
        if len(self.validation_rows) == 0:
            return math.nan
        self.learner.share_statistics()
        predictor, size = self.learner.predictor(), len(self.learner.buffer)  # as many at a time as a step has room for
        part = self.processes.part(self.validation_rows)
        found = predictor.answer(self.session.galaxies, part, self.run.views, size, lambda done: None)
        labels = self.session.galaxies.answers[self.validation_rows].cpu().numpy()
        return rmse(np.concatenate(self.processes.gather(found)), labels)

    def save(self, name: str) -> None:
        """Write the checkpoint `name` of the run."""
        self.processes.by_first(lambda: checkpoints.save(self.folder / name, self._checkpoint()))

    def resume(self, checkpoint: Checkpoint) -> None:
        """Restore weights, average, optimiser, gradient scaler and progress from a checkpoint of this run.

        Raises:
            DataFault: it was trained on another store, or is not of this network and optimiser.
        """
        store_hash = self.session.store.hash
        if checkpoint.store_hash != store_hash:
            want, got = f"the store with hash {checkpoint.store_hash[:12]}", f"one with hash {store_hash[:12]}"
            raise DataFault(expected(want, got, self.folder, "resume with the store that the run was trained on"))
        try:
            self.learner.restore(checkpoint)
        except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
            want = f"the weights and the optimiser's state of {self.session.config.network.name}"
            got = str(error).splitlines()[-1].strip()
            raise DataFault(expected(want, got, self.folder, "resume this run's own checkpoint")) from error
        self.progress = checkpoint.progress

    def stretched(self) -> int:
        """How many training galaxies are taught another answer than their label (`labels.stretch`)."""
        given, taught = self.session.galaxies.answers[self.rows], self.galaxies.answers[self.rows]
        return int((given != taught).any(dim=1).sum())

    def _make_learner(self) -> Learner:
        self._require_large_batches()
        config, start = self.session.config, self.session.start
        mean = self.session.galaxies.answers[self.rows].mean(dim=0)
        largest = -(-max(self.sizes) // self.processes.count)
        steps = len(self.sizes) * self.run.epochs
        learner = Learner(config, self.session.backend, mean, largest, steps, self.processes)
        if start is not None:
            learner.network.load_state_dict(start.checkpoint.prediction_weights)
            # every process begins with the weights that the first one has read
            self.processes.copy_first(learner.network.state_dict().values())
        return learner

    def _require_large_batches(self) -> None:
        smallest, count = min(self.sizes), self.processes.count
        if smallest < count:
            want, got = f"a galaxy for each of {count} processes", f"batches of {smallest}"
            raise UsageFault(expected(want, got, "--batch-size", "raise it, or start fewer processes"))
        if self.run.sync_norm and smallest // count < self.run.accumulate:
            # Its collectives want the same number of parts in every process.
            want, got = f"{self.run.accumulate} galaxies in each process's batch", str(smallest // count)
            raise UsageFault(expected(want, got, "--accumulate", "lower it, or leave out --sync-norm"))

    def _checkpoint(self) -> Checkpoint:
        session, learner = self.session, self.learner
        average = None if learner.average is None else learner.average.module.state_dict()
        weights, state = learner.network.state_dict(), learner.state()
        return Checkpoint(session.config, session.store.hash, self.progress, weights, average, state, self.made_with)


def epoch_line(row: EpochRow, epochs: int, left: float) -> str:
    """An epoch as a line of text. left: seconds that the other epochs will take."""
    validation = "" if math.isnan(row.validation_rmse) else f"  RMSE {row.validation_rmse:.4f}"
    return (
        f"epoch {row.epoch:>3}/{epochs}  train {math.sqrt(row.train_loss):.4f}{validation}  "
        f"{row.images_per_s:,.0f} images/s  {row.seconds:.1f} s" + f", {duration(left)} left" * (left > 0)
    )
