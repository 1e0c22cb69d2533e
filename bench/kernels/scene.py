"""Inputs and outputs that all rows of the augmentation benchmark share."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from galaxy_triton.kernels import Ranges

USUAL = Ranges(180, 0.5, 0.5, random_crop=True, brightness=0.1, contrast=0.1, saturation=0.1, hue=0.05)


@dataclass(frozen=True)
class Scene:
    """A store in device memory, and the views to make from it.

    pixels: uint8 [N, S, S, 4], on the device; the fourth byte is ignored.
    size: side of a view, pixels.
    batch: images of one call.
    dtype: of the views, [batch, 3, size, size] in [0, 1], channels_last.
    ranges: ranges of the random parameters; no zoom and no shift, which not every peer has.
    """

    pixels: Tensor
    size: int
    batch: int
    dtype: torch.dtype
    ranges: Ranges = USUAL

    @property
    def device(self) -> torch.device:
        return self.pixels.device

    @property
    def side(self) -> int:
        """Side of a stored image, pixels."""
        return self.pixels.shape[1]

    @property
    def colours(self) -> Tensor:
        """uint8 [N, S, S, 3], the same memory."""
        return self.pixels[..., :3]


# index int64 [B], on the device -> the views, with parameters drawn inside the call. A call may overwrite the views of
# the call before.
Fill = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Row:
    """One way to make the views.

    build: does everything that is done once, before timing.
    needs: distributions that must be installed.
    devices: device types it runs on.
    impl: "torch", "compile" or "triton"; see `unavailable`.
    differs: how its meaning differs from ours, in a few words; "" if it does not.
    """

    build: Callable[[Scene], Fill]
    needs: tuple[str, ...] = ()
    devices: tuple[str, ...] = ("cpu", "cuda")
    impl: str = "torch"
    differs: str = ""
