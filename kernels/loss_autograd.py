"""Autograd for the fused losses: buffers for one launch's value and gradient, and the autograd function."""

import torch
from torch import Tensor


def outputs(logits: Tensor, programs: int) -> tuple[Tensor, Tensor]:
    """Buffers: each program's part of the value, fp32 [programs] (a scalar for one), and the gradient, fp32 [B, K]."""
    partial = torch.empty((programs,) if programs > 1 else (), dtype=torch.float32, device=logits.device)
    return partial, torch.empty_like(logits, dtype=torch.float32)


def total(partial: Tensor) -> Tensor:
    """The value, fp32 scalar: torch adds the parts in a fixed order, so it has the same bits every time."""
    return partial.sum() if partial.dim() else partial


def fake(logits: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    """Empty outputs of an op (logits, ...) -> (value, gradient), for the compiler."""
    return logits.new_empty((), dtype=torch.float32), torch.empty_like(logits, dtype=torch.float32)


class GradientFromForward(torch.autograd.Function):
    """A loss whose op gives the gradient too. Outside the op: cheapest in eager, and opaque to the compiler."""

    @staticmethod
    def forward(ctx, op, logits, *rest):  # type: ignore[no-untyped-def]
        loss, gradient = op(logits, *rest)
        ctx.save_for_backward(gradient)
        ctx.dtype, ctx.others = logits.dtype, len(rest)
        return loss

    @staticmethod
    def backward(ctx, upstream):  # type: ignore[no-untyped-def]
        if torch.is_grad_enabled():
            raise RuntimeError("Expected one differentiation, got create_graph (impl='triton'): choose impl='torch'")
        (gradient,) = ctx.saved_tensors
        # Scaled before it is rounded: without a GradScaler's factor an fp16 gradient is subnormal.
        scaled = torch.mul(gradient, upstream, out=torch.empty_like(gradient, dtype=ctx.dtype))
        return None, scaled, *([None] * ctx.others)
