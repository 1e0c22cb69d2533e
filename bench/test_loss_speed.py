"""Value and gradient of the sigmoid head's loss, as a step of training asks for them."""

import pytest
import torch
from torch import Tensor

from galaxy_triton.kernels import sigmoid_mse

BATCH, COLUMNS = 256, 37


@pytest.mark.parametrize("impl", ["torch", "compile", "triton"])
def test_sigmoid_loss_speed(impl: str, timed, runnable, device: torch.device) -> None:
    runnable(impl)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    targets = torch.rand(BATCH, COLUMNS, device=device)

    def fresh() -> tuple[Tensor]:
        return (torch.randn(BATCH, COLUMNS, dtype=dtype, device=device).requires_grad_(),)

    timed(lambda logits: sigmoid_mse(logits, targets, impl=impl).backward(), fresh, BATCH)
