"""Value and gradient of the heads' losses, as a step of training asks for them."""

import functools

import pytest
import torch
from torch import Tensor

from galaxy_triton.kernels import Tree, sigmoid_mse, tree_mse
from galaxy_triton.questions import PARENTS, SIZES

BATCH, COLUMNS = 256, 37
LOSSES = {"sigmoid": sigmoid_mse, "tree": functools.partial(tree_mse, tree=Tree(SIZES, PARENTS))}


@pytest.mark.parametrize("impl", ["torch", "compile", "triton"])
@pytest.mark.parametrize("head", LOSSES)
def test_loss_speed(head: str, impl: str, timed, runnable, device: torch.device) -> None:
    runnable(impl)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    targets = torch.rand(BATCH, COLUMNS, device=device)

    def fresh() -> tuple[Tensor]:
        return (torch.randn(BATCH, COLUMNS, dtype=dtype, device=device).requires_grad_(),)

    timed(lambda logits: LOSSES[head](logits, targets, impl=impl).backward(), fresh, BATCH)
