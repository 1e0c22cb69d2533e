"""The optimiser, its schedule, and the average of the weights."""

import math
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from galaxy_triton.config.schema import Optimiser


def make_optimiser(network: nn.Module, options: Optimiser, device: torch.device) -> torch.optim.Optimizer:
    """AdamW, with weight decay on matrices and convolution kernels only: biases and norms add no capacity."""
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": options.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=options.lr, fused=device.type in ("cuda", "cpu"))


def restore(optimiser: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Restore the moments from an earlier optimiser's `state_dict`; learning rate and weight decay stay.

    Raises:
        ValueError: the moments are not of these parameters. The fused step would read and write beyond them.
    """
    optimiser.load_state_dict({**optimiser.state_dict(), "state": dict(state["state"])})
    for parameter in (parameter for group in optimiser.param_groups for parameter in group["params"]):
        moments = optimiser.state.get(parameter, {})
        layouts = {name: _layout(moment) for name, moment in moments.items()}
        wanted = {"step": ((), ()), "exp_avg": _layout(parameter), "exp_avg_sq": _layout(parameter)}
        if layouts and layouts != wanted:
            raise ValueError(f"moments of {layouts} for a parameter of {tuple(parameter.shape)}")


def _layout(tensor: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return tuple(tensor.shape), tensor.stride()


class Average:
    """The exponential moving average of a network's weights and buffers. Nothing in it waits for the device.

    The first update copies the network. After n updates the decay is at most n / (9 + n), as in TensorFlow's
    ExponentialMovingAverage; else the first weights and batch norm statistics would keep a share of decay^n. Integer
    buffers, such as batch norm's count of batches, are copied.

    Attributes:
        module: the averaged network.
        steps: the updates so far.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.module, self.decay, self.steps = deepcopy(network), decay, 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move towards the network as it is now."""
        averages, values = _tensors(self.module), _tensors(network)
        floats = [place for place, value in enumerate(values) if value.is_floating_point()]
        weight = 1 - min(self.decay, self.steps / (9 + self.steps))
        torch._foreach_lerp_([averages[place] for place in floats], [values[place] for place in floats], weight)
        for average, value in zip(averages, values, strict=True):
            if not value.is_floating_point():
                average.copy_(value)
        self.steps += 1


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]


def one_cycle(step: int, steps: int, options: Optimiser) -> float:
    """Learning rate of a step: linear from lr/25 to lr over the warm-up, then a cosine towards 0."""
    warm = options.warmup * steps
    if step < warm:
        return options.lr * (1 + 24 * step / warm) / 25
    return options.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))
