"""torchvision's transforms.v2 on floats, which define the meaning of all rows."""

import torch
from torch import Tensor

from bench.kernels.scene import Fill, Scene


def per_image(scene: Scene) -> Fill:
    """Images go through one by one, as torchvision draws once for each call."""
    view = _pipeline(scene)

    def fill(index: Tensor) -> Tensor:
        shape = (len(index), 3, scene.size, scene.size)
        out = torch.empty(shape, dtype=scene.dtype, device=scene.device, memory_format=torch.channels_last)
        for row, image in enumerate(_floats(scene, index)):
            out[row] = view(image)
        return out

    return fill


def per_batch(scene: Scene) -> Fill:
    view = _pipeline(scene)

    def fill(index: Tensor) -> Tensor:
        return view(_floats(scene, index)).to(scene.dtype, memory_format=torch.channels_last)

    return fill


def _pipeline(scene: Scene) -> torch.nn.Module:
    from torchvision.transforms import InterpolationMode, v2

    ranges = scene.ranges
    return v2.Compose(
        [
            v2.RandomRotation(ranges.rotation, InterpolationMode.BILINEAR, fill=None),  # any other fill dims the edges
            v2.RandomHorizontalFlip(ranges.horizontal_flip),
            v2.RandomVerticalFlip(ranges.vertical_flip),
            v2.RandomCrop(scene.size) if ranges.random_crop else v2.CenterCrop(scene.size),
            v2.ColorJitter(*ranges.jitter),
        ]
    )


def _floats(scene: Scene, index: Tensor) -> Tensor:
    """fp32 [B, 3, S, S]."""
    return scene.colours[index].permute(0, 3, 1, 2).float() / 255
