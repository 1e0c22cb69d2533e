"""triton-augment: geometry and colours in one launch of its own, from floats in planes to floats in planes.

We have not run it on a GPU. It has no hue and no vertical flip, but a vertical flip is a horizontal one and half a
turn. Each call checks six times on the GPU whether a parameter does nothing, and waits for the result.
"""

import torch
from torch import Tensor

from bench.kernels.scene import Fill, Scene

from .drawing import draw


def build(scene: Scene) -> Fill:
    from triton_augment.functional import fused_augment

    _tune()

    def fill(index: Tensor) -> Tensor:
        images = scene.colours[index].permute(0, 3, 1, 2).to(scene.dtype, memory_format=torch.contiguous_format) / 255
        drawn = draw(scene, len(index), scene.device)
        (horizontal, vertical), (left, top) = drawn.flips, drawn.corner
        brightness, contrast, saturation, _ = drawn.jitter
        views = fused_augment(
            images,
            top=top,
            left=left,
            height=scene.size,
            width=scene.size,
            flip_horizontal=horizontal ^ vertical,
            angle=180 * vertical - drawn.degrees,  # it turns clockwise
            interpolation="bilinear",
            brightness_factor=brightness,
            contrast_factor=contrast,
            saturation_factor=saturation,
        )
        return views.contiguous(memory_format=torch.channels_last)

    return fill


def _tune() -> None:
    """Let its kernel choose among all its launch settings; its own switch for this is read too early in 0.3.0."""
    from triton_augment.kernels import fused_kernel

    fused_kernel.fused_augment_kernel.configs = fused_kernel.AUTOTUNE_CONFIGS
