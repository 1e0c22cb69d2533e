"""Views of a batch by each implementation and by torchvision, drawing included: pixels in memory -> views in memory.

All rows do the same: any rotation, flips, a random crop, the four jitters in a random order, each image its own.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from galaxy_triton.kernels import AugmentDraw, Ranges, augment

SIDE, SIZE = 160, 128
RANGES = Ranges(180, 0.5, 0.5, random_crop=True, brightness=0.1, contrast=0.1, saturation=0.1, hue=0.05)
TORCHVISION = v2.Compose(
    [
        v2.RandomRotation(180, InterpolationMode.BILINEAR, fill=None),  # any other fill dims the edges
        v2.RandomHorizontalFlip(),
        v2.RandomVerticalFlip(),
        v2.RandomCrop(SIZE),
        v2.ColorJitter(0.1, 0.1, 0.1, 0.05),
    ]
)

# (pixels, index, out): fills out.
Fill = Callable[[Tensor, Tensor, Tensor], object]


def torchvision_per_image(pixels: Tensor, index: Tensor, out: Tensor) -> None:
    """torchvision draws once for a whole batch, so images go through one by one."""
    for row, image in enumerate(pixels[index]):
        out[row] = TORCHVISION(image[..., :3].permute(2, 0, 1).float() / 255)


def ours(impl: str, device: torch.device) -> Fill:
    seed, epoch = (torch.tensor(value, device=device) for value in (1, 2))

    def fill(pixels: Tensor, index: Tensor, out: Tensor) -> None:
        augment(pixels, index, AugmentDraw(seed, epoch, index, RANGES), size=SIZE, out=out, impl=impl)

    return fill


@pytest.mark.parametrize("row", ["torchvision", "torch", "compile", "triton"])
def test_augment_speed(row: str, timed, runnable, device: torch.device) -> None:
    on_gpu = device.type == "cuda"
    batch, images, dtype = (256, 20_000, torch.bfloat16) if on_gpu else (8, 64, torch.float32)
    if row != "torchvision":
        runnable(row)
    fill = torchvision_per_image if row == "torchvision" else ours(row, device)
    pixels = torch.randint(0, 256, (images, SIDE, SIDE, 4), dtype=torch.uint8, device=device)
    out = torch.empty((batch, 3, SIZE, SIZE), dtype=dtype, device=device, memory_format=torch.channels_last)

    def fresh() -> tuple[Tensor, Tensor, Tensor]:
        return pixels, torch.randint(0, images, (batch,), device=device), out

    timed(fill, fresh, batch)
