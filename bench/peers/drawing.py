"""Random parameters of a batch from torch's generator, for libraries that draw none for each image."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from bench.kernels.scene import Scene

# (a, b, c): a place on one axis of the source is a x + b y + c; each fp32 [B].
Line = tuple[Tensor, Tensor, Tensor]


class Drawn(NamedTuple):
    """Random parameters, each a tensor of its own, fp32 [B]: a stack of them would cost a compiler another pass.

    degrees: of rotation. flips: bool, horizontal and vertical. corner: x and y of the crop. jitter: factors of
    brightness, contrast and saturation, and hue in turns.
    """

    degrees: Tensor
    flips: tuple[Tensor, Tensor]
    corner: tuple[Tensor, Tensor]
    jitter: tuple[Tensor, Tensor, Tensor, Tensor]


def draw(scene: Scene, count: int, device: torch.device) -> Drawn:
    """As `galaxy_triton.kernels.sample` draws, but from another generator."""
    ranges, spare = scene.ranges, scene.side - scene.size
    turn, flip_x, flip_y, x, y, *jitter = torch.rand(9, count, device=device).unbind()
    flips = (flip_x < ranges.horizontal_flip, flip_y < ranges.vertical_flip)
    corner = tuple(torch.floor(unit * (spare + 1)) if ranges.random_crop else 0 * unit + spare / 2 for unit in (x, y))
    strengths = zip((1, 1, 1, 0), ranges.jitter, jitter, strict=True)
    factors = tuple(middle + strength * (2 * unit - 1) for middle, strength, unit in strengths)
    return Drawn((2 * turn - 1) * ranges.rotation, flips, corner, factors)


def affine(drawn: Drawn, side: int) -> tuple[Line, Line]:
    """From places in a view to x and y in a square image, as AugmentParams.affine does: rotate, flip, crop."""
    angle = drawn.degrees * (math.pi / 180)
    cos, sin, middle = torch.cos(angle), torch.sin(angle), (side - 1) / 2
    flip_x, flip_y = (torch.where(flipped, -1.0, 1.0) for flipped in drawn.flips)
    x, y = (corner - middle for corner in drawn.corner)
    along_x, along_y = (cos * flip_x, -sin * flip_y), (sin * flip_x, cos * flip_y)
    to_x, to_y = ((a, b, a * x + b * y + middle) for a, b in (along_x, along_y))
    return to_x, to_y


def matrix(lines: tuple[Line, Line]) -> Tensor:
    """fp32 [B, 2, 3], as AugmentParams.affine."""
    return torch.stack([torch.stack(line, dim=1) for line in lines], dim=1)
