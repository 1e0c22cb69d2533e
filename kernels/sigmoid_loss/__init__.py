"""The sigmoid head's loss: mean squared error of sigmoid(logits), its gradient written in the forward launch."""

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from ..checks import require, require_tensor

__all__ = ["IMPLEMENTATIONS", "sigmoid_mse"]

DTYPES = (torch.float32, torch.float16, torch.bfloat16)


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
        ValueError: a shape, dtype, device or choice other than these.
        ImportError: `impl` is "triton" and Triton is not installed.
    """
    require(impl in IMPLEMENTATIONS, "one of " + ", ".join(IMPLEMENTATIONS), repr(impl), "impl", "choose one")
    require_tensor(logits, "logits", (None, None), DTYPES, logits.device)
    require(logits.numel() > 0, "at least one row", list(logits.shape), "logits", "skip an empty batch")
    require_tensor(targets, "targets", tuple(logits.shape), (torch.float32,), logits.device)
    if weight is not None:
        require_tensor(weight, "weight", (logits.shape[1],), (torch.float32,), logits.device)
    for name, tensor in (("logits", logits), ("targets", targets), ("weight", weight)):
        if tensor is not None:
            require(tensor.is_contiguous(), "contiguous memory", tensor.stride(), name, "call .contiguous()")
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
