"""The colours of the fused kernel: torchvision's four operations, each compiled away if not asked for."""

import triton
import triton.language as tl

# OPERATIONS is a sum of these.
_BRIGHTNESS, CONTRAST, _SATURATION, _HUE = (tl.constexpr(1 << k) for k in range(4))


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
            r, g, b = _clamp(r * contrast + rest), _clamp(g * contrast + rest), _clamp(b * contrast + rest)
    elif operation == 2:
        if _SATURATION & OPERATIONS:
            rest = grey(r, g, b) * (1.0 - saturation)
            r, g, b = _clamp(r * saturation + rest), _clamp(g * saturation + rest), _clamp(b * saturation + rest)
    else:
        if _HUE & OPERATIONS:
            r, g, b = _shift_hue(r, g, b, turns)
    return r, g, b


@triton.jit
def grey(r, g, b):
    """As reference.grey."""
    return 0.2989 * r + 0.587 * g + 0.114 * b


@triton.jit
def _clamp(v):
    return tl.minimum(tl.maximum(v, 0.0), 1.0)


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
def _hue_channel(value, chroma, sector):
    k = sector - 6.0 * tl.floor(sector * (1.0 / 6.0))
    return value - chroma * _clamp(tl.minimum(k, 4.0 - k))
