"""The parameters of a view and their random draw in torch; the fused kernel draws the same (`fused_draw`)."""

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..checks import (
    MAX_PIXELS,
    Integers,
    integers,
    number,
    require,
    require_constant,
    require_tensor,
    require_within,
)
from ..philox import draw_bits, uniform

# Pixels: the side of a square, or (height, width).
Size = int | Sequence[int]

MAX_ZOOM = 1.5  # bilinear sampling has no antialiasing: shrinking further would alias
MAX_SHIFT = 2.0**20  # pixels: beyond, places in fp32 are coarser than an eighth of a pixel


class AugmentParams(NamedTuple):
    """The parameters of B views, for any implementation.

    affine: fp32 [B, 2, 3]; (sx, sy) = affine @ (x, y, 1) takes an output pixel to its place in the source, in pixel
        indices (0 is the centre of the first pixel).
    jitter: fp32 [B, 4], factors of brightness, contrast and saturation, and hue in turns; None: colours stay.
    order: int32 [B], the k-th of itertools.permutations(range(4)) over (brightness, contrast, saturation, hue).
    """

    affine: Tensor
    jitter: Tensor | None = None
    order: Tensor | None = None


@dataclass(frozen=True)
class Ranges:
    """The ranges that views are drawn from; the defaults change nothing.

    Uniform: rotation in degrees within plus and minus `rotation`; shift within plus and minus `shift` source pixels on
    each axis; brightness, contrast and saturation factors within 1 plus and minus theirs; hue within plus and minus
    `hue` turns; the crop among all whole-pixel places if `random_crop`, else centred: exactly, or with `whole_pixels`
    at the pixel that torchvision's CenterCrop starts at. Log-uniform: zoom from 1/zoom to zoom. The flips are
    probabilities.

    Raises:
        ValueError: a value outside its range.
    """

    rotation: float = 0.0
    horizontal_flip: float = 0.0
    vertical_flip: float = 0.0
    zoom: float = 1.0
    shift: float = 0.0
    random_crop: bool = False
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    whole_pixels: bool = False

    def __post_init__(self) -> None:
        bounds = {"rotation": 180.0, "shift": MAX_SHIFT, "hue": 0.5}
        for name in (field.name for field in fields(self) if field.name not in ("zoom", "random_crop", "whole_pixels")):
            self._settle(name, 0, bounds.get(name, 1.0))
        self._settle("zoom", 1, MAX_ZOOM)

    def _settle(self, name: str, low: float, high: float) -> None:
        value = number(getattr(self, name), low, high, f"Ranges.{name}")
        object.__setattr__(self, name, value)

    @property
    def jitter(self) -> tuple[float, float, float, float]:
        """Strengths in the order of AugmentParams.jitter."""
        return self.brightness, self.contrast, self.saturation, self.hue


class AugmentDraw(NamedTuple):
    """Views yet to be drawn.

    seed: 64 bits: a number or a scalar tensor of any integer type. epoch: likewise, 0 to 2**32 - 1. ids: integers [B],
    the images' own, which the draw depends on, and not their places in the store: a tensor, an array or a list. All
    tensors lie on one device.
    """

    seed: Tensor | int
    epoch: Tensor | int
    ids: Integers
    ranges: Ranges


class DrawTensors(NamedTuple):
    """An AugmentDraw as the implementations take it: contiguous int64 tensors on one device, ids [B]."""

    seed: Tensor
    epoch: Tensor
    ids: Tensor
    ranges: Ranges


def draw_tensors(draw: AugmentDraw, count: int | None, device: torch.device) -> DrawTensors:
    """The seed, epoch and ids of a draw as tensors. count: of the ids; None: any.

    Raises:
        ValueError: other integers than AugmentDraw's; the values are looked at on the CPU alone.
    """
    require(isinstance(draw.ranges, Ranges), "Ranges", type(draw.ranges).__name__, "AugmentDraw.ranges", "give them")
    seed = integers(draw.seed, "seed", (), device)
    epoch = integers(draw.epoch, "epoch", (), device)
    require_within(epoch, 0, 2**32 - 1, "0 to 2**32 - 1", "epoch", "count epochs from 0")
    return DrawTensors(seed, epoch, integers(draw.ids, "ids", (count,), device), draw.ranges)


def settle_params(params: AugmentParams, count: int, device: torch.device) -> AugmentParams:
    """The same parameters in contiguous memory.

    Raises:
        ValueError: other shapes, dtypes or devices than those of `count` views, or a value that is not finite or an
            order that does not exist; the values are looked at on the CPU alone.
    """
    affine, jitter, order = params
    both = (jitter is None) == (order is None)
    require(both, "jitter and order together", "one of them", "AugmentParams", "give both or none")
    affine = _finite(affine, "affine", (count, 2, 3), device)
    if jitter is None:
        return AugmentParams(affine)
    jitter = _finite(jitter, "jitter", (count, 4), device)
    if not isinstance(order, Tensor) or order.dtype != torch.int32:
        order = integers(order, "order", (count,), device)
    require_tensor(order, "order", (count,), (torch.int32, torch.int64), device)
    require_within(order, 0, 23, "0 to 23", "order", "choose from these")
    return AugmentParams(affine, jitter, order.to(torch.int32).contiguous())


def _finite(values: Tensor, name: str, shape: tuple[int, ...], device: torch.device) -> Tensor:
    require_tensor(values, name, shape, (torch.float32,), device)
    require_constant(values, name)
    most = torch.finfo(torch.float32).max
    require_within(values, -most, most, "finite numbers", name, "leave out or replace the others")
    return values.contiguous()


def sample(draw: AugmentDraw, *, side: Size, size: Size) -> AugmentParams:
    """Draw the views of a batch: a function of (seed, epoch, id) alone.

    Args:
        draw: the seed, epoch and ids, and the ranges to draw from.
        side: of the source image: of a square, or (height, width), pixels.
        size: of the view likewise.

    Returns:
        Parameters on the draw's device. The words are drawn on the CPU where the device has no 64-bit integers to
        draw them with (MPS).

    Raises:
        ValueError: a random crop that is larger than the source, or other integers than AugmentDraw's.
    """
    source, view = height_width(side), height_width(size)
    given = (value for value in (draw.ids, draw.seed, draw.epoch) if isinstance(value, Tensor))
    device = next((tensor.device for tensor in given), torch.device("cpu"))
    tensors = draw_tensors(draw, None, device)
    check_crop(tensors.ranges, source, view)
    return draw_params(tensors, source, view)


def draw_params(draw: DrawTensors, source: tuple[int, int], view: tuple[int, int]) -> AugmentParams:
    """`sample` of checked tensors; source and view are (height, width)."""
    device = draw.ids.device
    here = torch.device("cpu") if device.type == "mps" else device
    seed, epoch, ids = draw.seed.to(here), draw.epoch.to(here), draw.ids.to(here)
    affine = _draw_affine(seed, epoch, ids, draw.ranges, source, view)
    if not any(draw.ranges.jitter):
        return AugmentParams(affine.to(device))
    units = _symmetric(draw_bits(seed, epoch, ids, "jitter")).unbind(1)
    middles = (1.0, 1.0, 1.0, 0.0)
    spread = zip(middles, draw.ranges.jitter, units, strict=True)
    jitter = torch.stack([middle + strength * unit for middle, strength, unit in spread], dim=1)
    order = (uniform(draw_bits(seed, epoch, ids, "order")[:, 0]) * 24).to(torch.int32)
    return AugmentParams(affine.to(device), jitter.to(device), order.to(device))


def view_affine(turns: Tensor, flips: Tensor, scale: Tensor, shift: Tensor, corner: Tensor, *, side: Size) -> Tensor:
    """The map of a view: the image is shifted, magnified and rotated about its centre, flipped, then cropped.

    With m = ((width - 1) / 2, (height - 1) / 2) and d = flips * ((x, y) + corner - m), the source of output pixel
    (x, y) is m + shift + scale R(turns) d, R = [[cos, -sin], [sin, cos]].

    Args:
        turns: fp32 [B], counter-clockwise as seen, as in torchvision's rotate.
        flips: fp32 [B, 2], -1 or 1 for x and y.
        scale: fp32 [B], source pixels per view pixel: 1 / zoom.
        shift: fp32 [B, 2], source pixels.
        corner: fp32 [B, 2], of the crop.
        side: of the source: of a square, or (height, width), pixels.

    Returns:
        fp32 [B, 2, 3], as AugmentParams.affine.

    Raises:
        ValueError: a shape, dtype or device other than these.
    """
    given = {"turns": turns, "flips": flips, "scale": scale, "shift": shift, "corner": corner}
    count = len(turns) if isinstance(turns, Tensor) and turns.dim() else 0
    for name, tensor in given.items():
        shape = (count,) if name in ("turns", "scale") else (count, 2)
        require_tensor(tensor, name, shape, (torch.float32,), turns.device)
    return _view_affine(turns, flips, scale, shift, corner, height_width(side))


def _view_affine(
    turns: Tensor, flips: Tensor, scale: Tensor, shift: Tensor, corner: Tensor, source: tuple[int, int]
) -> Tensor:
    cos, sin = cos_sin(turns)
    fx, fy = (flips * scale[:, None]).unbind(1)
    matrix = torch.stack((cos * fx, -sin * fy, sin * fx, cos * fy), dim=1).view(-1, 2, 2)
    height, width = source
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    x, y = corner[:, 0] - middle_x, corner[:, 1] - middle_y
    centre = torch.stack((middle_x + shift[:, 0], middle_y + shift[:, 1]), dim=1)
    offset = matrix[:, :, 0] * x[:, None] + matrix[:, :, 1] * y[:, None] + centre
    return torch.cat((matrix, offset[:, :, None]), dim=2)


def cos_sin(turns: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin of 2π turns, fp32 [B], |turns| < 2**20: exact at quarter turns, elsewhere within 2e-7.

    Taylor polynomials on an eighth of a turn, written with single operations so that the fused kernel gives the same
    bits on any device.
    """
    quarter = torch.floor(turns * 4 + 0.5)
    x = (turns - quarter * 0.25) * (2 * math.pi)
    q = x * x
    sin = x * (1 - q * (1 / 6) * (1 - q * (1 / 20) * (1 - q * (1 / 42) * (1 - q * (1 / 72)))))
    cos = 1 - q * (1 / 2) * (1 - q * (1 / 12) * (1 - q * (1 / 30) * (1 - q * (1 / 56) * (1 - q * (1 / 90)))))
    turn = quarter - 4 * torch.floor(quarter / 4)
    cosine = torch.where(turn == 0, cos, torch.where(turn == 1, -sin, torch.where(turn == 2, -cos, sin)))
    sine = torch.where(turn == 0, sin, torch.where(turn == 1, cos, torch.where(turn == 2, -sin, -cos)))
    return cosine, sine


def small_exp(x: Tensor) -> Tensor:
    """e**x for |x| <= ln(MAX_ZOOM), within 2e-7: 1 at 0, and the same bits in any batch and on any device.

    torch.exp's are not: on a CPU the last elements of a batch go through another routine than the rest.
    """
    return 1 + x * (1 + x * (1 / 2) * (1 + x * (1 / 3) * (1 + x * (1 / 4) * (1 + x * (1 / 5) * _exp_tail(x)))))


def _exp_tail(x: Tensor) -> Tensor:
    return 1 + x * (1 / 6) * (1 + x * (1 / 7) * (1 + x * (1 / 8)))


def height_width(size: Size) -> tuple[int, int]:
    """(height, width) of a size.

    Raises:
        ValueError: it is neither a whole number nor two of them, or not of 1 to MAX_PIXELS pixels.
    """
    try:
        pair: Any = size if hasattr(size, "__len__") else (size, size)
        height, width = map(operator.index, pair)
    except (TypeError, ValueError):
        height = width = 0
    fits = min(height, width) > 0 and height * width <= MAX_PIXELS
    require(fits, f"a side, or (height, width), of 1 to {MAX_PIXELS} pixels", repr(size), "size", "change it")
    return height, width


def source_size(pixels: Tensor, index: Tensor | None) -> tuple[int, int]:
    """(height, width) of a store's images [N, H, W, 4], which an index chooses, or of a batch [B, 3, H, W]."""
    height, width = pixels.shape[2:] if index is None else pixels.shape[1:3]
    return height, width


def check_crop(ranges: Ranges, source: tuple[int, int], view: tuple[int, int]) -> None:
    """Raise ValueError if a crop has to be drawn that is larger than the source; each is (height, width)."""
    fits = view[0] <= source[0] and view[1] <= source[1]
    want = f"at most {source[0]} x {source[1]} pixels for a random crop"
    require(fits or not ranges.random_crop, want, f"{view[0]} x {view[1]}", "size", "crop less, or in the centre")


def centred_corner(source: tuple[int, int], view: tuple[int, int], whole_pixels: bool) -> tuple[float, float]:
    """(x, y) of the corner of a centred crop, from (height, width) of both."""
    return _centre(source[1] - view[1], whole_pixels), _centre(source[0] - view[0], whole_pixels)


def _centre(spare: int, whole_pixels: bool) -> float:
    if not whole_pixels:
        return spare / 2
    # torchvision's CenterCrop rounds half to even where it cuts, and upwards where it pads.
    return round(spare / 2) if spare > 0 else -(-spare // 2)


def _draw_affine(
    seed: Tensor, epoch: Tensor, ids: Tensor, ranges: Ranges, source: tuple[int, int], view: tuple[int, int]
) -> Tensor:
    geometry = uniform(draw_bits(seed, epoch, ids, "geometry"))
    place = draw_bits(seed, epoch, ids, "place")
    turns = (2 * geometry[:, 0] - 1) * (ranges.rotation / 360)
    chances = (ranges.horizontal_flip, ranges.vertical_flip)
    one = torch.ones_like(turns)
    flips = torch.stack([torch.where(geometry[:, 1 + k] < chances[k], -one, one) for k in (0, 1)], dim=1)
    scale = small_exp((1 - 2 * geometry[:, 3]) * math.log(ranges.zoom))
    shift = _symmetric(place[:, :2]) * ranges.shift
    corner = _draw_corner(uniform(place[:, 2:]), ranges, source, view)
    return _view_affine(turns, flips, scale, shift, corner, source)


def _draw_corner(units: Tensor, ranges: Ranges, source: tuple[int, int], view: tuple[int, int]) -> Tensor:
    """(x, y) of each crop, fp32 [B, 2], from as many numbers in [0, 1)."""
    if ranges.random_crop:
        places = (source[1] - view[1] + 1, source[0] - view[0] + 1)
        return torch.stack([torch.floor(units[:, axis] * places[axis]) for axis in (0, 1)], dim=1)
    x, y = centred_corner(source, view, ranges.whole_pixels)
    return torch.stack((torch.full_like(units[:, 0], x), torch.full_like(units[:, 1], y)), dim=1)


def _symmetric(bits: Tensor) -> Tensor:
    return 2 * uniform(bits) - 1
