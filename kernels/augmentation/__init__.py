"""Random views of images that lie in device memory: gather, warp, crop, flips, colour and normalisation as one step."""

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..checks import (
    FLOATS,
    Integers,
    device_of,
    integers,
    numbers,
    require,
    require_choice,
    require_constant,
    require_float,
    require_tensor,
    require_within,
)
from .parameters import (
    AugmentDraw,
    AugmentParams,
    DrawTensors,
    Ranges,
    Size,
    check_crop,
    draw_tensors,
    height_width,
    sample,
    settle_params,
    view_affine,
)

__all__ = ["IMPLEMENTATIONS", "AugmentDraw", "AugmentParams", "Ranges", "augment", "sample", "view_affine"]

BORDERS = ("zeros", "reflect")


def augment(
    pixels: Tensor,
    index: Integers,
    params_or_draw: AugmentParams | AugmentDraw,
    *,
    size: Size,
    mean: Sequence[float] = (0.0, 0.0, 0.0),
    std: Sequence[float] = (1.0, 1.0, 1.0),
    border: str = "zeros",
    dtype: torch.dtype = torch.float32,
    layout: int = 3,
    out: Tensor | None = None,
    impl: str = "triton",
) -> Tensor:
    """Views of the images `pixels[index]`, on their device.

    Values are scaled to [0, 1], warped with one bilinear interpolation, coloured as by torchvision's float path
    (brightness, contrast, saturation, hue in each image's own order), then normalised: (value - mean) / std. No
    gradient flows back. The values of index, epoch, affine, jitter and order are checked on the CPU alone, as the host
    would have to wait for a GPU: there a row outside the store reads other memory.

    Args:
        pixels: uint8 [N, S, S, 4], contiguous: red, green, blue and a byte that is ignored.
        index: integers [B], rows of `pixels`: a tensor, an array or a list.
        params_or_draw: the parameters of B views (`AugmentParams`), or seed, epoch and ids to draw them by
            (`AugmentDraw`).
        size: of a view, pixels: the side of a square, or (height, width).
        mean, std: of each channel, on the scale [0, 1]; three numbers.
        border: what lies outside a source: "zeros" (black, blended at the edge as torchvision's `fill=None`) or
            "reflect" (mirrored at the outer edge of the border pixels, grid_sample's reflection with
            align_corners=False: with d = |x + 0.5|, n = floor(d / S), r = d - n S, the place is r - 0.5 for even n
            and S - r - 0.5 for odd n, clamped to [0, S - 1]).
        dtype: of the result: float32, float16 or bfloat16.
        layout: channels of the result: 3, or 4 with a last channel of zeros.
        out: a channels_last tensor [B, layout, *size] to fill; `dtype` and `layout` are then its own.
        impl: "torch", "compile" or "triton".

    Returns:
        [B, layout, *size], channels_last. Within one implementation, dtype and device a view has the same bits in
        whatever batch it stands.

    Raises:
        ValueError: a shape, dtype, device, value or choice other than these, or `impl` cannot run on the device.
        ImportError: `impl` is "triton" and Triton is not installed.
    """
    require_choice(impl, IMPLEMENTATIONS, "impl")
    require_choice(border, BORDERS, "border")
    view, mean, std = height_width(size), numbers(mean, 3, "mean"), scales(std)
    _check_images(pixels)
    index = integers(index, "index", (None,), pixels.device)
    require_within(index, 0, len(pixels) - 1, f"rows 0 to {len(pixels) - 1}", "index", "choose from these")
    views = _settle_views(params_or_draw, len(index), (pixels.shape[1], pixels.shape[2]), view, pixels.device)
    if out is None:
        out = _empty_views(len(index), layout, view, dtype, pixels.device)
    _check_out(out, len(index), view, pixels.device)
    if len(index):
        IMPLEMENTATIONS[impl]()(pixels, index, views, mean, std, border, out)
    return out


def scales(std: Sequence[float]) -> tuple[float, ...]:
    """Three numbers to divide by; ValueError for others."""
    found = numbers(std, 3, "std")
    require(all(found), "three numbers other than 0", std, "std", "give 1 for a channel that is constant")
    return found


def _check_images(pixels: Tensor) -> None:
    require_tensor(pixels, "pixels", (None, None, None, 4), (torch.uint8,), device_of(pixels))
    require(pixels.shape[1] == pixels.shape[2], "square images", list(pixels.shape), "pixels", "crop or pad them")
    require(pixels.is_contiguous(), "contiguous memory", pixels.stride(), "pixels", "call .contiguous()")


def _settle_views(
    views: AugmentParams | AugmentDraw,
    count: int,
    source: tuple[int, int],
    view: tuple[int, int],
    device: torch.device,
) -> AugmentParams | DrawTensors:
    if isinstance(views, AugmentParams):
        return settle_params(views, count, device)
    kind = type(views).__name__
    require(isinstance(views, AugmentDraw), "AugmentParams or AugmentDraw", kind, "params_or_draw", "make one")
    tensors = draw_tensors(views, count, device)
    check_crop(tensors.ranges, source, view)
    return tensors


def _empty_views(count: int, layout: int, view: tuple[int, int], dtype: torch.dtype, device: torch.device) -> Tensor:
    require(layout in (3, 4), "3 or 4", layout, "layout", "choose one")
    require_float(dtype)
    return torch.empty((count, layout, *view), dtype=dtype, device=device, memory_format=torch.channels_last)


def _check_out(out: Tensor, count: int, view: tuple[int, int], device: torch.device) -> None:
    require_tensor(out, "out", (count, None, *view), FLOATS, device)
    require_constant(out, "out")
    require(out.shape[1] in (3, 4), "3 or 4 channels", out.shape[1], "out", "choose one")
    whole = out.is_contiguous(memory_format=torch.channels_last)
    require(whole, "channels_last memory", out.stride(), "out", "call .contiguous(memory_format=torch.channels_last)")


# (pixels, index, views, mean, std, border, out): fills out [B, 3 or 4, h, w]. The pixels are a store uint8
# [N, H, W, 4] with the rows of it, or without an index a batch [B, 3, H, W] of bytes or floats in [0, 1], contiguous.
Fill = Callable[
    [Tensor, Tensor | None, AugmentParams | DrawTensors, tuple[float, ...], tuple[float, ...], str, Tensor], None
]


def _torch() -> Fill:
    from .reference import augment_by_rows

    return augment_by_rows


@functools.cache
def _compile() -> Fill:
    from .reference import augment_by_mask

    return torch.compile(augment_by_mask)


def _triton() -> Fill:
    from . import fused

    return fused.augment


IMPLEMENTATIONS: dict[str, Callable[[], Fill]] = {"torch": _torch, "compile": _compile, "triton": _triton}
