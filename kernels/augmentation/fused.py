"""One launch from resident uint8 pixels to a batch of views: gather, draw, warp, colour, normalise, cast.

For output pixel o of an image, with T the 2x3 affine, w the bilinear weights and J1..J4 the image's colour operations:

    v(o) = J4(J3(J2(J1( sum_t w_t(T o) pixel_t / 255 ))));   out(o) = (v(o) - mean) / std

Contrast needs the mean grey of all v before it, so a program owns a whole image: it walks the tiles once for that mean
and once to write. Sampling twice from cache is cheaper than keeping an image in registers, which spills.
"""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..philox import STREAMS
from .parameters import AugmentDraw, AugmentParams, Ranges

BLOCK = 1024
WARPS = 8
# Contraction into FMAs would round differently from one kernel variant to the next; its default differs by release.
COMPILER_OPTIONS = {"num_warps": WARPS, "enable_fp_fusion": False}

_GEOMETRY = tl.constexpr(STREAMS["geometry"])
_PLACE = tl.constexpr(STREAMS["place"])
_JITTER = tl.constexpr(STREAMS["jitter"])
_ORDER = tl.constexpr(STREAMS["order"])
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = (tl.constexpr(1 << k) for k in range(4))


@triton.jit
def _clamp(v):
    return tl.minimum(tl.maximum(v, 0.0), 1.0)


@triton.jit
def _grey(r, g, b):
    return 0.2989 * r + 0.587 * g + 0.114 * b


@triton.jit
def _reflect(v, SIDE: tl.constexpr):
    # Mirrored at the outer edges of the border pixels, -0.5 and SIDE - 0.5, as often as needed.
    distance = tl.abs(v + 0.5)
    turns = tl.floor(distance * (1.0 / SIDE))
    inside = distance - turns * SIDE
    odd = turns - 2.0 * tl.floor(turns * 0.5)
    mirrored = tl.where(odd == 0.0, inside, SIDE - inside) - 0.5
    return tl.minimum(tl.maximum(mirrored, 0.0), SIDE - 1.0)


@triton.jit
def _tap(image_ptr, x, y, mask, SIDE: tl.constexpr):
    inside = mask & (x >= 0) & (x < SIDE) & (y >= 0) & (y < SIDE)
    return tl.load(image_ptr + y * SIDE + x, mask=inside, other=0)


@triton.jit
def _channel(nw, ne, sw, se, w_nw, w_ne, w_sw, w_se, SHIFT: tl.constexpr):
    top = ((nw >> SHIFT) & 255).to(tl.float32) * w_nw + ((ne >> SHIFT) & 255).to(tl.float32) * w_ne
    bottom = ((sw >> SHIFT) & 255).to(tl.float32) * w_sw + ((se >> SHIFT) & 255).to(tl.float32) * w_se
    return (top + bottom) * (1.0 / 255.0)


@triton.jit
def _sample(
    image_ptr, a00, a01, a02, a10, a11, a12, place, mask, SIDE: tl.constexpr, SIZE: tl.constexpr, REFLECT: tl.constexpr
):
    x = (place % SIZE).to(tl.float32)
    y = (place // SIZE).to(tl.float32)
    sx = a00 * x + a01 * y + a02
    sy = a10 * x + a11 * y + a12
    if REFLECT:
        sx = _reflect(sx, SIDE)
        sy = _reflect(sy, SIDE)
    left = tl.floor(sx)
    top = tl.floor(sy)
    fx = sx - left
    fy = sy - top
    ix = left.to(tl.int32)
    iy = top.to(tl.int32)
    nw = _tap(image_ptr, ix, iy, mask, SIDE)
    ne = _tap(image_ptr, ix + 1, iy, mask, SIDE)
    sw = _tap(image_ptr, ix, iy + 1, mask, SIDE)
    se = _tap(image_ptr, ix + 1, iy + 1, mask, SIDE)
    w_nw = (1.0 - fx) * (1.0 - fy)
    w_ne = fx * (1.0 - fy)
    w_sw = (1.0 - fx) * fy
    w_se = fx * fy
    r = _channel(nw, ne, sw, se, w_nw, w_ne, w_sw, w_se, 0)
    g = _channel(nw, ne, sw, se, w_nw, w_ne, w_sw, w_se, 8)
    b = _channel(nw, ne, sw, se, w_nw, w_ne, w_sw, w_se, 16)
    return r, g, b


@triton.jit
def _hue_channel(value, chroma, sector):
    k = sector - 6.0 * tl.floor(sector * (1.0 / 6.0))
    return value - chroma * _clamp(tl.minimum(k, 4.0 - k))


@triton.jit
def _shift_hue(r, g, b, turns):
    value = tl.maximum(tl.maximum(r, g), b)
    chroma = value - tl.minimum(tl.minimum(r, g), b)
    divisor = tl.where(chroma == 0.0, 1.0, chroma)
    on_green = (b - r) / divisor + 2.0
    on_blue = (r - g) / divisor + 4.0
    sector = tl.where(value == r, (g - b) / divisor, tl.where(value == g, on_green, on_blue)) + 6.0 * turns
    red = _hue_channel(value, chroma, sector + 5.0)
    green = _hue_channel(value, chroma, sector + 3.0)
    blue = _hue_channel(value, chroma, sector + 1.0)
    return red, green, blue


@triton.jit
def _operate(operation, r, g, b, brightness, contrast, saturation, turns, pivot, OPERATIONS: tl.constexpr):
    if operation == 0:
        if _BRIGHTNESS & OPERATIONS:
            r, g, b = _clamp(r * brightness), _clamp(g * brightness), _clamp(b * brightness)
    elif operation == 1:
        if _CONTRAST & OPERATIONS:
            rest = pivot * (1.0 - contrast)
            r, g, b = _clamp(r * contrast + rest), _clamp(g * contrast + rest), _clamp(b * contrast + rest)
    elif operation == 2:
        if _SATURATION & OPERATIONS:
            rest = _grey(r, g, b) * (1.0 - saturation)
            r, g, b = _clamp(r * saturation + rest), _clamp(g * saturation + rest), _clamp(b * saturation + rest)
    else:
        if _HUE & OPERATIONS:
            r, g, b = _shift_hue(r, g, b, turns)
    return r, g, b


@triton.jit
def _permutation(k):
    # The k-th of itertools.permutations(range(4)), by arithmetic: nothing to look up.
    first = k // 6
    second = (k % 6) // 2
    second += (second >= first).to(tl.int32)
    least = tl.minimum(first, second)
    most = tl.maximum(first, second)
    low = tl.where(least > 0, 0, tl.where(most > 1, 1, 2))
    high = 6 - first - second - low
    swapped = k % 2 == 1
    return first, second, tl.where(swapped, high, low), tl.where(swapped, low, high)


@triton.jit
def _mean_grey(
    image_ptr,
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
    first,
    second,
    third,
    SIDE: tl.constexpr,
    SIZE: tl.constexpr,
    REFLECT: tl.constexpr,
    OPERATIONS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Mean of the grey view as it is when contrast's turn comes."""
    total = 0.0
    for tile in range((SIZE * SIZE + BLOCK - 1) // BLOCK):
        place = tile * BLOCK + tl.arange(0, BLOCK)
        mask = place < SIZE * SIZE
        r, g, b = _sample(image_ptr, a00, a01, a02, a10, a11, a12, place, mask, SIDE, SIZE, REFLECT)
        if first != 1:
            r, g, b = _operate(first, r, g, b, brightness, contrast, saturation, turns, 0.0, OPERATIONS)
            if second != 1:
                r, g, b = _operate(second, r, g, b, brightness, contrast, saturation, turns, 0.0, OPERATIONS)
                if third != 1:
                    r, g, b = _operate(third, r, g, b, brightness, contrast, saturation, turns, 0.0, OPERATIONS)
        total += tl.sum(tl.where(mask, _grey(r, g, b), 0.0), axis=0)
    return total * (1.0 / (SIZE * SIZE))


@triton.jit
def _augment_image(
    image_ptr,
    out_ptr,
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
    SIDE: tl.constexpr,
    SIZE: tl.constexpr,
    LAYOUT: tl.constexpr,
    MEAN_RED: tl.constexpr,
    MEAN_GREEN: tl.constexpr,
    MEAN_BLUE: tl.constexpr,
    STD_RED: tl.constexpr,
    STD_GREEN: tl.constexpr,
    STD_BLUE: tl.constexpr,
    REFLECT: tl.constexpr,
    OPERATIONS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    first, second, third, fourth = _permutation(order)
    pivot = 0.0
    if _CONTRAST & OPERATIONS:
        pivot = _mean_grey(
            image_ptr,
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
            first,
            second,
            third,
            SIDE,
            SIZE,
            REFLECT,
            OPERATIONS,
            BLOCK,
        )
    for tile in range((SIZE * SIZE + BLOCK - 1) // BLOCK):
        place = tile * BLOCK + tl.arange(0, BLOCK)
        mask = place < SIZE * SIZE
        r, g, b = _sample(image_ptr, a00, a01, a02, a10, a11, a12, place, mask, SIDE, SIZE, REFLECT)
        if OPERATIONS:
            r, g, b = _operate(first, r, g, b, brightness, contrast, saturation, turns, pivot, OPERATIONS)
            r, g, b = _operate(second, r, g, b, brightness, contrast, saturation, turns, pivot, OPERATIONS)
            r, g, b = _operate(third, r, g, b, brightness, contrast, saturation, turns, pivot, OPERATIONS)
            r, g, b = _operate(fourth, r, g, b, brightness, contrast, saturation, turns, pivot, OPERATIONS)
        target = out_ptr + place * LAYOUT
        tl.store(target, (r - MEAN_RED) * (1.0 / STD_RED), mask=mask)
        tl.store(target + 1, (g - MEAN_GREEN) * (1.0 / STD_GREEN), mask=mask)
        tl.store(target + 2, (b - MEAN_BLUE) * (1.0 / STD_BLUE), mask=mask)
        if LAYOUT == 4:
            tl.store(target + 3, tl.zeros([BLOCK], tl.float32), mask=mask)


@triton.jit
def _params_kernel(
    pixels_ptr,  # int32 [N, SIDE, SIDE]: a pixel is one word
    index_ptr,  # int64 [B]
    affine_ptr,  # fp32 [B, 2, 3]
    jitter_ptr,  # fp32 [B, 4]
    order_ptr,  # int32 [B]
    out_ptr,  # [B, SIZE, SIZE, LAYOUT]
    SIDE: tl.constexpr,
    SIZE: tl.constexpr,
    LAYOUT: tl.constexpr,
    MEAN_RED: tl.constexpr,
    MEAN_GREEN: tl.constexpr,
    MEAN_BLUE: tl.constexpr,
    STD_RED: tl.constexpr,
    STD_GREEN: tl.constexpr,
    STD_BLUE: tl.constexpr,
    REFLECT: tl.constexpr,
    OPERATIONS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    batch = tl.program_id(0).to(tl.int64)
    image_ptr = pixels_ptr + tl.load(index_ptr + batch) * (SIDE * SIDE)
    target = out_ptr + batch * (SIZE * SIZE * LAYOUT)
    row = affine_ptr + batch * 6
    a00, a01, a02 = tl.load(row), tl.load(row + 1), tl.load(row + 2)
    a10, a11, a12 = tl.load(row + 3), tl.load(row + 4), tl.load(row + 5)
    brightness, contrast, saturation, turns, order = 1.0, 1.0, 1.0, 0.0, 0
    if OPERATIONS:
        row = jitter_ptr + batch * 4
        brightness, contrast, saturation, turns = tl.load(row), tl.load(row + 1), tl.load(row + 2), tl.load(row + 3)
        order = tl.load(order_ptr + batch)
    _augment_image(
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
        SIDE,
        SIZE,
        LAYOUT,
        MEAN_RED,
        MEAN_GREEN,
        MEAN_BLUE,
        STD_RED,
        STD_GREEN,
        STD_BLUE,
        REFLECT,
        OPERATIONS,
        BLOCK,
    )


@triton.jit
def _unit(bits):
    return (bits >> 8).to(tl.float32) * 5.9604644775390625e-08  # 2**-24


@triton.jit
def _symmetric(bits):
    return 2.0 * _unit(bits) - 1.0


@triton.jit
def _words(seed, epoch, image_id, STREAM: tl.constexpr):
    # tl.philox turns into its 64-bit variant when a counter word is int64.
    low = (image_id & 0xFFFFFFFF).to(tl.uint32)
    high = ((image_id >> 32) & 0xFFFFFFFF).to(tl.uint32)
    stream = tl.zeros_like(low) + STREAM
    return tl.philox(seed, low, high, (epoch & 0xFFFFFFFF).to(tl.uint32), stream)


@triton.jit
def _cos_sin(turns):
    """As parameters.cos_sin: the same single operations, so the same bits."""
    quarter = tl.floor(turns * 4.0 + 0.5)
    x = (turns - quarter * 0.25) * 6.283185307179586
    q = x * x
    sin = x * (1.0 - q * (1 / 6) * (1.0 - q * (1 / 20) * (1.0 - q * (1 / 42) * (1.0 - q * (1 / 72)))))
    cos = 1.0 - q * (1 / 2) * (1.0 - q * (1 / 12) * (1.0 - q * (1 / 30) * (1.0 - q * (1 / 56) * (1.0 - q * (1 / 90)))))
    turn = quarter - 4.0 * tl.floor(quarter * 0.25)
    cosine = tl.where(turn == 0.0, cos, tl.where(turn == 1.0, -sin, tl.where(turn == 2.0, -cos, sin)))
    sine = tl.where(turn == 0.0, sin, tl.where(turn == 1.0, cos, tl.where(turn == 2.0, -sin, -cos)))
    return cosine, sine


@triton.jit
def _small_exp(x):
    """As parameters.small_exp."""
    tail = 1.0 + x * (1 / 6) * (1.0 + x * (1 / 7) * (1.0 + x * (1 / 8)))
    return 1.0 + x * (1.0 + x * (1 / 2) * (1.0 + x * (1 / 3) * (1.0 + x * (1 / 4) * (1.0 + x * (1 / 5) * tail))))


@triton.jit
def _draw_affine(
    seed,
    epoch,
    image_id,
    turns,
    horizontal,
    vertical,
    log_zoom,
    shift,
    SIDE: tl.constexpr,
    SIZE: tl.constexpr,
    RANDOM_CROP: tl.constexpr,
):
    """As parameters._draw_affine and view_affine."""
    angle, flip_x, flip_y, zoom = _words(seed, epoch, image_id, _GEOMETRY)
    shift_x, shift_y, crop_x, crop_y = _words(seed, epoch, image_id, _PLACE)
    cos, sin = _cos_sin(_symmetric(angle) * turns)
    scale = _small_exp((1.0 - 2.0 * _unit(zoom)) * log_zoom)
    fx = tl.where(_unit(flip_x) < horizontal, -1.0, 1.0) * scale
    fy = tl.where(_unit(flip_y) < vertical, -1.0, 1.0) * scale
    x = (SIDE - SIZE) / 2 - (SIDE - 1) / 2
    y = (SIDE - SIZE) / 2 - (SIDE - 1) / 2
    if RANDOM_CROP:
        x = tl.floor(_unit(crop_x) * (SIDE - SIZE + 1)) - (SIDE - 1) / 2
        y = tl.floor(_unit(crop_y) * (SIDE - SIZE + 1)) - (SIDE - 1) / 2
    a00 = cos * fx
    a01 = -sin * fy
    a10 = sin * fx
    a11 = cos * fy
    a02 = a00 * x + a01 * y + ((SIDE - 1) / 2 + _symmetric(shift_x) * shift)
    a12 = a10 * x + a11 * y + ((SIDE - 1) / 2 + _symmetric(shift_y) * shift)
    return a00, a01, a02, a10, a11, a12


@triton.jit
def _draw_kernel(
    pixels_ptr,  # int32 [N, SIDE, SIDE]: a pixel is one word
    index_ptr,  # int64 [B]
    seed_ptr,  # int64 scalar
    epoch_ptr,  # int64 scalar
    ids_ptr,  # int64 [B]
    out_ptr,  # [B, SIZE, SIZE, LAYOUT]
    rotation,  # the ranges: turns, probabilities, logarithm of the zoom, source pixels, strengths of the jitter
    horizontal,
    vertical,
    log_zoom,
    shift,
    brightness_range,
    contrast_range,
    saturation_range,
    hue_range,
    SIDE: tl.constexpr,
    SIZE: tl.constexpr,
    LAYOUT: tl.constexpr,
    MEAN_RED: tl.constexpr,
    MEAN_GREEN: tl.constexpr,
    MEAN_BLUE: tl.constexpr,
    STD_RED: tl.constexpr,
    STD_GREEN: tl.constexpr,
    STD_BLUE: tl.constexpr,
    REFLECT: tl.constexpr,
    RANDOM_CROP: tl.constexpr,
    OPERATIONS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    batch = tl.program_id(0).to(tl.int64)
    image_ptr = pixels_ptr + tl.load(index_ptr + batch) * (SIDE * SIDE)
    target = out_ptr + batch * (SIZE * SIZE * LAYOUT)
    seed = tl.load(seed_ptr)
    epoch = tl.load(epoch_ptr)
    image_id = tl.load(ids_ptr + batch)
    a00, a01, a02, a10, a11, a12 = _draw_affine(
        seed, epoch, image_id, rotation, horizontal, vertical, log_zoom, shift, SIDE, SIZE, RANDOM_CROP
    )
    brightness, contrast, saturation, turns, order = 1.0, 1.0, 1.0, 0.0, 0
    if OPERATIONS:
        word0, word1, word2, word3 = _words(seed, epoch, image_id, _JITTER)
        brightness = 1.0 + _symmetric(word0) * brightness_range
        contrast = 1.0 + _symmetric(word1) * contrast_range
        saturation = 1.0 + _symmetric(word2) * saturation_range
        turns = _symmetric(word3) * hue_range
        word0, word1, word2, word3 = _words(seed, epoch, image_id, _ORDER)
        order = (_unit(word0) * 24.0).to(tl.int32)
    _augment_image(
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
        SIDE,
        SIZE,
        LAYOUT,
        MEAN_RED,
        MEAN_GREEN,
        MEAN_BLUE,
        STD_RED,
        STD_GREEN,
        STD_BLUE,
        REFLECT,
        OPERATIONS,
        BLOCK,
    )


def augment(
    pixels: Tensor,
    index: Tensor,
    params_or_draw: AugmentParams | AugmentDraw,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    border: str,
    out: Tensor,
) -> None:
    """Fill `out` in one launch; shapes and meanings as in `galaxy_triton.kernels.augment`."""
    reflect = border == "reflect"
    if isinstance(params_or_draw, AugmentParams):
        affine, jitter, order = params_or_draw
        torch.ops.galaxy_triton.augment_params(pixels, index, affine, jitter, order, mean, std, reflect, out)
    else:
        seed, epoch, ids, ranges = params_or_draw
        numbers = _kernel_ranges(ranges)
        crop = ranges.random_crop
        torch.ops.galaxy_triton.augment_draw(pixels, index, seed, epoch, ids, numbers, crop, mean, std, reflect, out)


def _kernel_ranges(ranges: Ranges) -> list[float]:
    geometry = [ranges.rotation / 360, ranges.horizontal_flip, ranges.vertical_flip]
    return [*geometry, math.log(ranges.zoom), ranges.shift, *ranges.jitter]


torch.library.define(
    "galaxy_triton::augment_params",
    "(Tensor pixels, Tensor index, Tensor affine, Tensor? jitter, Tensor? order,"
    " float[] mean, float[] std, bool reflect, Tensor(a!) out) -> ()",
)
torch.library.define(
    "galaxy_triton::augment_draw",
    "(Tensor pixels, Tensor index, Tensor seed, Tensor epoch, Tensor ids, float[] ranges, bool random_crop,"
    " float[] mean, float[] std, bool reflect, Tensor(a!) out) -> ()",
)


@torch.library.impl("galaxy_triton::augment_params", ("cpu", "cuda"))
def _augment_params(
    pixels: Tensor,
    index: Tensor,
    affine: Tensor,
    jitter: Tensor | None,
    order: Tensor | None,
    mean: list[float],
    std: list[float],
    reflect: bool,
    out: Tensor,
) -> None:
    words = pixels.view(torch.int32)
    with _on(pixels):
        _params_kernel[(len(index),)](
            words,
            index,
            affine,
            affine if jitter is None else jitter,
            index if order is None else order,
            out,
            **_constants(pixels, out, mean, std, reflect),
            OPERATIONS=0 if jitter is None else 15,
        )


@torch.library.impl("galaxy_triton::augment_draw", ("cpu", "cuda"))
def _augment_draw(
    pixels: Tensor,
    index: Tensor,
    seed: Tensor,
    epoch: Tensor,
    ids: Tensor,
    ranges: list[float],
    random_crop: bool,
    mean: list[float],
    std: list[float],
    reflect: bool,
    out: Tensor,
) -> None:
    words = pixels.view(torch.int32)
    with _on(pixels):
        _draw_kernel[(len(index),)](
            words,
            index,
            seed,
            epoch,
            ids,
            out,
            *ranges,
            **_constants(pixels, out, mean, std, reflect),
            RANDOM_CROP=random_crop,
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


def _constants(pixels: Tensor, out: Tensor, mean: list[float], std: list[float], reflect: bool) -> dict[str, object]:
    sizes = {"SIDE": pixels.shape[1], "SIZE": out.shape[-1], "LAYOUT": out.shape[1], "BLOCK": BLOCK}
    channels = ("RED", "GREEN", "BLUE")
    means = {f"MEAN_{channel}": value for channel, value in zip(channels, mean, strict=True)}
    stds = {f"STD_{channel}": value for channel, value in zip(channels, std, strict=True)}
    return {**sizes, **means, **stds, "REFLECT": reflect, **COMPILER_OPTIONS}
