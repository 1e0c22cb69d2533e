"""How calls are measured, where that can be checked without a GPU."""

import gc
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from bench.kernels.measure import Effort, GpuMemory, beyond_wall, cpu_peak, quartiles, seconds

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def no_garbage() -> Iterator[None]:
    """Tensors of other tests are not freed while memory is counted."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_seconds_are_those_of_the_call() -> None:
    assert 0.02 <= seconds(lambda: time.sleep(0.02), CPU) < 10


@pytest.mark.parametrize("values", [[3.0], [1.0, 2.0], [5.0, 1.0, 4.0, 2.0], list(range(11))])
def test_quartiles(values: list[float]) -> None:
    assert quartiles(values) == pytest.approx(np.quantile(values, [0.25, 0.5, 0.75]))


def test_rounds_are_what_fits_between_bounds() -> None:
    effort = Effort(seconds=2, least=5, most=50)
    assert [effort.rounds(call_s) for call_s in (10, 0.1, 1e-6)] == [5, 20, 50]


def test_nothing_allocated_is_no_memory() -> None:
    assert cpu_peak(lambda: time.sleep(0)) == 0


def test_peak_of_memory_is_of_tensors_that_live_together() -> None:
    """Two of the three megabytes live at once, whatever lived before."""
    before = torch.zeros(2**20, dtype=torch.uint8)

    def call() -> torch.Tensor:
        first = before + 1
        second = first + 1
        del first
        return second + 1

    assert cpu_peak(call) == pytest.approx(2 * 2**20, rel=0.01)
    assert beyond_wall(call, CPU, 1, GpuMemory()) == {"memory_mib": pytest.approx(2, rel=0.01)}
