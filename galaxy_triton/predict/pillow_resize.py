"""Pillow's BILINEAR resize of bytes in plain torch, with the same result to the bit.

As libImaging/Resample.c does it: a triangle as wide as the scale, its weights normalised in double precision and
rounded to 22 bits; along the rows first, then along the columns, each pass rounded to bytes.
"""

import torch
from torch import Tensor, nn

from galaxy_triton.config.schema import Preprocess

BITS = 22  # of a weight's fraction: Pillow's PRECISION_BITS


class PillowResize(nn.Module):
    """The centre crop and the resize that `images.decode` applies to a decoded image.

    Products of bytes and weights have 30 bits, so their sums in double precision are exact in any order.
    """

    weights: Tensor  # float64 [size, crop]

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        offset = (preprocess.frame - preprocess.crop) // 2
        self.centre = slice(offset, offset + preprocess.crop)
        self.register_buffer("weights", bilinear_weights(preprocess.crop, preprocess.size))

    def forward(self, frames: Tensor) -> Tensor:
        """uint8 [B, 3, frame, frame] -> float64 [B, 3, size, size], whole numbers from 0 to 255."""
        cropped = frames[..., self.centre, self.centre].to(torch.float64)
        narrow = _rounded(torch.matmul(cropped, self.weights.T))  # [B, 3, crop, size]
        return _rounded(torch.matmul(self.weights, narrow))


def bilinear_weights(source: int, size: int) -> Tensor:
    """The weight of each of `source` pixels in each of `size` pixels: float64 [size, source], multiples of 2**-22."""
    scale = source / size
    centre = (torch.arange(size, dtype=torch.float64)[:, None] + 0.5) * scale
    distance = torch.arange(source, dtype=torch.float64) - centre + 0.5
    triangle = (1 - (distance * (1 / max(scale, 1.0))).abs()).clamp(min=0)
    return _rounded(triangle / triangle.sum(1, keepdim=True) * 2.0**BITS) / 2.0**BITS


def _rounded(values: Tensor) -> Tensor:
    return torch.floor(values + 0.5)
