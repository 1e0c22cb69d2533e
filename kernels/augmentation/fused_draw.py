"""The draws of the fused kernel: as `parameters.sample`, with the same single operations, so the same bits."""

import triton
import triton.language as tl

from ..philox import STREAMS

_GEOMETRY = tl.constexpr(STREAMS["geometry"])
_PLACE = tl.constexpr(STREAMS["place"])
_JITTER = tl.constexpr(STREAMS["jitter"])
_ORDER = tl.constexpr(STREAMS["order"])


@triton.jit
def draw_affine(
    seed,
    epoch,
    image_id,
    most_turns,
    horizontal,
    vertical,
    log_zoom,
    shift,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    VIEW_HEIGHT: tl.constexpr,
    VIEW_WIDTH: tl.constexpr,
    CORNER_X: tl.constexpr,
    CORNER_Y: tl.constexpr,
    RANDOM_CROP: tl.constexpr,
):
    """The six numbers of parameters.view_affine, drawn; the crop's corner is given unless RANDOM_CROP."""
    angle, flip_x, flip_y, zoom = _words(seed, epoch, image_id, _GEOMETRY)
    shift_x, shift_y, crop_x, crop_y = _words(seed, epoch, image_id, _PLACE)
    cos, sin = _cos_sin(_symmetric(angle) * most_turns)
    scale = _small_exp((1.0 - 2.0 * _unit(zoom)) * log_zoom)
    fx = tl.where(_unit(flip_x) < horizontal, -1.0, 1.0) * scale
    fy = tl.where(_unit(flip_y) < vertical, -1.0, 1.0) * scale
    x = CORNER_X - (WIDTH - 1) / 2
    y = CORNER_Y - (HEIGHT - 1) / 2
    if RANDOM_CROP:
        x = tl.floor(_unit(crop_x) * (WIDTH - VIEW_WIDTH + 1)) - (WIDTH - 1) / 2
        y = tl.floor(_unit(crop_y) * (HEIGHT - VIEW_HEIGHT + 1)) - (HEIGHT - 1) / 2
    a00 = cos * fx
    a01 = -sin * fy
    a10 = sin * fx
    a11 = cos * fy
    a02 = a00 * x + a01 * y + ((WIDTH - 1) / 2 + _symmetric(shift_x) * shift)
    a12 = a10 * x + a11 * y + ((HEIGHT - 1) / 2 + _symmetric(shift_y) * shift)
    return a00, a01, a02, a10, a11, a12


@triton.jit
def draw_jitter(seed, epoch, image_id, brightness_range, contrast_range, saturation_range, hue_range):
    """The four factors, and which of the 24 orders."""
    word0, word1, word2, word3 = _words(seed, epoch, image_id, _JITTER)
    brightness = 1.0 + _symmetric(word0) * brightness_range
    contrast = 1.0 + _symmetric(word1) * contrast_range
    saturation = 1.0 + _symmetric(word2) * saturation_range
    turns = _symmetric(word3) * hue_range
    word0, word1, word2, word3 = _words(seed, epoch, image_id, _ORDER)
    order = (_unit(word0) * 24.0).to(tl.int32)
    return brightness, contrast, saturation, turns, order


@triton.jit
def _words(seed, epoch, image_id, STREAM: tl.constexpr):
    # tl.philox turns into its 64-bit variant when a counter word is int64.
    low = (image_id & 0xFFFFFFFF).to(tl.uint32)
    high = ((image_id >> 32) & 0xFFFFFFFF).to(tl.uint32)
    stream = tl.zeros_like(low) + STREAM
    return tl.philox(seed, low, high, (epoch & 0xFFFFFFFF).to(tl.uint32), stream)


@triton.jit
def _unit(bits):
    return (bits >> 8).to(tl.float32) * 5.9604644775390625e-08  # 2**-24


@triton.jit
def _symmetric(bits):
    return 2.0 * _unit(bits) - 1.0


@triton.jit
def _cos_sin(turns):
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
    tail = 1.0 + x * (1 / 6) * (1.0 + x * (1 / 7) * (1.0 + x * (1 / 8)))
    return 1.0 + x * (1.0 + x * (1 / 2) * (1.0 + x * (1 / 3) * (1.0 + x * (1 / 4) * (1.0 + x * (1 / 5) * tail))))
