"""The timed losses, value and gradient together, and their probabilities in float64 for comparison."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from galaxy_triton.galaxyzoo.questions import PARENTS, SIZES
from galaxy_triton.kernels import Tree, sigmoid_mse, tree_mse, tree_probabilities, unavailable

TREE = Tree(SIZES, PARENTS)
COLUMNS = sum(SIZES)


class Loss(NamedTuple):
    """loss: (logits, targets, implementation) -> scalar. probabilities: float64 logits -> float64, for the truth."""

    loss: Callable[[Tensor, Tensor, str], Tensor]
    probabilities: Callable[[Tensor], Tensor]


LOSSES: dict[str, Loss] = {
    "sigmoid": Loss(lambda logits, targets, impl: sigmoid_mse(logits, targets, impl=impl), Tensor.sigmoid),
    "tree": Loss(
        lambda logits, targets, impl: tree_mse(logits, targets, TREE, impl=impl),
        lambda logits: tree_probabilities(logits, TREE),
    ),
}

# impl -> its name in a table
ROWS = {"torch": "torch reference", "compile": "torch reference, compiled", "triton": "Triton"}


def reason_to_skip(impl: str, device: torch.device) -> str | None:
    """Why a row cannot be measured here; None if it can."""
    if impl == "triton" and device.type == "cpu":
        return "needs a CUDA GPU: the time of Triton's interpreter means nothing"
    return unavailable(impl, device)


def inputs(batch: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Logits and targets [batch, K]; on a GPU bf16 logits, as under autocast."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    logits = torch.randn(batch, COLUMNS, device=device).to(dtype).requires_grad_()
    return logits, torch.rand(batch, COLUMNS, device=device)


def loss_call(name: str, impl: str, logits: Tensor, targets: Tensor) -> Callable[[], tuple[Tensor, Tensor]]:
    """A function that computes value and gradient of the same batch at each call."""

    def call() -> tuple[Tensor, Tensor]:
        value = LOSSES[name].loss(logits, targets, impl)
        return value.detach(), torch.autograd.grad(value, logits)[0]

    return call


def captured(call: Callable[[], tuple[Tensor, ...]]) -> tuple[Callable[[], None], tuple[Tensor, ...]]:
    """Capture a call in a CUDA graph; returns the replay function and the tensors that a replay fills."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # compile, and warm up autograd and the allocator
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        filled = call()
    return graph.replay, filled
