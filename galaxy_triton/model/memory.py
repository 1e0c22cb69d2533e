"""What fits into a device's memory: the pixels, and a step of training."""

import torch

from galaxy_triton.config.schema import Config
from galaxy_triton.model.backend import Backend
from galaxy_triton.model.device import Choice, free_memory
from galaxy_triton.model.head import training_bytes
from galaxy_triton.system.errors import DataFault, UsageFault, expected
from galaxy_triton.system.processes import Processes


def step_bytes(config: Config, backend: Backend, processes: int) -> int:
    """About what a step of one process holds besides the pixels."""
    batch = -(-config.run.batch_size // (processes * config.run.accumulate))
    return training_bytes(config.network, batch, config.augmentation.size, backend.dtype.itemsize)


def residence(asked: str, device: torch.device, pixels: int, step: int, free: int | None) -> Choice:
    """Where the pixels lie: "gpu", the memory of the device, or "host".

    Args:
        asked: "auto", "gpu" or "host". pixels, step, free: bytes; free is None where the system does not say.

    Raises:
        UsageFault: "gpu" without one.
        DataFault: the pixels fit into no memory that may be used.
    """
    if device.type == "cpu":
        if asked == "gpu":
            raise UsageFault(expected("a GPU for the pixels", "the CPU", "--resident gpu", "use --resident auto"))
        _require_room(device, pixels, free, "pack with a smaller --size")
        return Choice("host", "the device is the host")
    if asked == "host":
        return Choice("host", "asked for; batches are copied ahead")
    if asked == "auto" and free is not None and pixels + step > free:
        return Choice("host", f"pixels and a step take {_mib(pixels + step)}, {_mib(free)} are free")
    _require_room(device, pixels, free, "use --resident host, or pack with a smaller --size")
    return Choice("gpu", "asked for" if asked == "gpu" else "pixels and a step fit into its memory")


def free_for_one(device: torch.device, processes: Processes) -> int | None:
    """Free bytes for one process: of a GPU of its own, or of memory that it shares with those beside it."""
    free = free_memory(device)
    return free if free is None or device.type == "cuda" else free // processes.beside


def _require_room(device: torch.device, pixels: int, free: int | None, do: str) -> None:
    if free is not None and pixels > free:
        where = f"the store, {_mib(pixels)} of pixels"
        raise DataFault(expected(f"free memory on {device} for the pixels", _mib(free), where, do))


def _mib(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"
