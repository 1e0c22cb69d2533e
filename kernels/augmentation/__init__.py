"""Random views of images that lie in device memory: gather, warp, crop, flips, colour and normalisation as one step."""

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from ..checks import FLOATS, MAX_PIXELS, require, require_choice, require_tensor
from .parameters import AugmentDraw, AugmentParams, Ranges, check_crop, sample, view_affine

__all__ = ["IMPLEMENTATIONS", "AugmentDraw", "AugmentParams", "Ranges", "augment", "sample", "view_affine"]

BORDERS = ("zeros", "reflect")


def augment(
    pixels: Tensor,
    index: Tensor,
    params_or_draw: AugmentParams | AugmentDraw,
    *,
    size: int,
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0),
    std: tuple[float, float, float] = (1.0, 1.0, 1.0),
    border: str = "zeros",
    dtype: torch.dtype = torch.float32,
    layout: int = 3,
    out: Tensor | None = None,
    impl: str = "triton",
) -> Tensor:
    """Views of the images `pixels[index]`, on their device.

    Values are scaled to [0, 1], warped with one bilinear interpolation, coloured as by torchvision's float path
    (brightness, contrast, saturation, hue in each image's own order), then normalised: (value - mean) / std.

    Args:
        pixels: uint8 [N, S, S, 4], contiguous: red, green, blue and a byte that is ignored.
        index: int64 [B], rows of `pixels`; on the CPU one that is not there raises, on a GPU it reads other memory.
        params_or_draw: the views' parameters, or what to draw them from: `AugmentParams` or `AugmentDraw` of B views.
        size: side of a view, pixels.
        mean, std: of each channel, on the scale [0, 1].
        border: what lies outside a source: "zeros" (black, blended at the edge as torchvision's `fill=None`) or
            "reflect" (mirrored at the outer edge of the border pixels, grid_sample's reflection with
            align_corners=False: with d = |x + 0.5|, n = floor(d / S), r = d - n S, the place is r - 0.5 for even n
            and S - r - 0.5 for odd n, clamped to [0, S - 1]).
        dtype: of the result: float32, float16 or bfloat16.
        layout: channels of the result: 3, or 4 with a last channel of zeros.
        out: a channels_last tensor [B, layout, size, size] to fill; `dtype` and `layout` are then its own.
        impl: "torch", "compile" or "triton".

    Returns:
        [B, layout, size, size], channels_last. Within one implementation, dtype and device a view has the same bits in
        whatever batch it stands.

    Raises:
        ValueError: a shape, dtype, device or choice other than these, or `impl` cannot run on the device.
        ImportError: `impl` is "triton" and Triton is not installed.
    """
    require_choice(impl, IMPLEMENTATIONS, "impl")
    require_choice(border, BORDERS, "border")
    require(0 < size**2 <= MAX_PIXELS, f"a view of 1 to {MAX_PIXELS} pixels", f"{size} x {size}", "size", "change it")
    _check_images(pixels, index)
    _check_views(params_or_draw, len(index), pixels.device)
    if isinstance(params_or_draw, AugmentDraw):
        check_crop(params_or_draw.ranges, (pixels.shape[1], pixels.shape[2]), (size, size))
    if out is None:
        out = _empty_views(len(index), layout, size, dtype, pixels.device)
    _check_out(out, len(index), size, pixels.device)
    if len(index):
        IMPLEMENTATIONS[impl]()(pixels, index, params_or_draw, mean, std, border, out)
    return out


def _check_images(pixels: Tensor, index: Tensor) -> None:
    require_tensor(pixels, "pixels", (None, None, None, 4), (torch.uint8,), pixels.device)
    require(pixels.shape[1] == pixels.shape[2], "square images", list(pixels.shape), "pixels", "crop or pad them")
    require(pixels.is_contiguous(), "contiguous memory", pixels.stride(), "pixels", "call .contiguous()")
    require_tensor(index, "index", (None,), (torch.int64,), pixels.device)


def _check_views(views: AugmentParams | AugmentDraw, count: int, device: torch.device) -> None:
    if isinstance(views, AugmentDraw):
        require_tensor(views.seed, "seed", (), (torch.int64,), device)
        require_tensor(views.epoch, "epoch", (), (torch.int64,), device)
        require_tensor(views.ids, "ids", (count,), (torch.int64,), device)
        return
    require_tensor(views.affine, "affine", (count, 2, 3), (torch.float32,), device)
    both = (views.jitter is None) == (views.order is None)
    require(both, "jitter and order together", "one of them", "AugmentParams", "give both or none")
    if views.jitter is not None and views.order is not None:
        require_tensor(views.jitter, "jitter", (count, 4), (torch.float32,), device)
        require_tensor(views.order, "order", (count,), (torch.int32,), device)


def _empty_views(count: int, layout: int, size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    require(layout in (3, 4), "3 or 4", layout, "layout", "choose one")
    shape = (count, layout, size, size)
    return torch.empty(shape, dtype=dtype, device=device, memory_format=torch.channels_last)


def _check_out(out: Tensor, count: int, size: int, device: torch.device) -> None:
    require_tensor(out, "out", (count, None, size, size), FLOATS, device)
    require(out.shape[1] in (3, 4), "3 or 4 channels", out.shape[1], "out", "choose one")
    whole = out.is_contiguous(memory_format=torch.channels_last)
    require(whole, "channels_last memory", out.stride(), "out", "call .contiguous(memory_format=torch.channels_last)")


# (pixels, index, views, mean, std, border, out): fills out [B, 3 or 4, h, w]. The pixels are a store uint8
# [N, H, W, 4] with the rows of it, or without an index a batch [B, 3, H, W] of bytes or floats in [0, 1], contiguous.
Fill = Callable[
    [Tensor, Tensor | None, AugmentParams | AugmentDraw, tuple[float, ...], tuple[float, ...], str, Tensor], None
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
