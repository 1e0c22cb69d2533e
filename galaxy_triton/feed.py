"""A batch of galaxies."""

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """pixels uint8 [N, S, S, 4] on the device, index int64 [B] into them, ids int64 [B], answers fp32 [B, 37]."""

    pixels: Tensor
    index: Tensor
    ids: Tensor
    answers: Tensor
    share: float = 1.0
