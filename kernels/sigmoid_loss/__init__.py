"""The sigmoid head's loss: mean squared error of sigmoid(logits), its gradient written in the forward launch."""

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from ..checks import require_choice, require_loss_inputs

__all__ = ["IMPLEMENTATIONS", "sigmoid_mse"]


def sigmoid_mse(logits: Tensor, targets: Tensor, *, weight: Tensor | None = None, impl: str = "triton") -> Tensor:
    """The mean over B*K of w_k (sigmoid(z) - y)^2, computed in fp32.

    Args:
        logits: float32, float16 or bfloat16 [B, K], contiguous, B >= 1; differentiable.
        targets: float32 [B, K], contiguous.
        weight: float32 [K], contiguous, or None for ones.
        impl: "torch", "compile" or "triton".

    Returns:
        fp32 scalar. The same bits each time for the same input.

    Raises:
        ValueError: a shape, dtype, device or choice other than these, or `impl` cannot run on the device.
        ImportError: `impl` is "triton" and Triton is not installed.
    """
    require_choice(impl, IMPLEMENTATIONS, "impl")
    require_loss_inputs(logits, targets, weight, None)
    return IMPLEMENTATIONS[impl]()(logits, targets, weight)


Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def _torch() -> Loss:
    from . import reference

    return reference.sigmoid_mse


@functools.cache
def _compile() -> Loss:
    from . import reference

    return torch.compile(reference.sigmoid_mse)


def _triton() -> Loss:
    from . import fused

    return fused.sigmoid_mse


IMPLEMENTATIONS: dict[str, Callable[[], Loss]] = {"torch": _torch, "compile": _compile, "triton": _triton}
