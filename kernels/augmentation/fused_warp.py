"""The warp of the fused kernel: one bilinear sample of the source for each pixel of the view."""

import triton
import triton.language as tl


@triton.jit
def bilinear(
    image_ptr,  # int32 [HEIGHT, WIDTH], packed words, or [3, HEIGHT, WIDTH] of bytes or floats
    a00,
    a01,
    a02,
    a10,
    a11,
    a12,
    place,
    mask,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    VIEW_WIDTH: tl.constexpr,
    REFLECT: tl.constexpr,
):
    """Red, green and blue in [0, 1] at the `place`s of a view, counted row after row."""
    x = (place % VIEW_WIDTH).to(tl.float32)
    y = (place // VIEW_WIDTH).to(tl.float32)
    sx = a00 * x + a01 * y + a02
    sy = a10 * x + a11 * y + a12
    if REFLECT:
        sx = _reflect(sx, WIDTH)
        sy = _reflect(sy, HEIGHT)
    left = tl.floor(sx)
    top = tl.floor(sy)
    fx = sx - left
    fy = sy - top
    ix = left.to(tl.int32)
    iy = top.to(tl.int32)
    nw_r, nw_g, nw_b = _tap(image_ptr, ix, iy, mask, HEIGHT, WIDTH)
    ne_r, ne_g, ne_b = _tap(image_ptr, ix + 1, iy, mask, HEIGHT, WIDTH)
    sw_r, sw_g, sw_b = _tap(image_ptr, ix, iy + 1, mask, HEIGHT, WIDTH)
    se_r, se_g, se_b = _tap(image_ptr, ix + 1, iy + 1, mask, HEIGHT, WIDTH)
    unit = 1.0 if image_ptr.dtype.element_ty.is_floating() else 1.0 / 255.0
    r = _blend(nw_r, ne_r, sw_r, se_r, fx, fy) * unit
    g = _blend(nw_g, ne_g, sw_g, se_g, fx, fy) * unit
    b = _blend(nw_b, ne_b, sw_b, se_b, fx, fy) * unit
    return r, g, b


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
def _tap(image_ptr, x, y, mask, HEIGHT: tl.constexpr, WIDTH: tl.constexpr):
    """The three channels of one pixel, 0 outside: one load of a packed word, else one from each plane."""
    inside = mask & (x >= 0) & (x < WIDTH) & (y >= 0) & (y < HEIGHT)
    pixel_ptr = image_ptr + y * WIDTH + x
    if image_ptr.dtype.element_ty == tl.int32:
        word = tl.load(pixel_ptr, mask=inside, other=0)
        r, g, b = word & 255, (word >> 8) & 255, (word >> 16) & 255
    else:
        r = tl.load(pixel_ptr, mask=inside, other=0)
        g = tl.load(pixel_ptr + HEIGHT * WIDTH, mask=inside, other=0)
        b = tl.load(pixel_ptr + 2 * HEIGHT * WIDTH, mask=inside, other=0)
    return r.to(tl.float32), g.to(tl.float32), b.to(tl.float32)


@triton.jit
def _blend(nw, ne, sw, se, fx, fy):
    top = nw * ((1.0 - fx) * (1.0 - fy)) + ne * (fx * (1.0 - fy))
    bottom = sw * ((1.0 - fx) * fy) + se * (fx * fy)
    return top + bottom
