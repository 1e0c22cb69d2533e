"""The training step."""

import torch
from torch import Tensor

from galaxy_triton import head as heads
from galaxy_triton.answer import Answerer
from galaxy_triton.config import Config
from galaxy_triton.data import Galaxies
from galaxy_triton.feed import Batch
from galaxy_triton.machine import Machine, compiled
from galaxy_triton.optimise import average_of, make_optimiser, one_cycle, set_learning_rate
from galaxy_triton.views import ViewMaker


class Learner:
    """Network, optimiser and averages."""

    def __init__(self, config: Config, machine: Machine, mean_answers: Tensor, side: int, total_steps: int) -> None:
        self.config, self.machine, self.total_steps = config, machine, total_steps
        torch.manual_seed(config.run.seed)
        self.head = heads.HEADS[config.network.head]
        self.network = heads.make_network(config.network)
        self.network.start_at(mean_answers.cpu(), self.head)
        self.network.to(machine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.step_network = compiled(machine.body.name, self.network)
        self.optimiser = make_optimiser(self.network, config.optimiser, machine.device)
        self.scaler = torch.amp.GradScaler(machine.device.type, enabled=machine.precision.name == "fp16")
        self.average = average_of(self.network, config.optimiser.average)
        self.maker = ViewMaker(config.augmentation, machine.dtype, impl=machine.augment.name)
        self.buffer = self.maker.empty(config.run.batch_size, machine.device)
        self.seed = torch.tensor(config.run.seed, device=machine.device)

    def step(self, batch: Batch, epoch: Tensor, number: int) -> Tensor:
        galaxies = Galaxies(batch.pixels, batch.ids, batch.answers)
        views = self.maker.random(galaxies._replace(ids=_Ids(batch.ids)), batch.index, self.seed, epoch, self.buffer)  # type: ignore[arg-type]
        return self.learn(views, batch.answers, number)

    def learn(self, views: Tensor, answers: Tensor, number: int) -> Tensor:
        torch.manual_seed((self.config.run.seed + (number + 1) * 0x9E3779B97F4A7C15) % 2**63)
        set_learning_rate(self.optimiser, one_cycle(number, self.total_steps, self.config.optimiser))
        self.network.train()
        with self.machine.autocast():
            logits = self.step_network(views)
        loss = self.head.loss(logits, answers, self.machine.loss.name)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update_parameters(self.network)
        return loss.detach()

    def answerer(self) -> Answerer:
        network = self.network if self.average is None else self.average.module
        return Answerer(network, self.head, self.maker, self.machine, self.config)


class _Ids:
    """Ids of a batch, whatever is asked of them."""

    def __init__(self, ids: Tensor) -> None:
        self.ids = ids

    def __getitem__(self, rows: Tensor) -> Tensor:
        return self.ids
