"""Of the kernels at the end of a block: windows of 2x2 and their pixels, moments put together, and what comes back."""

import triton
import triton.language as tl


@triton.jit
def locate_windows(start, windows, HEIGHT: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr):
    """Of the windows from `start` on, [ROWS] each.

    Its first pixel, int64, or -1 for none; whether it has pixels below and beside that; whether it is pooled; and as
    which one, int32.
    """
    ACROSS: tl.constexpr = (WIDTH + 1) // 2
    DOWN: tl.constexpr = (HEIGHT + 1) // 2
    window = start + tl.arange(0, ROWS)
    there = window < windows
    image, row, column = window // (ACROSS * DOWN), window // ACROSS % DOWN, window % ACROSS
    pixel = (image.to(tl.int64) * HEIGHT + 2 * row) * WIDTH + 2 * column
    below = there & (2 * row + 1 < HEIGHT)
    beside = there & (2 * column + 1 < WIDTH)
    out = (image * (HEIGHT // 2) + row) * (WIDTH // 2) + column
    return tl.where(there, pixel, -1), below, beside, below & beside, out


@triton.jit
def load_pixel(x_ptr, pixel, there, channel, CHANNELS: tl.constexpr):
    """fp32 [ROWS, COLUMNS], 0 where there is none."""
    mask = there[:, None] & (channel < CHANNELS)[None, :]
    return tl.load(x_ptr + pixel[:, None] * CHANNELS + channel[None, :], mask=mask, other=0.0).to(tl.float32)


@triton.jit
def square_about(x, centre, there):
    away = tl.where(there[:, None], x - centre[None, :], 0.0)
    return away * away


@triton.jit
def put_together(count_a, mean_a, squares_a, count_b, mean_b, squares_b):
    """Chan's formula."""
    count = count_a + count_b
    share = count_b / tl.maximum(count, 1.0)
    apart = mean_b - mean_a
    return count, mean_a + apart * share, squares_a + squares_b + apart * apart * (count_a * share)


@triton.jit
def first_largest(x0, x1, x2, x3, sign):
    """x where sign * x is largest, and its number; a NaN is, as in max_pool2d."""
    x, place = x0, tl.zeros_like(x0).to(tl.uint8)
    x, place = _larger(x, place, x1, 1, sign)
    x, place = _larger(x, place, x2, 2, sign)
    return _larger(x, place, x3, 3, sign)


@triton.jit
def _larger(x, place, other, number: tl.constexpr, sign):
    better = (sign * other > sign * x) | (other != other)
    return tl.where(better, other, x), tl.where(better, number, place).to(tl.uint8)


@triton.jit
def locate_outputs(start, outputs, channel, CHANNELS: tl.constexpr, ROWS: tl.constexpr):
    """Places of the windows from `start` on, int64 [ROWS, COLUMNS], and whether they are there."""
    row = start + tl.arange(0, ROWS)
    mask = (row < outputs)[:, None] & (channel < CHANNELS)[None, :]
    return row.to(tl.int64)[:, None] * CHANNELS + channel[None, :], mask


@triton.jit
def centre_and_scale(mean_ptr, var_ptr, eps, channel, CHANNELS: tl.constexpr):
    mean = tl.load(mean_ptr + channel, mask=channel < CHANNELS, other=0.0)
    var = tl.load(var_ptr + channel, mask=channel < CHANNELS, other=1.0)
    return mean, tl.div_rn(tl.full(var.shape, 1.0, tl.float32), tl.sqrt_rn(var + eps))


@triton.jit
def through_relu(upstream_ptr, y_ptr, place, mask):
    """g, fp32."""
    y = tl.load(y_ptr + place, mask=mask, other=0.0)
    upstream = tl.load(upstream_ptr + place, mask=mask, other=0.0).to(tl.float32)
    return tl.where(y > 0, upstream, 0.0)
