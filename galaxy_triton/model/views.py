"""The views of galaxies that a network sees: random ones in training, fixed ones in validation and prediction."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from galaxy_triton import kernels
from galaxy_triton.config.schema import Augmentation
from galaxy_triton.data.feed import Batch
from galaxy_triton.kernels.augmentation.reference import warp


class Pose(NamedTuple):
    """A galaxy rotated counter-clockwise about its image's centre by `turn` full turns, then mirrored or not."""

    turn: float = 0.0
    mirrored: bool = False


AS_STORED = Pose()


@dataclass(frozen=True)
class ViewMaker:
    """Makes views with one implementation and type; dtype and impl are those of `kernels.augment`."""

    augmentation: Augmentation
    dtype: torch.dtype = torch.float32
    impl: str = "torch"

    def empty(self, count: int, device: torch.device) -> Tensor:
        """A buffer for `count` views: [count, 3, size, size], channels_last."""
        side = self.augmentation.size
        shape = (count, 3, side, side)
        return torch.empty(shape, dtype=self.dtype, device=device, memory_format=torch.channels_last)

    def random(self, batch: Batch, seed: Tensor, epoch: Tensor, buffer: Tensor) -> Tensor:
        """The training views of a batch of B galaxies in this epoch, written to the first B places of `buffer`."""
        ranges = training_ranges(self.augmentation, batch.pixels.shape[1])
        return self._augment(batch, kernels.AugmentDraw(seed, epoch, batch.ids, ranges), buffer)

    def fixed(self, batch: Batch, affine: Tensor, buffer: Tensor) -> Tensor:
        """One fixed view (`affine` fp32 [2, 3]) of B galaxies, written to the first B places of `buffer`."""
        params = kernels.AugmentParams(affine.expand(len(batch.places), 2, 3).contiguous())
        return self._augment(batch, params, buffer)

    def _augment(self, batch: Batch, views: kernels.AugmentParams | kernels.AugmentDraw, buffer: Tensor) -> Tensor:
        a, out = self.augmentation, buffer[: len(batch.places)]
        return kernels.augment(batch.pixels, batch.places, views, size=a.size, border=a.border, out=out, impl=self.impl)


def training_ranges(augmentation: Augmentation, side: int) -> kernels.Ranges:
    """The kernels' ranges for stored images of `side` pixels."""
    return kernels.Ranges(
        rotation=augmentation.rotation,
        horizontal_flip=augmentation.horizontal_flip,
        vertical_flip=augmentation.vertical_flip,
        zoom=augmentation.zoom,
        shift=augmentation.shift * side,
        random_crop=augmentation.crop == "random",
        brightness=augmentation.brightness,
        contrast=augmentation.contrast,
        saturation=augmentation.saturation,
        hue=augmentation.hue,
    )


def fixed_affines(count: int, side: int, size: int, device: torch.device, pose: Pose = AS_STORED) -> Tensor:
    """`count` centred views, fp32 [count, 2, 3]: evenly spaced rotations, each also mirrored when `count` is even.

    pose: the views show the galaxy in this pose, made from the stored pixels by one interpolation.
    """
    mirrored = count % 2 == 0
    rotations = count // 2 if mirrored else count
    turns = torch.arange(rotations, dtype=torch.float32) / rotations
    turns = turns.repeat(2) if mirrored else turns
    flips = torch.ones(count, 2)
    flips[rotations:, 0] = -1
    # A turn after mirroring equals the opposite turn before it.
    sign = -1 if pose.mirrored else 1
    turns = pose.turn + sign * turns
    flips[:, 0] *= sign
    corner = torch.full((count, 2), (side - size) / 2)
    affine = kernels.view_affine(turns, flips, torch.ones(count), torch.zeros(count, 2), corner, side=side)
    return affine.to(device)


def warp_views(images: Tensor, affines: Tensor, augmentation: Augmentation) -> Tensor:
    """Views without jitter in plain torch operations, for an exported program that runs without this package.

    Args:
        images: fp32 [B, 3, S, S] in [0, 1].
        affines: fp32 [B, 2, 3].

    Returns:
        fp32 [B, 3, size, size].
    """
    return warp(images, affines, (augmentation.size, augmentation.size), augmentation.border)
