"""One step of training: a batch of galaxies on the device becomes views, logits, a loss, gradients and new weights.

Nothing here waits for the device: no value is read, and no shape depends on one.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from galaxy_triton.config.schema import Config
from galaxy_triton.data.feed import Batch
from galaxy_triton.model import head as heads
from galaxy_triton.model.backend import Backend, compile_body
from galaxy_triton.model.views import ViewMaker
from galaxy_triton.predict.predictor import Predictor
from galaxy_triton.runs.checkpoint import Checkpoint
from galaxy_triton.system.processes import ALONE, Processes
from galaxy_triton.train.optimiser import Average, make_optimiser, one_cycle, restore

# Names of a step's parts in a profile.
AUGMENT = "galaxy_triton::augment"
BODY = "galaxy_triton::body"
LOSS = "galaxy_triton::loss"
BACKWARD = "galaxy_triton::backward"
UPDATE = "galaxy_triton::update"
LABELS = (AUGMENT, BODY, LOSS, BACKWARD, UPDATE)

# From one of LABELS to a context around that part of the step.
Label = Callable[[str], AbstractContextManager[object]]


def no_label(part: str) -> AbstractContextManager[object]:
    """The context of a part in a step that is not profiled."""
    return nullcontext()


class Learner:
    """Network, optimiser and weight average of one process, and the step that changes them.

    Args:
        config, backend: of the run.
        mean: fp32 [37], the mean of the training labels, which the untrained network predicts.
        largest: galaxies in this process's largest batch.
        steps: of the whole run, for the learning rate's schedule.
        processes: train together; each steps on its own part of the same batch.
    """

    def __init__(
        self, config: Config, backend: Backend, mean: Tensor, largest: int, steps: int, processes: Processes = ALONE
    ) -> None:
        self.config, self.backend, self.processes, self.steps = config, backend, processes, steps
        torch.manual_seed(config.run.seed)
        self.head = heads.HEADS[config.network.head]
        self.network = self._network(mean)
        self.body = compile_body(backend.body.name, processes.average_gradients(self.network, backend.device))
        self.optimiser = make_optimiser(self.network, config.optimiser, backend.device)
        self.scaler = torch.amp.GradScaler(backend.device.type, enabled=backend.precision.name == "fp16")
        self.average = Average(self.network, config.optimiser.average) if config.optimiser.average else None
        self.maker = ViewMaker(config.augmentation, backend.dtype, impl=backend.augment.name)
        self.buffer = self.maker.empty(-(-largest // config.run.accumulate), backend.device)
        self.seed = torch.tensor(config.run.seed, device=backend.device)
        self.label: Label = no_label

    def step(self, batch: Batch, epoch: Tensor, number: int) -> Tensor:
        """Make one step on random views of a batch.

        Args:
            batch: this process's galaxies.
            epoch: int64 scalar on the device, from which the views are drawn.
            number: of the step in the run, from 0.

        Returns:
            fp32 scalar on the device: the mean loss of this process's galaxies, times their share of the whole batch.
            Summed over the processes it is the mean loss of the whole batch.
        """
        self._prepare(number)
        parts = batch.split(self.config.run.accumulate)
        losses = []
        for place, part in enumerate(parts, 1):
            with self.label(AUGMENT):
                views = self.maker.random(part, self.seed, epoch, self.buffer)
            with self._synchronise(last=place == len(parts)):
                losses.append(self._backward(views, part.answers, part.share))
        self._update()
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    def learn(self, views: Tensor, answers: Tensor, number: int) -> Tensor:
        """Make one step on given views [B, 3, S, S] with labels fp32 [B, 37]; return their mean loss."""
        self._prepare(number)
        loss = self._backward(views, answers, 1.0)
        self._update()
        return loss

    def predictor(self) -> Predictor:
        """The network that is evaluated: with averaged weights where there are any."""
        network = self.network if self.average is None else self.average.module
        return Predictor(network, self.head, self.maker, self.backend, self.config)

    def state(self) -> dict[str, Any]:
        """The optimiser, the gradient scaler and the average's count, as plain tensors and numbers for `restore`."""
        state: dict[str, Any] = {"optimiser": self.optimiser.state_dict(), "scaler": self.scaler.state_dict()}
        if self.average is not None:
            state["averaged"] = self.average.steps
        return state

    def restore(self, checkpoint: Checkpoint) -> None:
        """Restore weights, optimiser, gradient scaler and average from a checkpoint.

        Raises:
            RuntimeError, ValueError, LookupError, TypeError, AttributeError: it is not of this network.
        """
        self.network.load_state_dict(checkpoint.weights)
        restore(self.optimiser, checkpoint.state["optimiser"])
        # Empty where the run was never trained in fp16.
        if checkpoint.state["scaler"]:
            self.scaler.load_state_dict(checkpoint.state["scaler"])
        if self.average is not None and checkpoint.average is not None:
            self.average.module.load_state_dict(checkpoint.average)
            self.average.steps = int(checkpoint.state["averaged"])

    def share_statistics(self) -> None:
        """Copy the first process's running statistics, which are the ones that are saved, to all others."""
        networks = [self.network] if self.average is None else [self.network, self.average.module]
        self.processes.copy_first(buffer for network in networks for buffer in network.buffers())

    def learning_rate(self, number: int) -> float:
        """The learning rate of a step of the run."""
        return one_cycle(number, self.steps, self.config.optimiser)

    def _network(self, mean: Tensor) -> heads.AnswerNet:
        network = heads.make_network(self.config.network, self.backend.norm.name)
        network.start_at(mean.cpu(), self.head)
        network.to(self.backend.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.config.run.sync_norm and self.processes.count > 1:
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return network

    def _prepare(self, number: int) -> None:
        torch.manual_seed(step_seed(self.config.run.seed, number, self.processes.rank))
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate(number)

    def _synchronise(self, last: bool) -> AbstractContextManager[object]:
        """Average gradients over the processes with a batch's last part alone, when those of all parts are added up."""
        if last or self.processes.count == 1:
            return nullcontext()
        unsynchronised: AbstractContextManager[object] = self.body.no_sync()  # type: ignore[operator]
        return unsynchronised

    def _backward(self, views: Tensor, answers: Tensor, share: float) -> Tensor:
        """Add the gradient of a part's loss to the parameters' gradients; return the loss times its share."""
        with self.label(BODY), self.backend.autocast():
            logits = self.body(views)
        with self.label(LOSS):
            loss = self.head.loss(logits, answers, self.backend.loss.name)
        with self.label(BACKWARD):
            # The processes' gradients are averaged, and the loss is their sum.
            self.scaler.scale(_times(loss, share * self.processes.count)).backward()  # type: ignore[no-untyped-call]
        return _times(loss.detach(), share)

    def _update(self) -> None:
        with self.label(UPDATE):
            clip = self.config.optimiser.clip
            if clip:
                self.scaler.unscale_(self.optimiser)
                nn.utils.clip_grad_norm_(self.network.parameters(), clip)
            self.scaler.step(self.optimiser)
            self.scaler.update()
            self.optimiser.zero_grad(set_to_none=True)
            if self.average is not None:
                self.average.update(self.network)


def _times(loss: Tensor, factor: float) -> Tensor:
    return loss if factor == 1 else loss * factor


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """The seed of torch's generator in a step, for dropout: far apart for neighbouring steps (Weyl's constant)."""
    return (seed + (step + 1) * 0x9E3779B97F4A7C15 + rank * 0xD1B54A32D192ED03) % 2**63
