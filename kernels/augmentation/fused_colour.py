"""The colours of the fused kernel: torchvision's four operations, each compiled away if not asked for."""

import triton
import triton.language as tl

# OPERATIONS is a sum of these.
_BRIGHTNESS, CONTRAST, _SATURATION, _HUE = (tl.constexpr(1 << k) for k in range(4))

_LEAST_CHROMA = tl.constexpr(1e-12)  # below it there is no hue to speak of


@triton.jit
def permutation(k):
    """The k-th of itertools.permutations(range(4)), by arithmetic: nothing to look up."""
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
def operate(operation, r, g, b, brightness, contrast, saturation, turns, pivot, OPERATIONS: tl.constexpr):
    """The operation of this number: 0 brightness, 1 contrast about `pivot`, 2 saturation, 3 hue."""
    if operation == 0:
        if _BRIGHTNESS & OPERATIONS:
            r, g, b = _clamp(r * brightness), _clamp(g * brightness), _clamp(b * brightness)
    elif operation == 1:
        if CONTRAST & OPERATIONS:
            rest = pivot * (1.0 - contrast)
            r, g, b = _mix(r, contrast, rest), _mix(g, contrast, rest), _mix(b, contrast, rest)
    elif operation == 2:
        if _SATURATION & OPERATIONS:
            rest = grey(r, g, b) * (1.0 - saturation)
            r, g, b = _mix(r, saturation, rest), _mix(g, saturation, rest), _mix(b, saturation, rest)
    else:
        if _HUE & OPERATIONS:
            r, g, b = _shift_hue(r, g, b, turns)
    return r, g, b


@triton.jit
def grey(r, g, b):
    """As reference.grey."""
    return tl.fma(r, 0.2989, tl.fma(g, 0.587, b * 0.114))


@triton.jit
def _mix(v, factor, rest):
    return _clamp(tl.fma(v, factor, rest))


@triton.jit
def _clamp(v):
    return tl.minimum(tl.maximum(v, 0.0), 1.0)


@triton.jit
def _shift_hue(r, g, b, turns):
    value = tl.maximum(tl.maximum(r, g), b)
    least = tl.minimum(tl.minimum(r, g), b)
    chroma = value - least
    on_red, on_green = value == r, value == g
    across = tl.where(on_red, g - b, tl.where(on_green, b - r, r - g))
    # Sectors are counted from the middle of the hexagon, -3 to 3, where each channel is a distance.
    shift = 6.0 * turns - 3.0
    around = tl.where(on_red, shift, tl.where(on_green, shift + 2.0, shift + 4.0))
    sector = tl.fma(across, 1.0 / tl.maximum(chroma, _LEAST_CHROMA), around)
    sector = tl.fma(tl.floor(tl.fma(sector, 1.0 / 6.0, 0.5)), -6.0, sector)
    red = _clamp(tl.abs(sector) - 1.0)
    green = _clamp(2.0 - tl.abs(sector + 1.0))
    blue = _clamp(2.0 - tl.abs(sector - 1.0))
    return tl.fma(chroma, red, least), tl.fma(chroma, green, least), tl.fma(chroma, blue, least)
