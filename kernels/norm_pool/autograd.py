"""Autograd for the closed forms of norm_relu_pool, and the update of the running statistics."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

# y [B, C, h, w] in x's type; the value of x chosen in each window, and its place there; mean and biased variance [C].
Forward = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


class Steps(NamedTuple):
    """forward(x, weight, bias, eps); backward(upstream, x, weight, *Forward, eps): gradients of x, weight and bias."""

    forward: Callable[[Tensor, Tensor, Tensor, float], Forward]
    backward: Callable[..., tuple[Tensor, Tensor, Tensor]]


def norm_relu_pool(
    steps: Steps,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    momentum: float,
    eps: float,
) -> Tensor:
    """y by the steps, which take x in channels_last."""
    x = x.contiguous(memory_format=torch.channels_last)
    y, mean, var = _DifferentiableOnce.apply(steps, x, weight, bias, eps)
    count = x.numel() // x.shape[1]
    with torch.no_grad():
        running_mean.lerp_(mean, momentum)
        running_var.lerp_(var * (count / (count - 1)), momentum)
    result: Tensor = y
    return result


class _DifferentiableOnce(torch.autograd.Function):
    """Outside the op: cheapest in eager, and opaque to the compiler."""

    @staticmethod
    def forward(ctx, steps, x, weight, bias, eps):  # type: ignore[no-untyped-def]
        kept = steps.forward(x, weight, bias, eps)
        ctx.save_for_backward(x, weight, *kept)
        ctx.steps, ctx.eps = steps, eps
        y, _, _, mean, var = kept
        ctx.mark_non_differentiable(mean, var)
        return y, mean, var

    @staticmethod
    def backward(ctx, upstream, *_):  # type: ignore[no-untyped-def]
        if torch.is_grad_enabled():
            raise RuntimeError("Expected one differentiation, got create_graph (norm_relu_pool): write it in plain ops")
        # The gradient of a mean over places is one number, expanded.
        upstream = upstream.contiguous(memory_format=torch.channels_last)
        return None, *ctx.steps.backward(upstream, *ctx.saved_tensors, ctx.eps), None
