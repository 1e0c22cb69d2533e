"""The fastest torch that we could write: one compiled function, with one order of the colours for all images.

Inductor's Triton code for it (read, torch 2.15) is three launches: the seed, the random numbers, and one kernel in
which a program samples an image, keeps it in fp32 while it sums its grey, and goes over it again with the colours.
A pixel is gathered as one 32-bit word. Slower on the CPU: F.grid_sample compiled, F.grid_sample itself between two
compiled parts, and a gather of single bytes.
"""

import torch
from torch import Tensor

from bench.kernels.scene import Fill, Scene

from .drawing import Drawn, affine, draw


def build(scene: Scene) -> Fill:
    words = scene.pixels.view(torch.int32).view(-1)
    torch._dynamo.mark_static_address(words)  # else a CUDA graph copies the whole store at each call

    def views(index: Tensor) -> Tensor:
        return apply(words, index, draw(scene, len(index), scene.device), scene)

    compiled = torch.compile(views, dynamic=False, options=_options(scene.device))

    def fill(index: Tensor) -> Tensor:
        torch.compiler.cudagraph_mark_step_begin()
        return compiled(index)

    return fill


def apply(words: Tensor, index: Tensor, drawn: Drawn, scene: Scene) -> Tensor:
    """Views by given parameters.

    Args:
        words: int32 [N * S * S], the pixels.
        index: int64 [B].
        drawn: parameters.
        scene: what is asked for.
    """
    channels = _colour(_sample(words, index, drawn, scene), [_wide(factor) for factor in drawn.jitter])
    # cast first: a stack of fp32 would be written, read and cast
    return torch.stack([channel.to(scene.dtype) for channel in channels], dim=3).permute(0, 3, 1, 2)


def _sample(words: Tensor, index: Tensor, drawn: Drawn, scene: Scene) -> list[Tensor]:
    """Bilinear, zeros outside: red, green and blue, fp32 [B, size, size]."""
    x = torch.arange(scene.size, dtype=torch.float32, device=words.device)
    lines = [[_wide(value) for value in line] for line in affine(drawn, scene.side)]
    columns, rows = (_taps(a * x + b * x[:, None] + c, scene.side) for a, b, c in lines)
    first = _wide(index) * scene.side**2
    channels = [torch.zeros_like(rows[0][1])] * 3
    for row, row_weight in rows:
        for column, column_weight in columns:
            word = words[first + (row * scene.side + column)]
            weight = row_weight * column_weight * (1 / 255)
            channels = [sum_ + weight * (word >> 8 * n & 255) for n, sum_ in enumerate(channels)]
    return channels


def _taps(place: Tensor, side: int) -> list[tuple[Tensor, Tensor]]:
    """The two pixels about each place on an axis, int32, and their weights, 0 outside."""
    lower = place.floor()
    upper_weight = place - lower
    pixel = lower.to(torch.int32)
    weighted = ((pixel, 1 - upper_weight), (pixel + 1, upper_weight))
    return [(tap.clamp(0, side - 1), torch.where((tap >= 0) & (tap < side), weight, 0)) for tap, weight in weighted]


def _colour(channels: list[Tensor], factors: list[Tensor]) -> list[Tensor]:
    brightness, contrast, saturation, turns = factors
    channels = [(channel * brightness).clamp(0, 1) for channel in channels]
    mean = _grey(channels).mean((1, 2), keepdim=True)
    channels = [(channel * contrast + mean * (1 - contrast)).clamp(0, 1) for channel in channels]
    grey = _grey(channels)
    return _hue([(channel * saturation + grey * (1 - saturation)).clamp(0, 1) for channel in channels], turns)


def _grey(channels: list[Tensor]) -> Tensor:
    red, green, blue = channels
    return 0.2989 * red + 0.587 * green + 0.114 * blue


def _hue(channels: list[Tensor], turns: Tensor) -> list[Tensor]:
    """One division and one floor a pixel; sectors of the hexagon are counted from its middle, -3 to 3."""
    red, green, blue = channels
    value = torch.maximum(torch.maximum(red, green), blue)
    least = torch.minimum(torch.minimum(red, green), blue)
    on_red, on_green, shift = value == red, value == green, 6 * turns - 3
    across = torch.where(on_red, green - blue, torch.where(on_green, blue - red, red - green))
    around = torch.where(on_red, shift, torch.where(on_green, shift + 2, shift + 4))
    sector = across / (value - least).clamp(min=1e-12) + around
    sector = sector - 6 * torch.floor(sector * (1 / 6) + 0.5)
    shares = (sector.abs() - 1, 2 - (sector + 1).abs(), 2 - (sector - 1).abs())
    return [least + (value - least) * share.clamp(0, 1) for share in shares]


def _options(device: torch.device) -> dict[str, object]:
    """Of the compiler. On a GPU a CUDA graph too; an index is trusted, as our kernel trusts it."""
    if device.type == "cpu":
        return {}
    return {**torch._inductor.list_mode_options("max-autotune"), "assert_indirect_indexing": False}


def _wide(values: Tensor) -> Tensor:
    return values[:, None, None]
