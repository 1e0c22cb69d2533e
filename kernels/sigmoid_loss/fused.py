"""Value and gradient of the sigmoid head's mean squared error in one launch.

p = σ(z);  L = mean(w (p - y)²);  dL/dz = 2 w (p - y) p (1 - p) / n,  n = B K.

One program covers a usual batch; above that there are many, each of which writes a partial sum.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .. import loss_autograd
from ..availability import require_triton
from ..launch_settings import settings


@triton.jit
def _sigmoid_mse_kernel(
    logits_ptr,  # [B, K]
    targets_ptr,  # fp32 [B, K]
    weight_ptr,  # fp32 [K]
    partial_ptr,  # fp32 [programs]
    gradient_ptr,  # fp32 [B, K]
    count,  # B * K
    over_count,  # 1 / count
    COLUMNS: tl.constexpr,
    WEIGHTED: tl.constexpr,
    BLOCK: tl.constexpr,
    TILE: tl.constexpr,
):
    start = tl.program_id(0).to(tl.int64) * BLOCK
    left = tl.minimum(count - start, BLOCK).to(tl.int32)
    column = (start % COLUMNS).to(tl.int32)
    total = tl.zeros([TILE], tl.float32)
    for tile in range(BLOCK // TILE):
        place = tile * TILE + tl.arange(0, TILE)
        mask = place < left
        z = tl.load(logits_ptr + start + place, mask=mask, other=0.0).to(tl.float32)
        y = tl.load(targets_ptr + start + place, mask=mask, other=0.0)
        p = tl.sigmoid(z)
        # sigmoid(0) is 0.5, so masked lanes must be cleared after it.
        error = tl.where(mask, p - y, 0.0)
        weighted = error
        if WEIGHTED:
            weighted = error * tl.load(weight_ptr + (column + place) % COLUMNS, mask=mask, other=0.0)
        total += weighted * error
        tl.store(gradient_ptr + start + place, 2.0 * weighted * p * (1.0 - p) * over_count, mask=mask)
    tl.store(partial_ptr + tl.program_id(0), tl.sum(total, axis=0) * over_count)


torch.library.define(
    "galaxy_triton::sigmoid_mse", "(Tensor logits, Tensor targets, Tensor? weight) -> (Tensor, Tensor)"
)


@torch.library.impl("galaxy_triton::sigmoid_mse", ("cpu", "cuda"))
def _sigmoid_mse(logits: Tensor, targets: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    require_triton(logits.device)
    count, launch = logits.numel(), settings(logits.device).sigmoid
    block = launch.alone if count <= launch.alone else launch.tile
    partial, gradient = loss_autograd.outputs(logits, triton.cdiv(count, block))
    # Triton launches on the current device, which need not be the tensors'.
    with torch.cuda.device_of(logits):
        _sigmoid_mse_kernel[(partial.numel(),)](
            logits,
            targets,
            targets if weight is None else weight,
            partial,
            gradient,
            count,
            1 / count,
            COLUMNS=logits.shape[1],
            WEIGHTED=weight is not None,
            BLOCK=block,
            TILE=launch.tile,
            **launch.compiler_options,
        )
    return loss_autograd.total(partial), gradient


torch.library.register_fake("galaxy_triton::sigmoid_mse", loss_autograd.fake)


def sigmoid_mse(logits: Tensor, targets: Tensor, weight: Tensor | None) -> Tensor:
    """As the reference; the gradient is written by the forward launch."""
    op = torch.ops.galaxy_triton.sigmoid_mse
    loss: Tensor = loss_autograd.GradientFromForward.apply(op, logits, targets, weight)
    return loss
