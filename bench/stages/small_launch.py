"""One small launch of each kernel: what the sanitizers watch. The device is the argument."""

import sys

import torch
from stage import full_ranges, sources

from galaxy_triton.kernels import AugmentDraw, augment, sample, sigmoid_mse


def main(device: str) -> None:
    pixels, index = sources(3, 40, device), torch.tensor([2, 0, 1, 2], device=device)
    draw = AugmentDraw(torch.tensor(1, device=device), torch.tensor(2, device=device), index, full_ranges())
    for given, border, layout in ((draw, "zeros", 3), (sample(draw, side=40, size=33), "reflect", 4)):
        augment(pixels, index, given, size=33, border=border, layout=layout, impl="triton")
    for rows in (5, 500):
        logits = torch.randn(rows, 37, device=device, requires_grad=True)
        weight = torch.rand(37, device=device)
        sigmoid_mse(logits, torch.rand(rows, 37, device=device), weight=weight, impl="triton").backward()
    if device == "cuda":
        torch.cuda.synchronize()


main(sys.argv[1])
