"""The memory that given modules hold, whatever else the process of the tests does meanwhile."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

FRAMES = 12  # of each allocation, the latest: what a module calls to allocate is not as deep


@contextmanager
def trace_memory() -> Iterator[None]:
    """Trace allocations, for `memory_of`."""
    tracemalloc.start(FRAMES)
    try:
        yield
    finally:
        tracemalloc.stop()


def memory_of(*modules: ModuleType) -> int:
    """Bytes alive now that a function of one of `modules`, or what it called, allocated under `trace_memory`."""
    ours = [tracemalloc.Filter(True, str(module.__file__), all_frames=True) for module in modules]
    return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces(ours).traces)
