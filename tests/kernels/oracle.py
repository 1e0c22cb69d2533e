"""A view in float64 numpy, written from the definitions and by other means than the kernels.

Rotation in the complex plane, borders by padding, hue by the sectors of the textbook.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from galaxy_triton.kernels import AugmentParams, view_affine

Array = NDArray[np.float64]
Size = int | tuple[int, int]  # of a square, or (height, width)


@dataclass(frozen=True)
class View:
    """One view in words: degrees counter-clockwise, flips, magnification, shift in source pixels, corner of a crop."""

    angle: float = 0.0
    flip_x: bool = False
    flip_y: bool = False
    zoom: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    corner: tuple[float, float] = (0.0, 0.0)
    factors: tuple[float, float, float, float] | None = None
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


def render(image: NDArray[np.uint8], view: View, size: Size, border: str = "zeros") -> Array:
    """image uint8 [H, W, 3 or more] -> [*size, 3] in [0, 1]."""
    x, y = _source(view, image.shape[:2], (size, size) if isinstance(size, int) else size)
    colour = _bilinear(image[:, :, :3] / 255, x, y, border)
    if view.factors is None:
        return colour
    for operation in list(itertools.permutations(range(4)))[view.order]:
        colour = _OPERATIONS[operation](colour, view.factors[operation])
    return colour


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


def _grey(colour: Array) -> Array:
    return colour @ np.array([0.2989, 0.587, 0.114])


def _brightness(colour: Array, factor: float) -> Array:
    return np.clip(colour * factor, 0, 1)


def _contrast(colour: Array, factor: float) -> Array:
    mean = _grey(colour).mean()
    return np.clip(mean + factor * (colour - mean), 0, 1)


def _saturation(colour: Array, factor: float) -> Array:
    grey = _grey(colour)[..., None]
    return np.clip(grey + factor * (colour - grey), 0, 1)


def _hue(colour: Array, turns: float) -> Array:
    """RGB -> HSV -> RGB by the six sectors of the hexagon (Smith 1978)."""
    value, least = colour.max(-1), colour.min(-1)
    chroma = value - least
    safe = np.where(chroma == 0, 1, chroma)
    red, green, blue = np.moveaxis(colour, -1, 0)
    by_channel = [(green - blue) / safe, 2 + (blue - red) / safe, 4 + (red - green) / safe]
    sixth = (np.choose(colour.argmax(-1), by_channel) + 6 * turns) % 6
    sector = np.floor(sixth).astype(int) % 6
    part = sixth - np.floor(sixth)
    falling, rising = value - chroma * part, value - chroma * (1 - part)
    v, p, q, t = value, least, falling, rising
    sectors = [(v, t, p), (q, v, p), (p, v, t), (p, q, v), (t, p, v), (v, p, q)]
    return np.stack([np.choose(sector, [row[channel] for row in sectors]) for channel in range(3)], axis=-1)


_OPERATIONS = (_brightness, _contrast, _saturation, _hue)
