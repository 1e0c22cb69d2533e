"""Memory that given modules hold: whatever else the process of the tests does meanwhile is not counted."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

FRAMES = 12  # of each allocation, the latest: what a module calls to allocate is not as deep


@contextmanager
def traced() -> Iterator[None]:
    """Trace allocations, for `held_by`."""
    tracemalloc.start(FRAMES)
    try:
        yield
    finally:
        tracemalloc.stop()


def held_by(*modules: ModuleType) -> int:
    """Bytes alive now that a function of one of `modules`, or what it called, allocated under `traced`."""
    ours = [tracemalloc.Filter(True, str(module.__file__), all_frames=True) for module in modules]
    return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces(ours).traces)
