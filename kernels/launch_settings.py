"""Tile sizes and warps of each kernel by GPU, as the stage `tuning` of bench/gpu/on_gpu.py measures and prints them."""

import functools
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Launch:
    """tile: elements of a program at a time: pixels (augment), answers (losses) or windows times channels (norm_pool).

    warps: of 32 threads, a program. alone (sigmoid): how many answers a program takes by itself; above there are many
    programs, whose sums torch adds.
    """

    tile: int
    warps: int
    alone: int = 0

    @property
    def compiler_options(self) -> dict[str, object]:
        # enable_fp_fusion's default differs by release.
        return {"num_warps": self.warps, "enable_fp_fusion": False}


@dataclass(frozen=True)
class Settings:
    augment: Launch = Launch(tile=1024, warps=8)
    sigmoid: Launch = Launch(tile=4096, warps=16, alone=16384)
    tree: Launch = Launch(tile=1024, warps=8)
    norm_pool: Launch = Launch(tile=1024, warps=4)


# By torch.cuda.get_device_name(). None has been measured so far.
BY_GPU: dict[str, Settings] = {}


@functools.cache
def settings(device: torch.device) -> Settings:
    """The fastest measured settings for the device's GPU, or settings that are safe on any."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return BY_GPU.get(name, Settings())
