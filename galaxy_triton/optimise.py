"""The optimiser, its schedule, and the average of the weights."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from galaxy_triton.config import Optimiser

Tensors = tuple[Tensor, ...] | list[Tensor]


def make_optimiser(network: nn.Module, options: Optimiser, device: torch.device) -> torch.optim.Optimizer:
    """AdamW; weight decay on matrices and kernels only, as biases and norms are no capacity."""
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": options.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=options.lr, fused=device.type in ("cuda", "cpu"))


def restore(optimiser: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Take up the moments of an earlier optimiser's `state_dict`; the groups, which the configuration makes, stay.

    Raises:
        ValueError: they are not of these parameters. The fused step would read and write beyond them.
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


def average_of(network: nn.Module, decay: float) -> AveragedModel | None:
    """The exponential moving average of weights and buffers, or None for a decay of 0.

    After n steps the decay is (1 + n) / (10 + n) where that is less, as TensorFlow's ExponentialMovingAverage has it:
    the first weights, and batch norm's statistics of them, would else be in the average for 1 / (1 - decay) steps.
    Numbers that count, such as batch norm's batches, are those of the network.
    """
    if decay == 0:
        return None
    average = AveragedModel(network, use_buffers=True)
    average.multi_avg_fn = _towards(decay, average.n_averaged)
    return average


def _towards(decay: float, count: Tensor) -> Callable[[Tensors, Tensors, object], None]:
    """What moves averages towards the current values. count: of the steps so far, on the host, so nothing waits."""

    @torch.no_grad()
    def move(averages: Tensors, values: Tensors, _: object) -> None:
        steps = int(count)
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, values, 1 - min(decay, (1 + steps) / (10 + steps)))
        else:
            for average, value in zip(averages, values, strict=True):
                average.copy_(value)

    return move


def one_cycle(step: int, steps: int, options: Optimiser) -> float:
    """Learning rate of a step: linear from lr/25 to lr over the warm-up, then a cosine towards 0."""
    warm = options.warmup * steps
    if step < warm:
        return options.lr * (1 + 24 * step / warm) / 25
    return options.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the rate of every group."""
    for group in optimiser.param_groups:
        group["lr"] = rate
