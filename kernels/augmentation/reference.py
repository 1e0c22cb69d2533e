"""The augmentation in plain torch: the specification of the fused kernel, and an implementation to use.

Gather, one bilinear warp, the four colour operations of torchvision's float path in each image's own order, then
normalisation; everything in fp32.
"""

import itertools
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from .parameters import AugmentParams, DrawTensors, draw_params, source_size

_ORDERS = tuple(itertools.permutations(range(4)))
_PADDING = {"zeros": "zeros", "reflect": "reflection"}

# Applies an operation to the chosen images of a batch: (mask [B], operation, images [B, 3, H, W], factor [B]).
Select = Callable[[Tensor, Callable[[Tensor, Tensor], Tensor], Tensor, Tensor], Tensor]


def augment(
    pixels: Tensor,
    index: Tensor | None,
    params_or_draw: AugmentParams | DrawTensors,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    border: str,
    out: Tensor,
    *,
    select: Select,
) -> None:
    """Fill `out` with the views; shapes and meanings as in `galaxy_triton.kernels.augmentation.Fill`."""
    params = params_or_draw
    if isinstance(params, DrawTensors):
        params = draw_params(params, source_size(pixels, index), (out.shape[2], out.shape[3]))
    image = warp(colours(pixels, index), params.affine, (out.shape[2], out.shape[3]), border)
    if params.jitter is not None and params.order is not None:
        image = jitter(image, params.jitter, params.order, select)
    for channel in range(3):
        out[:, channel] = (image[:, channel] - mean[channel]) / std[channel]
    out[:, 3:] = 0


def colours(pixels: Tensor, index: Tensor | None) -> Tensor:
    """The images of a batch, fp32 [B, 3, H, W] in [0, 1], from rows of a store or from a batch."""
    if index is None:
        return pixels.to(torch.float32) / (1 if pixels.is_floating_point() else 255)
    return pixels[index].permute(0, 3, 1, 2)[:, :3].to(torch.float32) / 255


def warp(image: Tensor, affine: Tensor, size: tuple[int, int], border: str) -> Tensor:
    """Bilinear views of images fp32 [B, 3, H, W], fp32 [B, 3, *size], before any colour operation."""
    height, width = image.shape[2:]
    x = torch.arange(size[1], dtype=torch.float32, device=image.device)
    y = torch.arange(size[0], dtype=torch.float32, device=image.device)[:, None]
    a = affine[:, :, :, None, None]
    source_x, source_y = (a[:, :, 0] * x + a[:, :, 1] * y + a[:, :, 2]).unbind(1)  # [B, *size]
    grid = torch.stack(((2 * source_x + 1) / width - 1, (2 * source_y + 1) / height - 1), dim=3)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode=_PADDING[border], align_corners=False)


def jitter(image: Tensor, factors: Tensor, order: Tensor, select: Select) -> Tensor:
    """The four colour operations, each image in its own order: fp32 [B, 3, H, W] in [0, 1] -> the same."""
    operations = torch.tensor(_ORDERS, device=order.device)[order.long()]  # [B, 4]
    for place in range(4):
        for number, operation in enumerate(OPERATIONS):
            image = select(operations[:, place] == number, operation, image, factors[:, number])
    return image


def brightness(image: Tensor, factor: Tensor) -> Tensor:
    """torchvision's adjust_brightness, a factor [B] for each image."""
    return (image * _wide(factor)).clamp(0, 1)


def contrast(image: Tensor, factor: Tensor) -> Tensor:
    """torchvision's adjust_contrast: away from the mean of the grey image."""
    mean = _mean(grey(image).flatten(1))
    return _blend(image, _wide(mean), _wide(factor))


def saturation(image: Tensor, factor: Tensor) -> Tensor:
    """torchvision's adjust_saturation: away from the grey image."""
    return _blend(image, grey(image)[:, None], _wide(factor))


def hue(image: Tensor, turns: Tensor) -> Tensor:
    """torchvision's adjust_hue, with channel n of HSV -> RGB as v - c max(0, min(k, 4 - k, 1)), k = (n + 6 h) mod 6."""
    red, green, blue = image.unbind(1)
    value, least = image.amax(1), image.amin(1)
    chroma = value - least
    divisor = torch.where(chroma == 0, torch.ones_like(chroma), chroma)
    sector = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, (blue - red) / divisor + 2, (red - green) / divisor + 4),
    )
    sector = sector + 6 * turns[:, None, None]
    shifted = [_modulo_6(sector + n) for n in (5, 3, 1)]
    return torch.stack([value - chroma * torch.minimum(k, 4 - k).clamp(0, 1) for k in shifted], dim=1)


def grey(image: Tensor) -> Tensor:
    """ITU-R 601 luma with torchvision's digits: [B, 3, H, W] -> [B, H, W]."""
    red, green, blue = image.unbind(1)
    return 0.2989 * red + 0.587 * green + 0.114 * blue


OPERATIONS = (brightness, contrast, saturation, hue)


def by_rows(mask: Tensor, operation: Callable[[Tensor, Tensor], Tensor], image: Tensor, factor: Tensor) -> Tensor:
    """Compute only the chosen images: least work, but their number must be known on the host."""
    rows = mask.nonzero()[:, 0]
    return image.index_copy(0, rows, operation(image[rows], factor[rows]))


def by_mask(mask: Tensor, operation: Callable[[Tensor, Tensor], Tensor], image: Tensor, factor: Tensor) -> Tensor:
    """Compute all and keep the chosen: fixed shapes, what torch.compile can fuse."""
    return torch.where(_wide(mask), operation(image, factor), image)


augment_by_rows = partial(augment, select=by_rows)
augment_by_mask = partial(augment, select=by_mask)


def _blend(image: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    return (image * factor + other * (1 - factor)).clamp(0, 1)


def _wide(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _mean(values: Tensor) -> Tensor:
    """[B, P] -> [B], summed by halves: the order of the additions does not depend on the batch, as torch.sum's does."""
    count = values.shape[1]
    total = F.pad(values, (0, (1 << max(count - 1, 0).bit_length()) - count))
    while total.shape[1] > 1:
        half = total.shape[1] // 2
        total = total[:, :half] + total[:, half:]
    return total[:, 0] / count


def _modulo_6(value: Tensor) -> Tensor:
    return value - 6 * torch.floor(value * (1 / 6))
