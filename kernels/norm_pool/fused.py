"""The end of a VGG block in three launches, and its gradient in three.

x̂ = (x - μ) r,  r = 1/√(σ² + ε);  y = max(γ ê + β, 0) with e the x of a window where sign(γ) x is largest, the first of
equal ones;  g = dL/dy where y > 0, else 0;

dL/dβ = Σ g;  dL/dγ = Σ g ê;  dL/dx = γ r (g where x was chosen, else 0) - γ r (x̂ dL/dγ + dL/dβ) / n.

x is read once forward, for its moments and for e, and once backward. A program takes windows of 2x2 one tile after the
other, and keeps their count n, mean m and sum of squares about it M; these are put together by Chan's formula:
n = nₐ + n_b;  m = mₐ + (m_b - mₐ) n_b/n;  M = Mₐ + M_b + (m_b - mₐ)² nₐ n_b/n. It loses nothing where a mean is large.
The programs' parts are put together in their order by another kernel, so no sum depends on which ended first.

Where a side is odd its last pixels have windows too, of two pixels or one, which count for the moments alone.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..availability import require_triton
from ..checks import require
from ..launch_settings import settings
from . import autograd
from .fused_windows import (
    centre_and_scale,
    first_largest,
    load_pixel,
    locate_outputs,
    locate_windows,
    put_together,
    square_about,
    through_relu,
)

MAX_WINDOWS = 2**30  # they are counted in 32 bits
MAX_PARTS = 1024  # of a sum: one program puts them together
WIDEST, GATHERED = 64, 4  # channels that a program takes, and that one takes which puts parts together


@triton.jit(do_not_specialize=["windows"])
def _extrema_kernel(
    x_ptr,  # [B, H, W, C]
    weight_ptr,  # fp32 [C]
    extremum_ptr,  # [B, h, w, C]
    place_ptr,  # uint8 [B, h, w, C], in the order of rows
    part_ptr,  # fp32 [parts, 3, C]: count, mean, sum of squares about it
    windows,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    CHANNELS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    STEPS: tl.constexpr,  # tiles of a program; as a number it would stop the interpreter on NumPy 2.4
):
    channel = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    real = channel < CHANNELS
    weight = tl.load(weight_ptr + channel, mask=real, other=0.0)
    sign = tl.where(weight > 0, 1.0, tl.where(weight < 0, -1.0, 0.0))
    count = 0.0
    mean = tl.zeros([COLUMNS], tl.float32)
    squares = tl.zeros([COLUMNS], tl.float32)
    for step in range(STEPS):
        start = (tl.program_id(0) * STEPS + step) * ROWS
        pixel, below, beside, whole, out = locate_windows(start, windows, HEIGHT, WIDTH, ROWS)
        there = pixel >= 0
        x0 = load_pixel(x_ptr, pixel, there, channel, CHANNELS)
        x1 = load_pixel(x_ptr, pixel + 1, beside, channel, CHANNELS)
        x2 = load_pixel(x_ptr, pixel + WIDTH, below, channel, CHANNELS)
        x3 = load_pixel(x_ptr, pixel + WIDTH + 1, below & beside, channel, CHANNELS)
        # Pixels that are not there are 0 in the sum.
        more = tl.sum(there.to(tl.float32) + beside + below + (below & beside), axis=0)
        centre = tl.sum(x0 + x1 + x2 + x3, axis=0) / tl.maximum(more, 1.0)
        spread = square_about(x0, centre, there) + square_about(x1, centre, beside)
        spread += square_about(x2, centre, below) + square_about(x3, centre, below & beside)
        count, mean, squares = put_together(count, mean, squares, more, centre, tl.sum(spread, axis=0))
        extremum, place = first_largest(x0, x1, x2, x3, sign[None, :])
        mask = whole[:, None] & real[None, :]
        target = out.to(tl.int64)[:, None] * CHANNELS + channel[None, :]
        tl.store(extremum_ptr + target, extremum, mask=mask)
        tl.store(place_ptr + target, place, mask=mask)
    part_ptr += tl.program_id(0) * 3 * CHANNELS + channel
    tl.store(part_ptr, tl.zeros([COLUMNS], tl.float32) + count, mask=real)
    tl.store(part_ptr + CHANNELS, mean, mask=real)
    tl.store(part_ptr + 2 * CHANNELS, squares, mask=real)


@triton.jit(do_not_specialize=["parts"])
def _moments_kernel(
    part_ptr,  # fp32 [parts, 3, C]
    mean_ptr,  # fp32 [C]
    var_ptr,  # fp32 [C], biased
    parts,
    CHANNELS: tl.constexpr,
    PARTS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    channel = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    real = channel < CHANNELS
    part = tl.arange(0, PARTS)[:, None]
    place = part * 3 * CHANNELS + channel[None, :]
    mask = (part < parts) & real[None, :]
    count = tl.load(part_ptr + place, mask=mask, other=0.0)
    means = tl.load(part_ptr + place + CHANNELS, mask=mask, other=0.0)
    squares = tl.load(part_ptr + place + 2 * CHANNELS, mask=mask, other=0.0)
    # Chan's formula for many, about one of the means: the mean itself may be large.
    first = tl.load(part_ptr + CHANNELS + channel, mask=real, other=0.0)
    total = tl.maximum(tl.sum(count, axis=0), 1.0)
    shift = tl.sum(count * (means - first[None, :]), axis=0) / total
    apart = means - first[None, :] - shift[None, :]
    tl.store(mean_ptr + channel, first + shift, mask=real)
    tl.store(var_ptr + channel, tl.sum(squares + count * apart * apart, axis=0) / total, mask=real)


@triton.jit(do_not_specialize=["outputs"])
def _activate_kernel(
    extremum_ptr,  # [B, h, w, C]
    weight_ptr,  # fp32 [C]
    bias_ptr,  # fp32 [C]
    mean_ptr,  # fp32 [C]
    var_ptr,  # fp32 [C]
    y_ptr,  # [B, h, w, C]
    outputs,  # B h w
    eps,
    CHANNELS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    channel = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    place, mask = locate_outputs(tl.program_id(0) * ROWS, outputs, channel, CHANNELS, ROWS)
    mean, r = centre_and_scale(mean_ptr, var_ptr, eps, channel, CHANNELS)
    weight = tl.load(weight_ptr + channel, mask=channel < CHANNELS, other=0.0)
    bias = tl.load(bias_ptr + channel, mask=channel < CHANNELS, other=0.0)
    extremum = tl.load(extremum_ptr + place, mask=mask, other=0.0).to(tl.float32)
    y = (extremum - mean[None, :]) * (weight * r)[None, :] + bias[None, :]
    # Not tl.maximum: NaN must stay.
    tl.store(y_ptr + place, tl.where(y < 0, 0.0, y), mask=mask)


@triton.jit(do_not_specialize=["outputs"])
def _sums_kernel(
    upstream_ptr,  # [B, h, w, C]
    y_ptr,  # [B, h, w, C]
    extremum_ptr,  # [B, h, w, C]
    mean_ptr,  # fp32 [C]
    var_ptr,  # fp32 [C]
    part_ptr,  # fp32 [parts, 2, C]: of the gradients of weight and bias
    outputs,  # B h w
    eps,
    CHANNELS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    STEPS: tl.constexpr,  # tiles of a program
):
    channel = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    mean, r = centre_and_scale(mean_ptr, var_ptr, eps, channel, CHANNELS)
    by_weight = tl.zeros([ROWS, COLUMNS], tl.float32)
    by_bias = tl.zeros([ROWS, COLUMNS], tl.float32)
    for step in range(STEPS):
        start = (tl.program_id(0) * STEPS + step) * ROWS
        place, mask = locate_outputs(start, outputs, channel, CHANNELS, ROWS)
        g = through_relu(upstream_ptr, y_ptr, place, mask)
        extremum = tl.load(extremum_ptr + place, mask=mask, other=0.0).to(tl.float32)
        by_weight += g * (extremum - mean[None, :])
        by_bias += g
    part_ptr += tl.program_id(0) * 2 * CHANNELS + channel
    tl.store(part_ptr, tl.sum(by_weight, axis=0) * r, mask=channel < CHANNELS)
    tl.store(part_ptr + CHANNELS, tl.sum(by_bias, axis=0), mask=channel < CHANNELS)


@triton.jit(do_not_specialize=["parts"])
def _totals_kernel(
    part_ptr,  # fp32 [parts, 2, C]
    by_weight_ptr,  # fp32 [C]
    by_bias_ptr,  # fp32 [C]
    parts,
    CHANNELS: tl.constexpr,
    PARTS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    channel = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    real = channel < CHANNELS
    part = tl.arange(0, PARTS)[:, None]
    place = part * 2 * CHANNELS + channel[None, :]
    mask = (part < parts) & real[None, :]
    by_weight = tl.load(part_ptr + place, mask=mask, other=0.0)
    by_bias = tl.load(part_ptr + place + CHANNELS, mask=mask, other=0.0)
    tl.store(by_weight_ptr + channel, tl.sum(by_weight, axis=0), mask=real)
    tl.store(by_bias_ptr + channel, tl.sum(by_bias, axis=0), mask=real)


@triton.jit(do_not_specialize=["windows"])
def _gradient_kernel(
    upstream_ptr,  # [B, h, w, C]
    x_ptr,  # [B, H, W, C]
    weight_ptr,  # fp32 [C]
    y_ptr,  # [B, h, w, C]
    place_ptr,  # uint8 [B, h, w, C]
    mean_ptr,  # fp32 [C]
    var_ptr,  # fp32 [C]
    by_weight_ptr,  # fp32 [C]
    by_bias_ptr,  # fp32 [C]
    gradient_ptr,  # [B, H, W, C]
    windows,
    over_count,  # 1 / n
    eps,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    CHANNELS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    channel = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    real = channel < CHANNELS
    mean, r = centre_and_scale(mean_ptr, var_ptr, eps, channel, CHANNELS)
    scale = tl.load(weight_ptr + channel, mask=real, other=0.0) * r
    slope = tl.load(by_weight_ptr + channel, mask=real, other=0.0) * over_count * r
    level = tl.load(by_bias_ptr + channel, mask=real, other=0.0) * over_count
    pixel, below, beside, whole, out = locate_windows(tl.program_id(0) * ROWS, windows, HEIGHT, WIDTH, ROWS)
    source = out.to(tl.int64)[:, None] * CHANNELS + channel[None, :]
    mask = whole[:, None] & real[None, :]
    g = through_relu(upstream_ptr, y_ptr, source, mask)
    place = tl.load(place_ptr + source, mask=mask, other=0)
    for number in tl.static_range(4):
        there = pixel >= 0
        if number % 2 == 1:
            there = there & beside
        if number >= 2:
            there = there & below
        here = pixel + (number // 2) * WIDTH + number % 2
        x = load_pixel(x_ptr, here, there, channel, CHANNELS)
        chosen = tl.where(place == number, g, 0.0)
        gradient = scale[None, :] * (chosen - (x - mean[None, :]) * slope[None, :] - level[None, :])
        target = gradient_ptr + here[:, None] * CHANNELS + channel[None, :]
        tl.store(target, gradient, mask=there[:, None] & real[None, :])


class _Cut(NamedTuple):
    """How programs share x: its windows by the rows of a tile, its channels by the columns."""

    windows: int  # odd sides' too
    outputs: int  # windows that are pooled
    blocks: int  # of channels
    sides: dict[str, int]
    tile: dict[str, int]
    options: dict[str, object]

    def grid(self, count: int) -> tuple[int, int]:
        """Of programs that take a tile of `count` windows."""
        return triton.cdiv(count, self.tile["ROWS"]), self.blocks

    def parts(self, count: int) -> tuple[int, int]:
        """Of a sum over `count` windows: how many programs make a part of it, of how many tiles each."""
        steps = triton.cdiv(triton.cdiv(count, self.tile["ROWS"]), MAX_PARTS)
        return triton.cdiv(count, self.tile["ROWS"] * steps), steps

    def gather(self, parts: int) -> dict[str, object]:
        """Of a program that puts parts together: all of them, for a few columns of numbers."""
        tile = {"CHANNELS": self.tile["CHANNELS"], "PARTS": triton.next_power_of_2(parts), "COLUMNS": GATHERED}
        return tile | self.options


def _cut(x: Tensor) -> _Cut:
    count, channels, height, width = x.shape
    windows = count * triton.cdiv(height, 2) * triton.cdiv(width, 2)
    require(windows <= MAX_WINDOWS, f"at most {MAX_WINDOWS} windows", windows, "x", "choose impl='torch'")
    launch = settings(x.device).norm_pool
    columns = min(triton.next_power_of_2(channels), WIDEST)
    return _Cut(
        windows,
        outputs=count * (height // 2) * (width // 2),
        blocks=triton.cdiv(channels, columns),
        sides={"HEIGHT": height, "WIDTH": width},
        tile={"CHANNELS": channels, "ROWS": launch.tile // columns, "COLUMNS": columns},
        options=launch.compiler_options,
    )


def _outputs_of(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, ...]:
    """Memory for what the forward op gives, which is what the compiler must know."""
    shape = (x.shape[0], x.shape[1], x.shape[2] // 2, x.shape[3] // 2)
    y = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    place = torch.empty_like(y, dtype=torch.uint8)
    return y, torch.empty_like(y), place, torch.empty_like(weight), torch.empty_like(weight)


def _gradients_of(upstream: Tensor, x: Tensor, weight: Tensor, *_: object) -> tuple[Tensor, Tensor, Tensor]:
    """Memory for the gradients of x, weight and bias."""
    return torch.empty_like(x), torch.empty_like(weight), torch.empty_like(weight)


torch.library.define(
    "galaxy_triton::norm_relu_pool",
    "(Tensor x, Tensor weight, Tensor bias, float eps) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
)
torch.library.define(
    "galaxy_triton::norm_relu_pool_backward",
    "(Tensor upstream, Tensor x, Tensor weight, Tensor y, Tensor extremum, Tensor place, Tensor mean, Tensor var,"
    " float eps) -> (Tensor, Tensor, Tensor)",
)


@torch.library.impl("galaxy_triton::norm_relu_pool", ("cpu", "cuda"))
def _forward(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, ...]:
    require_triton(x.device)
    cut = _cut(x)
    y, extremum, place, mean, var = _outputs_of(x, weight, bias, eps)
    parts, steps = cut.parts(cut.windows)
    part = weight.new_empty(parts, 3, len(weight))
    tile = cut.tile | cut.options
    # Triton launches on the current device, which need not be the tensors'.
    with torch.cuda.device_of(x):
        _extrema_kernel[parts, cut.blocks](
            x, weight, extremum, place, part, cut.windows, STEPS=steps, **cut.sides, **tile
        )
        _moments_kernel[(triton.cdiv(len(weight), GATHERED),)](part, mean, var, parts, **cut.gather(parts))
        _activate_kernel[cut.grid(cut.outputs)](extremum, weight, bias, mean, var, y, cut.outputs, eps, **tile)
    return y, extremum, place, mean, var


@torch.library.impl("galaxy_triton::norm_relu_pool_backward", ("cpu", "cuda"))
def _backward(
    upstream: Tensor,
    x: Tensor,
    weight: Tensor,
    y: Tensor,
    extremum: Tensor,
    place: Tensor,
    mean: Tensor,
    var: Tensor,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    require_triton(x.device)
    cut = _cut(x)
    by_x, by_weight, by_bias = _gradients_of(upstream, x, weight)
    parts, steps = cut.parts(cut.outputs)
    part = weight.new_empty(parts, 2, len(weight))
    tile = cut.tile | cut.options
    with torch.cuda.device_of(x):
        _sums_kernel[parts, cut.blocks](upstream, y, extremum, mean, var, part, cut.outputs, eps, STEPS=steps, **tile)
        _totals_kernel[(triton.cdiv(len(weight), GATHERED),)](part, by_weight, by_bias, parts, **cut.gather(parts))
        _gradient_kernel[cut.grid(cut.windows)](
            upstream, x, weight, y, place, mean, var, by_weight, by_bias, by_x,
            cut.windows, len(weight) / x.numel(), eps, **cut.sides, **tile,
        )  # fmt: skip
    return by_x, by_weight, by_bias


torch.library.register_fake("galaxy_triton::norm_relu_pool", _outputs_of)
torch.library.register_fake("galaxy_triton::norm_relu_pool_backward", _gradients_of)


def norm_relu_pool(
    x: Tensor, weight: Tensor, bias: Tensor, running_mean: Tensor, running_var: Tensor, momentum: float, eps: float
) -> Tensor:
    """As the reference, but differentiable once."""
    ops = torch.ops.galaxy_triton
    steps = autograd.Steps(ops.norm_relu_pool, ops.norm_relu_pool_backward)
    return autograd.norm_relu_pool(steps, x, weight, bias, running_mean, running_var, momentum, eps)
