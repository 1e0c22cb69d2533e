"""One of several processes that train together, started by test_processes.py; it writes its steps to a file.

    python rank_job.py STORE OUT [--resume]

A run in OUT/whole-COUNT is trained to its end. Another in OUT/stopped is stopped by the last process alone after its
second step, and all end; the number of threads that each has left is printed. With --resume the run goes on from there,
and then the last process is killed in the second step of another.
"""

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from galaxy_triton.evaluate.scores import rmse
from galaxy_triton.model import head as heads
from galaxy_triton.predict.predictor import make_predictor
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.runs.checkpoint import load as load_checkpoint
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault, Stopped
from galaxy_triton.system.processes import Processes, join_processes
from galaxy_triton.system.signals import REQUEUE, Stop
from galaxy_triton.train.loop import Trainer
from tests.support.sessions import StopAfter, open_session, trainer_of
from tests.support.tiny import TINY

# Batch norm takes the statistics of a process's part; without it and dropout nothing depends on the parts.
SETTINGS: dict[str, Any] = {
    "network.dropout": 0,
    "optimiser.average": 0.5,
    "run.accumulate": 2,
    "run.norm": "layers",
}


def small_trainer(store: Path, folder: Path, processes: Processes) -> Trainer:
    """A run of two epochs of three steps, of a network without batch norm."""
    session = open_session(store, folder, {**TINY, **SETTINGS}, processes)
    made = heads.make_network
    heads.make_network = lambda network, norm: without_norms(made(network, "layers"))  # type: ignore[assignment]
    try:
        return trainer_of(session)
    finally:
        heads.make_network = made


def without_norms(network: Any) -> Any:
    for layer in network.modules():
        for name, child in layer.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(layer, name, nn.Identity())
    return network


def record_steps(trainer: Trainer) -> list[dict[str, Any]]:
    """A list to which each step will add its ids, share, views, loss and gradients."""
    steps: list[dict[str, Any]] = []
    learner, views = trainer.learner, []  # type: ignore[var-annotated]
    step, update, random = learner.step, learner._update, learner.maker.random

    def recording_step(batch: Any, epoch: Tensor, number: int) -> Tensor:
        steps.append({"ids": batch.ids, "share": batch.share})
        loss = step(batch, epoch, number)
        steps[-1] |= {"loss": loss, "views": torch.cat(views)}
        views.clear()
        return loss

    def recording_random(*given: Any) -> Tensor:
        views.append(random(*given).clone())
        return views[-1]

    def recording_update() -> None:
        gradients = [parameter.grad.clone() for parameter in learner.network.parameters() if parameter.grad is not None]
        steps[-1]["gradients"] = gradients
        update()

    object.__setattr__(learner.maker, "random", recording_random)
    learner.step, learner._update = recording_step, recording_update  # type: ignore[method-assign]
    return steps


def train_whole(store: Path, folder: Path, processes: Processes) -> dict[str, Any]:
    trainer = small_trainer(store, folder, processes)
    steps = record_steps(trainer)
    trainer.fit(Display(quiet=True), Stop())
    return {"steps": steps, "rmse": trainer.last_rmse}


def train_until_a_stop(store: Path, folder: Path, processes: Processes) -> None:
    trainer = small_trainer(store, folder, processes)
    last = processes.rank == processes.count - 1
    trainer.fit(Display(quiet=True), StopAfter(trainer, 2, REQUEUE) if last else Stop())


def train_on(store: Path, folder: Path, processes: Processes) -> dict[str, Any]:
    trainer = small_trainer(store, folder, processes)
    trainer.resume(load_checkpoint(folder / run_folder.LAST))
    began = trainer.progress
    trainer.fit(Display(quiet=True), Stop())
    return {"began": (began.epoch, began.step), "rmse": trainer.last_rmse}


def train_with_norms(store: Path, folder: Path, processes: Processes) -> dict[str, float]:
    """The RMSE that a run with batch norm and averages gives, and that of the network which it saved."""
    session = open_session(store, folder, {**TINY, "optimiser.average": 0.5, "run.epochs": 1}, processes)
    trainer = trainer_of(session)
    trainer.fit(Display(quiet=True), Stop())
    processes.agree("saved")
    predictor = make_predictor(load_checkpoint(folder / run_folder.LAST), session.config, session.backend)
    rows = torch.from_numpy(trainer.split.validation)
    answers = predictor.answer(session.galaxies, rows, session.config.run.views, len(rows), lambda done: None)
    return {"rmse": trainer.last_rmse, "saved": rmse(answers, session.galaxies.answers[rows].numpy())}


def lose_a_process(store: Path, folder: Path, processes: Processes) -> None:
    trainer = small_trainer(store, folder, processes)
    step = trainer.learner.step

    def dying(batch: Any, epoch: Tensor, number: int) -> Tensor:
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(batch, epoch, number)

    if processes.rank == processes.count - 1:
        trainer.learner.step = dying  # type: ignore[method-assign]
    trainer.fit(Display(quiet=True), Stop())


def count_threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("store", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        with join_processes("cpu") as processes:
            file = options.out / f"{processes.count}-{processes.rank}.pt"
            if options.resume:
                torch.save(train_on(options.store, options.out / "stopped", processes), file)
                lose_a_process(options.store, options.out / "bereft", processes)
            found = train_whole(options.store, options.out / f"whole-{processes.count}", processes)
            found["normed"] = train_with_norms(options.store, options.out / "normed", processes)
            found["threads"] = count_threads()
            torch.save(found, file)
            train_until_a_stop(options.store, options.out / "stopped", processes)
    except Stopped as stop:
        print(f"threads: {count_threads()}")
        sys.exit(stop.code)
    except DataFault as fault:
        sys.exit(str(fault))


if __name__ == "__main__":
    main()
