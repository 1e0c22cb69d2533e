"""kornia's augmentation modules: parameters for each image, but one order of the colours for all.

Its rotation, crop and ColorJitter mean what torchvision's do; ColorJiggle, which it recommends, adds where torchvision
multiplies.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bench.kernels.scene import Fill, Scene

FIXED_ORDER = (0, 1, 2, 3)  # brightness, contrast, saturation, hue
# "slice" cuts image by image: a launch each on a GPU. "resample" cuts the batch by a second interpolation, which at
# whole pixels changes nothing.
CROPPING = {"cpu": "slice", "cuda": "resample"}


def eager(scene: Scene) -> Fill:
    return _fill(scene, _pipeline(scene, None).to(scene.device))  # moves the drawing too


def compiled(scene: Scene) -> Fill:
    """Compiled as far as it pays: on a CPU only the colours, as Inductor's warps are slower there than torch's."""
    modules = _pipeline(scene, FIXED_ORDER).to(scene.device)
    if scene.device.type == "cpu":
        modules[-1].compile()
        return _fill(scene, modules)
    return torch.compile(_fill(scene, modules), dynamic=False)


def _fill(scene: Scene, modules: nn.Sequential) -> Fill:
    def fill(index: Tensor) -> Tensor:
        images = scene.colours[index].permute(0, 3, 1, 2).float() / 255
        return modules(images).to(scene.dtype, memory_format=torch.channels_last)

    return fill


def _pipeline(scene: Scene, order: Sequence[int] | None) -> nn.Sequential:
    from kornia import augmentation

    ranges, size = scene.ranges, (scene.size, scene.size)
    cropping = CROPPING[scene.device.type]
    cut = augmentation.RandomCrop(size, cropping_mode=cropping) if ranges.random_crop else None
    return nn.Sequential(
        augmentation.RandomRotation(float(ranges.rotation), p=1),
        augmentation.RandomHorizontalFlip(p=ranges.horizontal_flip),
        augmentation.RandomVerticalFlip(p=ranges.vertical_flip),
        cut or augmentation.CenterCrop(size, cropping_mode=cropping),
        augmentation.ColorJitter(*ranges.jitter, order=order),
    )
