"""The largest batch that fits: tried on a GPU, estimated elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from galaxy_triton.config.schema import Config
from galaxy_triton.data.feed import batch_of
from galaxy_triton.data.galaxies import Galaxies
from galaxy_triton.model.backend import Backend
from galaxy_triton.model.device import Choice
from galaxy_triton.model.memory import free_for_one, step_bytes
from galaxy_triton.system.errors import DataFault, UsageFault, expected, out_of_memory
from galaxy_triton.system.processes import Processes
from galaxy_triton.train.learner import Learner

STEPS_LEFT = 10  # in an epoch, however much memory there is: one step an epoch teaches little
TRIED = 0.85  # of what is free on a GPU
OF_FREE = 0.5  # of free memory, where steps cannot be tried: other programs need memory too


def largest_batch(config: Config, backend: Backend, galaxies: Galaxies, rows: Tensor, processes: Processes) -> int:
    """The largest batch that fits, in galaxies over all processes: in each a power of two, and STEPS_LEFT an epoch.

    On CUDA eager steps are tried, each twice as large, in a share TRIED of the free memory; the rest is for graphs,
    the gradients of other processes, and libraries. Elsewhere a step's memory is estimated, as a system without free
    memory may kill the process.

    Args:
        rows: int64 [M], the rows of the galaxies to train on, on the device.

    Raises:
        UsageFault: the system does not say how much memory is free.
        DataFault: not even one galaxy fits.
    """
    most = max(1, len(rows) // (STEPS_LEFT * processes.count))
    if backend.device.type == "cuda":
        with _limited_memory(backend.device):
            size = doubled(most, lambda size: _fits(config, backend, galaxies, rows[:size]))
    elif (free := free_for_one(backend.device, processes)) is not None:
        size = doubled(most, lambda size: _estimate(config, backend, size) <= OF_FREE * free)
    else:
        want, do = "a system that says how much memory is free", "give a number"
        raise UsageFault(expected(want, "one that does not", "--batch-size auto", do))
    if size == 0:
        do = "use a smaller network or --view-size" + ", or --resident host" * (backend.device.type != "cpu")
        raise DataFault(expected("memory for a step on one galaxy", "too little", str(backend.device), do))
    return size * processes.count


def doubled(most: int, fits: Callable[[int], bool]) -> int:
    """The largest power of two up to `most` before the first that does not fit; 0 if 1 does not."""
    size = 1
    while size <= most and fits(size):
        size *= 2
    return size // 2


def _estimate(config: Config, backend: Backend, size: int) -> int:
    """Approximate bytes of a step on `size` galaxies."""
    return step_bytes(replace(config, run=replace(config.run, batch_size=size)), backend, 1)


def _fits(config: Config, backend: Backend, galaxies: Galaxies, rows: Tensor) -> bool:
    """Whether two steps fit: the first allocates the optimiser's moments, the second has them beside its gradients."""
    eager = replace(backend, body=Choice("eager", "to try batches"))
    try:
        learner, batch = Learner(config, eager, torch.full((37,), 0.5), len(rows), 2), batch_of(galaxies, rows)
        for number in range(2):
            learner.step(batch, torch.tensor(0, device=backend.device), number)
        torch.cuda.synchronize(backend.device)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        return False
    finally:
        torch.cuda.empty_cache()
    return True


@contextmanager
def _limited_memory(device: torch.device) -> Iterator[None]:
    """Limit the memory of CUDA inside the block to a share TRIED of what is free; reset its peak at the end."""
    free, total = torch.cuda.mem_get_info(device)
    reserved = torch.cuda.memory_reserved(device)
    torch.cuda.set_per_process_memory_fraction((reserved + TRIED * free) / total, device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
        torch.cuda.reset_peak_memory_stats(device)
