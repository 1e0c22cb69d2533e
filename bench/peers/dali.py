"""NVIDIA DALI, called from Python op by op (its dynamic mode): one warp and one linear map of the colours.

Run by us on a CPU with DALI 2.4; not run on a GPU. Its arguments for each image lie in host memory.
"""

import torch
from torch import Tensor

from bench.kernels.scene import Fill, Scene

from .drawing import Drawn, affine, draw, matrix

HOST = torch.device("cpu")


def build(scene: Scene) -> Fill:
    from nvidia.dali import types
    from nvidia.dali.experimental import dynamic

    # there is no bfloat16
    dtype = types.FLOAT if scene.dtype == torch.float32 else types.FLOAT16

    def fill(index: Tensor) -> Tensor:
        drawn = draw(scene, len(index), HOST)
        images = dynamic.as_batch(scene.colours[index], layout="HWC")
        places = dynamic.as_batch(_between_edges(drawn, scene.side))
        views = dynamic.warp_affine(images, matrix=places, size=[scene.size, scene.size], fill_value=0)
        brightness, contrast, saturation, turns = drawn.jitter
        coloured = dynamic.color_twist(
            views,
            brightness=dynamic.as_batch(brightness / 255),  # acts last, so that it also scales to [0, 1]
            contrast=dynamic.as_batch(contrast),
            saturation=dynamic.as_batch(saturation),
            hue=dynamic.as_batch(turns * 360),
            dtype=dtype,
        )
        return coloured.torch().clamp(0, 1).to(scene.dtype).permute(0, 3, 1, 2)

    return fill


def _between_edges(drawn: Drawn, side: int) -> Tensor:
    """fp32 [B, 2, 3]. DALI counts places from the edge of the first pixel, AugmentParams from its centre."""
    places = matrix(affine(drawn, side))
    places[:, :, 2] += 0.5 - 0.5 * places[:, :, :2].sum(dim=2)
    return places
