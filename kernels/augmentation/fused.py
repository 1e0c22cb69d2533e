"""One launch from pixels in device memory to a batch of views: gather, draw, warp, colour, normalise, cast.

For output pixel o of an image, with T the 2x3 affine, w the bilinear weights and J1..J4 the image's colour operations:

    v(o) = J4(J3(J2(J1( sum_t w_t(T o) pixel_t / 255 ))));   out(o) = (v(o) - mean) / std

Contrast needs the mean grey of all v before it, so a program owns a whole image: it walks the tiles once for that mean
and once to write. Sampling twice from cache is cheaper than keeping an image in registers, which spills. Where a batch
has at most half as many images as the GPU has multiprocessors, several programs share one: each takes the mean for
itself, so that none waits for another, and writes its part of the tiles. The bits are the same, whatever their number.

Sums of products are written as fma, and the compiler makes none of its own (enable_fp_fusion): it would round
differently from one variant of the kernel to the next.
"""

import functools
import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..availability import require_triton
from ..checks import require
from ..launch_settings import settings
from .fused_draw import draw_affine, draw_jitter
from .fused_image import augment_image, locate_image
from .parameters import AugmentParams, DrawTensors, Ranges, centred_corner, source_size


@triton.jit
def _params_kernel(
    pixels_ptr,  # int32 [N, HEIGHT, WIDTH]: a pixel is one word; or [B, 3, HEIGHT, WIDTH] of bytes or floats
    index_ptr,  # int64 [B], or None: a program takes the image of its own number
    affine_ptr,  # fp32 [B, 2, 3]
    jitter_ptr,  # fp32 [B, 4], or None without OPERATIONS
    order_ptr,  # int32 [B], or None likewise
    out_ptr,  # [B, VIEW_HEIGHT, VIEW_WIDTH, LAYOUT]
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    VIEW_HEIGHT: tl.constexpr,
    VIEW_WIDTH: tl.constexpr,
    LAYOUT: tl.constexpr,
    MEAN_RED: tl.constexpr,
    MEAN_GREEN: tl.constexpr,
    MEAN_BLUE: tl.constexpr,
    STD_RED: tl.constexpr,
    STD_GREEN: tl.constexpr,
    STD_BLUE: tl.constexpr,
    REFLECT: tl.constexpr,
    OPERATIONS: tl.constexpr,
    TILE: tl.constexpr,
    PROGRAMS: tl.constexpr,
):
    batch = tl.program_id(0).to(tl.int64)
    image_ptr = locate_image(pixels_ptr, index_ptr, batch, HEIGHT, WIDTH)
    target = out_ptr + batch * (VIEW_HEIGHT * VIEW_WIDTH * LAYOUT)
    row = affine_ptr + batch * 6
    a00, a01, a02 = tl.load(row), tl.load(row + 1), tl.load(row + 2)
    a10, a11, a12 = tl.load(row + 3), tl.load(row + 4), tl.load(row + 5)
    brightness, contrast, saturation, turns, order = 1.0, 1.0, 1.0, 0.0, 0
    if OPERATIONS:
        row = jitter_ptr + batch * 4
        brightness, contrast, saturation, turns = tl.load(row), tl.load(row + 1), tl.load(row + 2), tl.load(row + 3)
        order = tl.load(order_ptr + batch)
    augment_image(
        image_ptr,
        target,
        a00,
        a01,
        a02,
        a10,
        a11,
        a12,
        brightness,
        contrast,
        saturation,
        turns,
        order,
        HEIGHT,
        WIDTH,
        VIEW_HEIGHT,
        VIEW_WIDTH,
        LAYOUT,
        MEAN_RED,
        MEAN_GREEN,
        MEAN_BLUE,
        STD_RED,
        STD_GREEN,
        STD_BLUE,
        REFLECT,
        OPERATIONS,
        TILE,
        PROGRAMS,
    )


@triton.jit
def _draw_kernel(
    pixels_ptr,  # int32 [N, HEIGHT, WIDTH]: a pixel is one word; or [B, 3, HEIGHT, WIDTH] of bytes or floats
    index_ptr,  # int64 [B], or None: a program takes the image of its own number
    seed_ptr,  # int64 scalar
    epoch_ptr,  # int64 scalar
    ids_ptr,  # int64 [B]
    out_ptr,  # [B, VIEW_HEIGHT, VIEW_WIDTH, LAYOUT]
    rotation,  # the ranges: turns, probabilities, logarithm of the zoom, source pixels, strengths of the jitter
    horizontal,
    vertical,
    log_zoom,
    shift,
    brightness_range,
    contrast_range,
    saturation_range,
    hue_range,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    VIEW_HEIGHT: tl.constexpr,
    VIEW_WIDTH: tl.constexpr,
    LAYOUT: tl.constexpr,
    MEAN_RED: tl.constexpr,
    MEAN_GREEN: tl.constexpr,
    MEAN_BLUE: tl.constexpr,
    STD_RED: tl.constexpr,
    STD_GREEN: tl.constexpr,
    STD_BLUE: tl.constexpr,
    REFLECT: tl.constexpr,
    CORNER_X: tl.constexpr,
    CORNER_Y: tl.constexpr,
    RANDOM_CROP: tl.constexpr,
    OPERATIONS: tl.constexpr,
    TILE: tl.constexpr,
    PROGRAMS: tl.constexpr,
):
    batch = tl.program_id(0).to(tl.int64)
    image_ptr = locate_image(pixels_ptr, index_ptr, batch, HEIGHT, WIDTH)
    target = out_ptr + batch * (VIEW_HEIGHT * VIEW_WIDTH * LAYOUT)
    seed = tl.load(seed_ptr)
    epoch = tl.load(epoch_ptr)
    image_id = tl.load(ids_ptr + batch)
    a00, a01, a02, a10, a11, a12 = draw_affine(
        seed,
        epoch,
        image_id,
        rotation,
        horizontal,
        vertical,
        log_zoom,
        shift,
        HEIGHT,
        WIDTH,
        VIEW_HEIGHT,
        VIEW_WIDTH,
        CORNER_X,
        CORNER_Y,
        RANDOM_CROP,
    )
    brightness, contrast, saturation, turns, order = 1.0, 1.0, 1.0, 0.0, 0
    if OPERATIONS:
        brightness, contrast, saturation, turns, order = draw_jitter(
            seed, epoch, image_id, brightness_range, contrast_range, saturation_range, hue_range
        )
    augment_image(
        image_ptr,
        target,
        a00,
        a01,
        a02,
        a10,
        a11,
        a12,
        brightness,
        contrast,
        saturation,
        turns,
        order,
        HEIGHT,
        WIDTH,
        VIEW_HEIGHT,
        VIEW_WIDTH,
        LAYOUT,
        MEAN_RED,
        MEAN_GREEN,
        MEAN_BLUE,
        STD_RED,
        STD_GREEN,
        STD_BLUE,
        REFLECT,
        OPERATIONS,
        TILE,
        PROGRAMS,
    )


def augment(
    pixels: Tensor,
    index: Tensor | None,
    params_or_draw: AugmentParams | DrawTensors,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    border: str,
    out: Tensor,
) -> None:
    """Fill `out` in one launch; shapes and meanings as in `galaxy_triton.kernels.augmentation.Fill`."""
    reflect = border == "reflect"
    if isinstance(params_or_draw, AugmentParams):
        affine, jitter, order = params_or_draw
        torch.ops.galaxy_triton.augment_params(pixels, index, affine, jitter, order, mean, std, reflect, out)
        return
    seed, epoch, ids, ranges = params_or_draw
    numbers, corner = _kernel_ranges(ranges), None
    if not ranges.random_crop:
        view = (out.shape[2], out.shape[3])
        corner = centred_corner(source_size(pixels, index), view, ranges.whole_pixels)
    torch.ops.galaxy_triton.augment_draw(pixels, index, seed, epoch, ids, numbers, corner, mean, std, reflect, out)


def _kernel_ranges(ranges: Ranges) -> list[float]:
    geometry = [ranges.rotation / 360, ranges.horizontal_flip, ranges.vertical_flip]
    return [*geometry, math.log(ranges.zoom), ranges.shift, *ranges.jitter]


torch.library.define(
    "galaxy_triton::augment_params",
    "(Tensor pixels, Tensor? index, Tensor affine, Tensor? jitter, Tensor? order,"
    " float[] mean, float[] std, bool reflect, Tensor(a!) out) -> ()",
)
torch.library.define(
    "galaxy_triton::augment_draw",
    "(Tensor pixels, Tensor? index, Tensor seed, Tensor epoch, Tensor ids, float[] ranges, float[]? corner,"
    " float[] mean, float[] std, bool reflect, Tensor(a!) out) -> ()",
)


@torch.library.impl("galaxy_triton::augment_params", ("cpu", "cuda"))
def _augment_params(
    pixels: Tensor,
    index: Tensor | None,
    affine: Tensor,
    jitter: Tensor | None,
    order: Tensor | None,
    mean: list[float],
    std: list[float],
    reflect: bool,
    out: Tensor,
) -> None:
    require_triton(pixels.device)
    _check_alignment(out)
    grid = _grid(out)
    with _on(pixels):
        _params_kernel[grid](
            _words(pixels, index),
            index,
            affine,
            jitter,
            order,
            out,
            PROGRAMS=grid[1],
            **_constants(source_size(pixels, index), out, mean, std, reflect),
            OPERATIONS=0 if jitter is None else 15,
        )


@torch.library.impl("galaxy_triton::augment_draw", ("cpu", "cuda"))
def _augment_draw(
    pixels: Tensor,
    index: Tensor | None,
    seed: Tensor,
    epoch: Tensor,
    ids: Tensor,
    ranges: list[float],
    corner: list[float] | None,
    mean: list[float],
    std: list[float],
    reflect: bool,
    out: Tensor,
) -> None:
    require_triton(pixels.device)
    _check_alignment(out)
    grid = _grid(out)
    with _on(pixels):
        _draw_kernel[grid](
            _words(pixels, index),
            index,
            seed,
            epoch,
            ids,
            out,
            *ranges,
            PROGRAMS=grid[1],
            **_constants(source_size(pixels, index), out, mean, std, reflect),
            **_corner_constants(corner),
            OPERATIONS=sum(1 << k for k, strength in enumerate(ranges[-4:]) if strength),
        )


@torch.library.register_fake("galaxy_triton::augment_params")
def _augment_params_fake(*_: object) -> None:
    return None


@torch.library.register_fake("galaxy_triton::augment_draw")
def _augment_draw_fake(*_: object) -> None:
    return None


def _on(pixels: Tensor) -> torch.cuda.device_of:
    # Triton launches on the current device, which need not be the tensors'.
    return torch.cuda.device_of(pixels)


def _words(pixels: Tensor, index: Tensor | None) -> Tensor:
    """Rows of a store, which an index chooses, go in as words; a batch goes in as it is."""
    return pixels if index is None else pixels.view(torch.int32)


def _check_alignment(out: Tensor) -> None:
    # A GPU does not write a word of 8 bytes elsewhere.
    past = out.data_ptr() % 8
    by_values = out.shape[1] == 3 or out.element_size() == 4
    require(by_values or past == 0, "memory that begins at a multiple of 8 bytes", past, "out", "copy it")


def _grid(out: Tensor) -> tuple[int, int]:
    """(images, programs that share an image)."""
    batch, _, height, width = out.shape
    idle = _multiprocessors(out.device) // batch
    tiles = triton.cdiv(height * width, settings(out.device).augment.tile)
    # A power of two, so that few variants are compiled.
    return batch, 1 << max(0, min(idle, tiles).bit_length() - 1)


@functools.cache
def _multiprocessors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1


def _constants(
    source: tuple[int, int], out: Tensor, mean: list[float], std: list[float], reflect: bool
) -> dict[str, object]:
    launch = settings(out.device).augment
    sizes = {"HEIGHT": source[0], "WIDTH": source[1], "VIEW_HEIGHT": out.shape[2], "VIEW_WIDTH": out.shape[3]}
    channels = ("RED", "GREEN", "BLUE")
    means = {f"MEAN_{channel}": value for channel, value in zip(channels, mean, strict=True)}
    stds = {f"STD_{channel}": value for channel, value in zip(channels, std, strict=True)}
    shape = {"LAYOUT": out.shape[1], "REFLECT": reflect, "TILE": launch.tile}
    return {**sizes, **means, **stds, **shape, **launch.compiler_options}


def _corner_constants(corner: list[float] | None) -> dict[str, object]:
    x, y = (0.0, 0.0) if corner is None else corner
    return {"CORNER_X": x, "CORNER_Y": y, "RANDOM_CROP": corner is None}
