"""One small launch of each kernel, for the sanitizers. The argument is the device."""

import sys

import torch

from bench.gpu.stages.stage import full_ranges, sources
from bench.kernels.loss_rows import COLUMNS, TREE
from galaxy_triton.kernels import AugmentDraw, NormReluPool, RandomView, augment, sample, sigmoid_mse, tree_mse


def augmentation(device: str) -> None:
    """Drawn and given, each border and layout; rows of a store and batches of bytes and floats."""
    pixels, index = sources(3, 40, device), torch.tensor([2, 0, 1, 2], device=device)
    draw = AugmentDraw(torch.tensor(1, device=device), torch.tensor(2, device=device), index, full_ranges())
    given = sample(draw, side=40, size=33)
    for views, border, layout, dtype in (
        (draw, "zeros", 3, torch.float32),
        (given, "reflect", 4, torch.float32),
        (draw, "zeros", 4, torch.float16),  # whole words
    ):
        augment(pixels, index, views, size=33, border=border, layout=layout, dtype=dtype, impl="triton")
    view = RandomView((17, 33), 30, (0.5, 0.5), 1.2, 2.0, (0.1, 0.1, 0.1, 0.05), crop="random", impl="triton").to(
        device
    )
    batch = torch.randint(0, 256, (3, 3, 21, 40), dtype=torch.uint8, device=device)
    for images in (batch, batch / 255):
        view(images)


def losses(device: str, rows: int) -> None:
    """Value and gradient, with weights."""
    logits = torch.randn(rows, COLUMNS, device=device, requires_grad=True)
    targets, weight = torch.rand(rows, COLUMNS, device=device), torch.rand(COLUMNS, device=device)
    sigmoid_mse(logits, targets, weight=weight, impl="triton").backward()
    tree_mse(logits, targets, TREE, weight=weight, impl="triton").backward()


def block_ends(device: str, side: int) -> None:
    """Forward and backward; an odd side leaves a row and a column out."""
    x = torch.randn(3, 20, side, side, device=device, requires_grad=True)
    NormReluPool(20, impl="triton").to(device)(x).sum().backward()


def main(device: str) -> None:
    augmentation(device)
    for side in (7, 64):
        block_ends(device, side)
    for rows in (5, 500):
        losses(device, rows)
    if device == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main(sys.argv[1])
