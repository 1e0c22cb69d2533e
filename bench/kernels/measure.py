"""Measure one call beyond its wall time: time on the device, launches, memory.

Wall time is one call by the host's clock, from an idle device to the device's end; pytest-benchmark takes it. Device
time is that of a call among many: two events on the device with calls between them, queued before the first event is
reached, so that the host's work does not show. A call that waits for the device cannot be queued; its time then holds
the host's work too, and `host_ahead` is false.
"""

import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

from bench.publish.made_with import output

CALLS = 20  # between two events
QUEUE = 800  # launches: a stream takes about a thousand before the host has to wait
CYCLES_PER_S = 2e9  # about those of a GPU, for the length of its sleep
LONGEST_SLEEP_S = 0.25

Call = Callable[[], object]
Figures = dict[str, object]


@dataclass(frozen=True)
class Effort:
    """Rounds are what fits into `seconds`, but neither fewer than `least` nor more than `most`."""

    seconds: float = 2.0
    least: int = 5
    most: int = 50

    def rounds(self, call_s: float) -> int:
        return max(self.least, min(self.most, int(self.seconds / call_s)))


class GpuMemory(NamedTuple):
    """Bytes on the GPU: allocated by torch, and in the pools of captured graphs. 0 without a GPU."""

    allocated: int = 0
    pools: int = 0


def wait(device: torch.device) -> None:
    """Wait until the device is idle."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(call: Call, device: torch.device) -> float:
    """Wall time of one call."""
    wait(device)
    started = time.perf_counter()
    call()
    wait(device)
    return time.perf_counter() - started


def beyond_wall(call: Call, device: torch.device, rounds: int, before: GpuMemory) -> Figures:
    """Figures that the host's clock does not show.

    Args:
        call: compiled already, by an earlier call.
        rounds: number of device times to take.
        before: `gpu_memory` before anything but the inputs was made.

    Returns:
        memory_mib: peak of torch's allocator during a call. On CUDA above `before`, so with everything built
            for the call, and at least the pools of captured graphs, which allocate nothing when they run;
            on the CPU above the start of the call.
        kernels: number of kernels, copies and fills of a call. kernel_us: their total time. None if the profiler
            sees none.
        device_us: quartiles of device time. host_ahead: whether it is free of the host's work.
        Without a GPU only the first.
    """
    if device.type == "cpu":
        return {"memory_mib": cpu_peak(call) / 2**20}
    kernels, kernel_us = _launched(call)
    calls = max(1, min(CALLS, int(QUEUE // max(kernels, 1))))
    issue_s = seconds(call, device) * calls
    times, ahead = zip(*(_between_events(call, calls, issue_s) for _ in range(rounds)), strict=True)
    return {
        "memory_mib": _cuda_peak(call, before) / 2**20,
        "kernels": kernels or None,  # the profiler may not be allowed to see them
        "kernel_us": kernel_us or None,
        "device_us": quartiles(times),
        "host_ahead": sum(ahead) * 2 > rounds,
    }


def device_times(call: Call, device: torch.device, rounds: int) -> list[float]:
    """Microseconds a call on a GPU, many calls a round; on the CPU those of single calls."""
    if device.type == "cpu":
        return [seconds(call, device) * 1e6 for _ in range(rounds)]
    issue_s = seconds(call, device) * CALLS
    return [_between_events(call, CALLS, issue_s)[0] for _ in range(rounds)]


def rates(device: torch.device) -> Figures | None:
    """The fields of floors.Rates for this GPU; None without a GPU or without nvidia-smi."""
    if device.type == "cpu":
        return None
    clock_mhz = output(
        "nvidia-smi", "--query-gpu=clocks.max.sm", "--format=csv,noheader,nounits", f"--id={device.index or 0}"
    )
    if clock_mhz is None:
        return None
    multiprocessors = torch.cuda.get_device_properties(device).multi_processor_count
    return {"multiprocessors": multiprocessors, "clock_ghz": float(clock_mhz) / 1e3, "copy_gb_s": _copy_gb_s(device)}


def quartiles(values: tuple[float, ...] | list[float]) -> list[float]:
    """First quartile, median, third quartile."""
    if len(values) == 1:
        return [values[0]] * 3
    return statistics.quantiles(values, n=4, method="inclusive")


def gpu_memory(device: torch.device) -> GpuMemory:
    """GPU memory in use now."""
    if device.type == "cpu":
        return GpuMemory()
    segments = torch.cuda.memory_snapshot()
    pools = sum(part["total_size"] for part in segments if tuple(part["segment_pool_id"]) != (0, 0))
    return GpuMemory(torch.cuda.memory_allocated(device), pools)


def cpu_peak(call: Call) -> int:
    """Bytes: peak of torch's CPU allocator during a call above its start, by torch's profiler.

    Memory from elsewhere (oneDNN's scratch, NumPy's arrays) is not counted.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        call()
    results = seen.profiler.kineto_results  # the public list leaves out what an operator took by itself
    changes = [event for event in results.events() if event.name() == "[memory]"]
    sizes = [event.nbytes() for event in sorted(changes, key=lambda event: event.start_ns())]
    return max([0, *itertools.accumulate(sizes)])


def _cuda_peak(call: Call, before: GpuMemory) -> int:
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    pools = gpu_memory(torch.device("cuda")).pools - before.pools
    return max(torch.cuda.max_memory_allocated() - before.allocated, pools)


def _launched(call: Call) -> tuple[int, float]:
    """Number of kernels, copies and fills of one call, and their microseconds."""
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        call()
        torch.cuda.synchronize()
    ran = [event for event in seen.events() if event.device_type == torch.autograd.DeviceType.CUDA]
    return len(ran), sum(event.time_range.elapsed_us() for event in ran)


def _between_events(call: Call, calls: int, issue_s: float) -> tuple[float, bool]:
    """Microseconds a call, and whether the host was through before the first began."""
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda._sleep(int(min(1.5 * issue_s + 0.001, LONGEST_SLEEP_S) * CYCLES_PER_S))
    first.record()
    for _ in range(calls):
        call()
    last.record()
    ahead = not first.query()
    torch.cuda.synchronize()
    return first.elapsed_time(last) / calls * 1e3, ahead


def _copy_gb_s(device: torch.device, size: int = 2**30, copies: int = 10) -> float:
    """Bytes read and written per second by a large copy, / 1e9."""
    source, target = torch.zeros((2, size), dtype=torch.uint8, device=device)
    median_us = quartiles([_between_events(lambda: target.copy_(source), copies, 0.0)[0] for _ in range(5)])[1]
    return 2 * size / median_us / 1e3
