"""The largest batch that fits: tried on a GPU, estimated elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from galaxy_triton.config.schema import Config
from galaxy_triton.data.feed import Batch
from galaxy_triton.model.backend import Backend
from galaxy_triton.model.device import Choice
from galaxy_triton.model.memory import free_for_one, step_bytes
from galaxy_triton.system.errors import DataFault, UsageFault, expected, out_of_memory
from galaxy_triton.system.processes import Processes
from galaxy_triton.train.learner import Learner

STEPS_LEFT = 10  # in an epoch, however much memory there is: one step an epoch teaches little
TRIED = 0.85  # of what is free on a GPU
OF_FREE = 0.5  # what may be planned with where nothing can be tried out: others need memory too


def largest_batch(
    config: Config, backend: Backend, batch: Callable[[int], Batch], rows: int, processes: Processes
) -> int:
    """Galaxies of the largest batch that fits, over all processes, each with a power of two; STEPS_LEFT make an epoch.

    On CUDA by taking eager steps, each twice as large, until a share TRIED of the free memory is used up: what is left
    is for graphs, other processes' gradients and libraries. Elsewhere by an estimate, as a system that runs out of
    memory may end the process.

    Args:
        batch: makes one of so many galaxies, on the device. rows: galaxies to train on.

    Raises:
        UsageFault: a system that does not say how much memory is free.
        DataFault: not even one galaxy fits.
    """
    most = max(1, rows // (STEPS_LEFT * processes.count))
    fits = _tried(config, backend, batch) if backend.device.type == "cuda" else _estimated(config, backend, processes)
    with _margin(backend.device):
        size = doubled(most, fits)
    if size == 0:
        do = "use a smaller --width, or --resident host"
        raise DataFault(expected("memory for a step on one galaxy", "too little", str(backend.device), do))
    return size * processes.count


def doubled(most: int, fits: Callable[[int], bool]) -> int:
    """The largest power of two up to `most` before the first that does not fit; 0 if 1 does not."""
    size = 0
    while max(1, 2 * size) <= most and fits(max(1, 2 * size)):
        size = max(1, 2 * size)
    return size


def _estimated(config: Config, backend: Backend, processes: Processes) -> Callable[[int], bool]:
    free = free_for_one(backend.device, processes)
    if free is None:
        want, do = "a system that says how much memory is free", "give a number"
        raise UsageFault(expected(want, "one that does not", "--batch-size auto", do))

    def fits(size: int) -> bool:
        one = replace(config, run=replace(config.run, batch_size=size))
        return step_bytes(one, backend, 1) <= OF_FREE * free

    return fits


def _tried(config: Config, backend: Backend, batch: Callable[[int], Batch]) -> Callable[[int], bool]:
    eager = replace(backend, body=Choice("eager", "to try batches"))

    def fits(size: int) -> bool:
        try:
            _try_steps(Learner(config, eager, torch.full((37,), 0.5), size, 2), batch(size))
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            return False
        finally:
            torch.cuda.empty_cache()
        return True

    return fits


@contextmanager
def _margin(device: torch.device) -> Iterator[None]:
    """Leave the rest of the memory alone in the block, and the count of its peak as if the block had not been."""
    if device.type != "cuda":
        yield
        return
    free, total = torch.cuda.mem_get_info(device)
    held = torch.cuda.memory_reserved(device)
    torch.cuda.set_per_process_memory_fraction((held + TRIED * free) / total, device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
        torch.cuda.reset_peak_memory_stats(device)


def _try_steps(learner: Learner, batch: Batch) -> None:
    """Two: the first makes the optimiser's moments, the second has them beside its gradients."""
    epoch = torch.tensor(0, device=learner.backend.device)
    for number in range(2):
        learner.step(batch, epoch, number)
    torch.cuda.synchronize(learner.backend.device)
