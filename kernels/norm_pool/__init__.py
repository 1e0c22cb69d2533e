"""The end of a VGG block: batch norm in training, ReLU and max pooling over 2x2."""

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..checks import FLOATS, device_of, number, require, require_choice, require_constant, require_tensor

__all__ = ["IMPLEMENTATIONS", "norm_relu_pool"]


def norm_relu_pool(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    *,
    momentum: float = 0.1,
    eps: float = 1e-5,
    impl: str = "triton",
) -> Tensor:
    """max_pool2d(relu(batch_norm(x)), 2), normalised by the batch's own moments (Ioffe and Szegedy, 2015).

    The running statistics move by `momentum` towards the batch's mean and unbiased variance, as nn.BatchNorm2d's do.
    Of equal values in a window the first gets the gradient, in the order of rows, as max_pool2d gives it.

    Args:
        x: float32, float16 or bfloat16 [B, C, H, W], H and W at least 2; copied unless in channels_last;
            differentiable, once.
        weight, bias: float32 [C], differentiable. With a weight of 0 all of a window are equal.
        running_mean, running_var: float32 [C], written to.
        momentum: 0 to 1. eps: added to the variance, not negative.
        impl: "torch", "compile" or "triton".

    Returns:
        [B, C, H // 2, W // 2] in x's type, channels_last; the arithmetic is fp32. The same bits each time for the same
        input.

    Raises:
        ValueError: a shape, dtype, device or choice other than these, or `impl` cannot run on the device.
        ImportError: `impl` is "triton" and Triton is not installed.
    """
    require_choice(impl, IMPLEMENTATIONS, "impl")
    require_tensor(x, "x", (None, None, None, None), FLOATS, device_of(x))
    pools = x.numel() > 0 and min(x.shape[2:]) >= 2
    require(pools, "at least one image of 2x2 pixels or more", list(x.shape), "x", "skip it")
    given = {"weight": weight, "bias": bias, "running_mean": running_mean, "running_var": running_var}
    for name, tensor in given.items():
        require_tensor(tensor, name, (x.shape[1],), (torch.float32,), x.device)
    for name, tensor in (("running_mean", running_mean), ("running_var", running_var)):
        require_constant(tensor, name)
        single = tensor.stride(0) > 0 or len(tensor) == 1
        require(single, "memory of its own for each channel", "an expanded tensor", name, "call .clone()")
    momentum, eps = number(momentum, 0, 1, "momentum"), number(eps, 0, math.inf, "eps")
    # The kernels read weight and bias as contiguous.
    return IMPLEMENTATIONS[impl]()(x, weight.contiguous(), bias.contiguous(), running_mean, running_var, momentum, eps)


NormReluPool = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, float, float], Tensor]


def _torch() -> NormReluPool:
    from . import closed_form

    return closed_form.norm_relu_pool


@functools.cache
def _compile() -> NormReluPool:
    from . import reference

    return torch.compile(reference.norm_relu_pool)


def _triton() -> NormReluPool:
    from . import fused

    return fused.norm_relu_pool


IMPLEMENTATIONS: dict[str, Callable[[], NormReluPool]] = {"torch": _torch, "compile": _compile, "triton": _triton}
