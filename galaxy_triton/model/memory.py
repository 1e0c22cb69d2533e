"""Memory of a device: bytes of a training step, and the place of the pixels."""

import torch

from galaxy_triton.config.schema import Config
from galaxy_triton.model.backend import Backend
from galaxy_triton.model.device import REQUESTED, Choice, free_memory
from galaxy_triton.model.head import training_bytes
from galaxy_triton.system.errors import DataFault, UsageFault, expected
from galaxy_triton.system.processes import Processes


def step_bytes(config: Config, backend: Backend, processes: int) -> int:
    """Approximate bytes of a training step on one process, without the pixels."""
    batch = -(-config.run.batch_size // (processes * config.run.accumulate))
    return training_bytes(config.network, batch, config.augmentation.size, backend.dtype.itemsize)


def residence(name: str, device: torch.device, pixels: int, step: int, free: int | None) -> Choice:
    """The place of the pixels: "gpu", the memory of the device, or "host".

    Args:
        name: "auto", "gpu" or "host". pixels, step, free: bytes; free is None if the system does not tell.

    Raises:
        UsageFault: "gpu" on the CPU.
        DataFault: the pixels do not fit into the memory of that place.
    """
    if device.type == "cpu":
        if name == "gpu":
            raise UsageFault(expected("a GPU for the pixels", "the CPU", "--resident gpu", "use --resident auto"))
        _require_room(device, pixels, free, "pack with a smaller --size")
        return Choice("host", "the device is the CPU")
    if name == "host":
        return Choice("host", f"{REQUESTED}; batches are copied ahead")
    if name == "auto" and free is not None and pixels + step > free:
        return Choice("host", f"pixels and a step need {_mib(pixels + step)}, {_mib(free)} are free")
    _require_room(device, pixels, free, "use --resident host, or pack with a smaller --size")
    return Choice("gpu", REQUESTED if name == "gpu" else "pixels and a step fit into its memory")


def free_for_one(device: torch.device, processes: Processes) -> int | None:
    """Free bytes for one process: those of its GPU, or its share of the memory of this machine."""
    free = free_memory(device)
    return free if free is None or device.type == "cuda" else free // processes.local_count


def _require_room(device: torch.device, pixels: int, free: int | None, do: str) -> None:
    if free is not None and pixels > free:
        where = f"the store, {_mib(pixels)} of pixels"
        raise DataFault(expected(f"free memory on {device} for the pixels", _mib(free), where, do))


def _mib(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"
