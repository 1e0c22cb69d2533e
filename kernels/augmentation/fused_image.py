"""An image of the fused kernel: the mean grey that contrast wants, then each tile sampled, coloured and written."""

import triton
import triton.language as tl

from .fused_colour import CONTRAST, grey, operate, permutation
from .fused_warp import bilinear, tiles, view_pixels


@triton.jit
def locate_image(pixels_ptr, index_ptr, batch, HEIGHT: tl.constexpr, WIDTH: tl.constexpr):
    """Where the pixels begin that a program takes: of a store by its row, or the batch's own."""
    if index_ptr is None:
        image_ptr = pixels_ptr + batch * (3 * HEIGHT * WIDTH)
    else:
        image_ptr = pixels_ptr + tl.load(index_ptr + batch) * (HEIGHT * WIDTH)
    return image_ptr


@triton.jit
def augment_image(
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
    first, second, third, fourth = permutation(order)
    pivot = 0.0
    if CONTRAST & OPERATIONS:
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
            HEIGHT,
            WIDTH,
            VIEW_HEIGHT,
            VIEW_WIDTH,
            REFLECT,
            OPERATIONS,
            TILE,
        )
    part = 0
    if PROGRAMS > 1:
        part = tl.program_id(1)
    for step in range((tiles(VIEW_HEIGHT, VIEW_WIDTH, TILE) + PROGRAMS - 1) // PROGRAMS):
        x, y, mask = view_pixels(step * PROGRAMS + part, VIEW_HEIGHT, VIEW_WIDTH, TILE)
        r, g, b = bilinear(image_ptr, a00, a01, a02, a10, a11, a12, x, y, mask, HEIGHT, WIDTH, REFLECT)
        if OPERATIONS:
            r, g, b = operate(first, r, g, b, brightness, contrast, saturation, turns, pivot, OPERATIONS)
            r, g, b = operate(second, r, g, b, brightness, contrast, saturation, turns, pivot, OPERATIONS)
            r, g, b = operate(third, r, g, b, brightness, contrast, saturation, turns, pivot, OPERATIONS)
            r, g, b = operate(fourth, r, g, b, brightness, contrast, saturation, turns, pivot, OPERATIONS)
        r = tl.fma(r, 1.0 / STD_RED, -MEAN_RED / STD_RED)
        g = tl.fma(g, 1.0 / STD_GREEN, -MEAN_GREEN / STD_GREEN)
        b = tl.fma(b, 1.0 / STD_BLUE, -MEAN_BLUE / STD_BLUE)
        _store(out_ptr, r, g, b, y * VIEW_WIDTH + x, mask, LAYOUT)


@triton.jit
def _store(out_ptr, r, g, b, place, mask, LAYOUT: tl.constexpr):
    if (LAYOUT == 3) | (out_ptr.dtype.element_ty == tl.float32):
        tl.store(out_ptr + place * LAYOUT, r, mask=mask)
        tl.store(out_ptr + place * LAYOUT + 1, g, mask=mask)
        tl.store(out_ptr + place * LAYOUT + 2, b, mask=mask)
        if LAYOUT == 4:
            tl.store(out_ptr + place * 4 + 3, tl.zeros_like(r), mask=mask)
    else:
        # Four of 16 bits are one word, the last of them zero.
        word = _bits(r, out_ptr) | (_bits(g, out_ptr) << 16) | (_bits(b, out_ptr) << 32)
        tl.store(out_ptr.to(tl.pointer_type(tl.int64)) + place, word, mask=mask)


@triton.jit
def _bits(value, out_ptr):
    return value.to(out_ptr.dtype.element_ty).to(tl.uint16, bitcast=True).to(tl.int64)


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
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    VIEW_HEIGHT: tl.constexpr,
    VIEW_WIDTH: tl.constexpr,
    REFLECT: tl.constexpr,
    OPERATIONS: tl.constexpr,
    TILE: tl.constexpr,
):
    """Mean of the grey view as it is when contrast's turn comes."""
    total = tl.zeros([TILE], tl.float32)
    for tile in range(tiles(VIEW_HEIGHT, VIEW_WIDTH, TILE)):
        x, y, mask = view_pixels(tile, VIEW_HEIGHT, VIEW_WIDTH, TILE)
        r, g, b = bilinear(image_ptr, a00, a01, a02, a10, a11, a12, x, y, mask, HEIGHT, WIDTH, REFLECT)
        if first != 1:
            r, g, b = operate(first, r, g, b, brightness, contrast, saturation, turns, 0.0, OPERATIONS)
            if second != 1:
                r, g, b = operate(second, r, g, b, brightness, contrast, saturation, turns, 0.0, OPERATIONS)
                if third != 1:
                    r, g, b = operate(third, r, g, b, brightness, contrast, saturation, turns, 0.0, OPERATIONS)
        total += tl.where(mask, grey(r, g, b), 0.0)
    return tl.sum(total, axis=0) * (1.0 / (VIEW_HEIGHT * VIEW_WIDTH))
