"""A view by other means than the kernels': in float64 from the definitions, and by torchvision.

The float64 path rotates in the complex plane, makes borders by padding and leaves the colours to torchvision.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
import torchvision.transforms.v2.functional as TF
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import InterpolationMode

from galaxy_triton.kernels import AugmentParams, view_affine

Array = NDArray[np.float64]
Size = int | tuple[int, int]  # of a square, or (height, width)
Factors = tuple[float, float, float, float]  # of brightness, contrast, saturation and hue


@dataclass(frozen=True)
class View:
    """One view in words: degrees counter-clockwise, flips, magnification, shift in source pixels, corner of a crop."""

    angle: float = 0.0
    flip_x: bool = False
    flip_y: bool = False
    zoom: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    corner: tuple[float, float] = (0.0, 0.0)
    factors: Factors | None = None
    order: int = 0


def params(views: list[View], side: Size, device: torch.device) -> AugmentParams:
    """The views as an implementation takes them; either all of them have colour factors or none has."""
    rows = [[v.angle / 360, 1 - 2 * v.flip_x, 1 - 2 * v.flip_y, 1 / v.zoom, *v.shift, *v.corner] for v in views]
    columns = torch.tensor(rows, dtype=torch.float32, device=device).reshape(-1, 8)
    turns, flips, scale, shift, corner = columns.split((1, 2, 1, 2, 2), dim=1)
    affine = view_affine(turns[:, 0], flips, scale[:, 0], shift, corner, side=side)
    if any(v.factors is None for v in views):
        return AugmentParams(affine)
    factors = torch.tensor([v.factors for v in views], dtype=torch.float32, device=device).reshape(-1, 4)
    order = torch.tensor([v.order for v in views], dtype=torch.int32, device=device)
    return AugmentParams(affine, factors, order)


def render(image: Tensor, view: View, size: Size, border: str = "zeros") -> Tensor:
    """uint8 [3, H, W] -> float64 [3, *size] in [0, 1]."""
    x, y = _source(view, tuple(image.shape[1:]), (size, size) if isinstance(size, int) else size)
    colour = torch.from_numpy(_bilinear(image.permute(1, 2, 0).numpy() / 255, x, y, border)).permute(2, 0, 1)
    return recolour(colour, view)


def warp(image: Tensor, view: View, size: Size) -> Tensor:
    """float [3, H, W] -> [3, *size] by torchvision; no zoom, no shift, no colours."""
    image = TF.rotate(image, view.angle, InterpolationMode.BILINEAR, fill=None)
    image = TF.hflip(image) if view.flip_x else image
    image = TF.vflip(image) if view.flip_y else image
    height, width = (size, size) if isinstance(size, int) else size
    return TF.crop(image, int(view.corner[1]), int(view.corner[0]), height, width)


def recolour(image: Tensor, view: View) -> Tensor:
    """float [3, H, W] -> the same by torchvision's four colour operations."""
    if view.factors is None:
        return image
    adjust = (TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation, TF.adjust_hue)
    for operation in list(itertools.permutations(range(4)))[view.order]:
        image = adjust[operation](image, view.factors[operation])
    return image


def _source(view: View, shape: tuple[int, int], size: tuple[int, int]) -> tuple[Array, Array]:
    """Where each output pixel comes from: undo the crop, the flips, the rotation, the zoom and the shift, in turn."""
    middle_y, middle_x = (shape[0] - 1) / 2, (shape[1] - 1) / 2
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float64)
    # The complex plane has its imaginary axis upwards, an image its y downwards.
    right, up = x + view.corner[0] - middle_x, middle_y - (y + view.corner[1])
    place = (-right if view.flip_x else right) + 1j * (-up if view.flip_y else up)
    place = place * np.exp(-1j * math.radians(view.angle)) / view.zoom
    return middle_x + place.real + view.shift[0], middle_y - place.imag + view.shift[1]


def _bilinear(image: Array, x: Array, y: Array, border: str) -> Array:
    margin = 2 + int(max(np.abs(x).max(), np.abs(y).max()))  # no place lies further outside
    mode = {"zeros": "constant", "reflect": "symmetric"}[border]
    padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode=mode)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = (x - left)[..., None], (y - top)[..., None]
    left, top = left + margin, top + margin
    upper = padded[top, left] * (1 - fx) + padded[top, left + 1] * fx
    lower = padded[top + 1, left] * (1 - fx) + padded[top + 1, left + 1] * fx
    return upper * (1 - fy) + lower * fy
