"""The warp of the fused kernel: which pixels of the view come next, and one bilinear sample of the source for each."""

import triton
import triton.language as tl

# A warp takes 8 x 4 pixels of the view: whatever the rotation, what it gathers lies in few cache lines.
PATCH = (8, 4)
_ACROSS, _DOWN = (tl.constexpr(side) for side in PATCH)
_TWO_TO_23, _TWO_TO_23_BITS = tl.constexpr(2.0**23), tl.constexpr(0x4B000000)


@triton.jit
def tiles(VIEW_HEIGHT: tl.constexpr, VIEW_WIDTH: tl.constexpr, TILE: tl.constexpr):
    """How many tiles hold the view's patches."""
    patches: tl.constexpr = ((VIEW_HEIGHT + _DOWN - 1) // _DOWN) * ((VIEW_WIDTH + _ACROSS - 1) // _ACROSS)
    return (patches * _ACROSS * _DOWN + TILE - 1) // TILE


@triton.jit
def view_pixels(tile, VIEW_HEIGHT: tl.constexpr, VIEW_WIDTH: tl.constexpr, TILE: tl.constexpr):
    """x, y of a tile's pixels, patch after patch, and whether they lie inside the view."""
    number = tile * TILE + tl.arange(0, TILE)
    patch, inside = number // (_ACROSS * _DOWN), number % (_ACROSS * _DOWN)
    patches_across: tl.constexpr = (VIEW_WIDTH + _ACROSS - 1) // _ACROSS
    x = patch % patches_across * _ACROSS + inside % _ACROSS
    y = patch // patches_across * _DOWN + inside // _ACROSS
    return x, y, (x < VIEW_WIDTH) & (y < VIEW_HEIGHT)


@triton.jit
def bilinear(
    image_ptr,  # int32 [HEIGHT, WIDTH], packed words, or [3, HEIGHT, WIDTH] of bytes or floats
    a00,
    a01,
    a02,
    a10,
    a11,
    a12,
    x,
    y,
    mask,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    REFLECT: tl.constexpr,
):
    """Red, green and blue in [0, 1] at pixels of a view."""
    vx, vy = x.to(tl.float32), y.to(tl.float32)
    sx = tl.fma(a00, vx, tl.fma(a01, vy, a02))
    sy = tl.fma(a10, vx, tl.fma(a11, vy, a12))
    if REFLECT:
        sx = _reflect(sx, WIDTH)
        sy = _reflect(sy, HEIGHT)
    ix = tl.floor(sx).to(tl.int32)
    iy = tl.floor(sy).to(tl.int32)
    west, east = _inside(ix, WIDTH), _inside(ix + 1, WIDTH)
    north, south = mask & _inside(iy, HEIGHT), mask & _inside(iy + 1, HEIGHT)
    # One address for the four taps: the others lie at fixed distances from it.
    corner = image_ptr + (iy * WIDTH + ix)
    nw_r, nw_g, nw_b = _tap(corner, north & west, HEIGHT, WIDTH)
    ne_r, ne_g, ne_b = _tap(corner + 1, north & east, HEIGHT, WIDTH)
    sw_r, sw_g, sw_b = _tap(corner + WIDTH, south & west, HEIGHT, WIDTH)
    se_r, se_g, se_b = _tap(corner + (WIDTH + 1), south & east, HEIGHT, WIDTH)
    fx = sx - ix.to(tl.float32)
    fy = sy - iy.to(tl.float32)
    unit = 1.0 if image_ptr.dtype.element_ty.is_floating() else 1.0 / 255.0
    lower = fy * unit
    upper = unit - lower
    ne, se = upper * fx, lower * fx
    nw, sw = upper - ne, lower - se
    r = _blend(nw_r, ne_r, sw_r, se_r, nw, ne, sw, se)
    g = _blend(nw_g, ne_g, sw_g, se_g, nw, ne, sw, se)
    b = _blend(nw_b, ne_b, sw_b, se_b, nw, ne, sw, se)
    return r, g, b


@triton.jit
def _reflect(v, SIDE: tl.constexpr):
    # Mirrored at the outer edges of the border pixels, -0.5 and SIDE - 0.5, as often as needed.
    distance = tl.abs(v + 0.5)
    laps = tl.floor(distance * (1.0 / SIDE))
    inside = distance - laps * SIDE
    odd = laps - 2.0 * tl.floor(laps * 0.5)
    mirrored = tl.where(odd == 0.0, inside, SIDE - inside) - 0.5
    return tl.minimum(tl.maximum(mirrored, 0.0), SIDE - 1.0)


@triton.jit
def _inside(v, SIDE: tl.constexpr):
    return (v >= 0) & (v < SIDE)


@triton.jit
def _tap(pixel_ptr, inside, HEIGHT: tl.constexpr, WIDTH: tl.constexpr):
    """The three channels of one pixel, 0 outside: one load of a packed word, else one from each plane."""
    if pixel_ptr.dtype.element_ty == tl.int32:
        word = tl.load(pixel_ptr, mask=inside, other=0)
        # A conversion is slow, so one byte goes without: as the last bits of 2**23.
        r = ((word & 255) | _TWO_TO_23_BITS).to(tl.float32, bitcast=True) - _TWO_TO_23
        g, b = (word >> 8) & 255, (word >> 16) & 255
    else:
        r = tl.load(pixel_ptr, mask=inside, other=0)
        g = tl.load(pixel_ptr + HEIGHT * WIDTH, mask=inside, other=0)
        b = tl.load(pixel_ptr + 2 * HEIGHT * WIDTH, mask=inside, other=0)
    return r.to(tl.float32), g.to(tl.float32), b.to(tl.float32)


@triton.jit
def _blend(nw, ne, sw, se, nw_weight, ne_weight, sw_weight, se_weight):
    north = tl.fma(ne, ne_weight, nw * nw_weight)
    return tl.fma(se, se_weight, tl.fma(sw, sw_weight, north))
