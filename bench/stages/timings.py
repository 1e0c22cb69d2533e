"""Device time, wall time and launches of each implementation; a fresh list of images for every call."""

import time
from collections.abc import Callable

import torch
from losses import LOSSES
from stage import begin, full_ranges, sources

from galaxy_triton.kernels import AugmentDraw, augment

ROUNDS, CALLS = 30, 20


def quartiles(values: list[float]) -> list[float]:
    """First quartile, median, third quartile."""
    return torch.tensor(values, dtype=torch.float64).quantile(torch.tensor([0.25, 0.5, 0.75]).double()).tolist()


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def wall_us(call: Callable[[], object], device: str, rounds: int, calls: int) -> list[float]:
    """Microseconds a call as the host sees it, the device's end awaited once a round."""
    found = []
    for _ in range(rounds):
        wait(device)
        started = time.perf_counter()
        for _ in range(calls):
            call()
        wait(device)
        found.append((time.perf_counter() - started) / calls * 1e6)
    return quartiles(found)


def event_us(call: Callable[[], object], rounds: int, calls: int) -> list[float]:
    """Microseconds a call between two events on the device; a sleep first lets the host run ahead."""
    found = []
    for _ in range(rounds):
        events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
        torch.cuda._sleep(20_000_000)
        events[0].record()
        for _ in range(calls):
            call()
        events[1].record()
        torch.cuda.synchronize()
        found.append(events[0].elapsed_time(events[1]) / calls * 1e3)
    return quartiles(found)


def kernels(call: Callable[[], object], calls: int) -> tuple[float, float]:
    """Kernels launched a call, and the microseconds that they ran."""
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        for _ in range(calls):
            call()
        torch.cuda.synchronize()
    ran = [event for event in profile.events() if event.device_type == torch.autograd.DeviceType.CUDA]
    return len(ran) / calls, sum(event.time_range.elapsed_us() for event in ran) / calls


def measure(found, call: Callable[[], object], device: str, rounds: int, calls: int, **row: object) -> None:
    """The first calls, which compile, are timed apart."""
    started = time.perf_counter()
    for _ in range(3):
        call()
    wait(device)
    row |= {"first_calls_s": time.perf_counter() - started}
    wall = wall_us(call, device, rounds, calls)
    row |= {"wall_us": wall[1], "wall_quartiles": wall}
    if device == "cuda":
        events = event_us(call, rounds, calls)
        launched, ran = kernels(call, calls)
        row |= {"device_us": events[1], "device_quartiles": events, "kernels": launched, "kernel_us": ran}
    found.row(**row)


def augment_call(pixels, batch: int, size: int, impl: str) -> Callable[[], object]:
    """Each call: the next of many batches, which together exceed a GPU's cache."""
    device = pixels.device
    batches = [torch.randint(0, len(pixels), (batch,), device=device) for _ in range(64)]
    tensors = [torch.tensor(value, device=device) for value in (1, 2)]
    shape = (batch, 3, size, size)
    out = torch.empty(shape, dtype=torch.bfloat16, device=device, memory_format=torch.channels_last)
    turn = iter(range(10**9))

    def call() -> object:
        index = batches[next(turn) % len(batches)]
        return augment(pixels, index, AugmentDraw(*tensors, index, full_ranges()), size=size, out=out, impl=impl)

    return call


def loss_call(name: str, batch: int, device: str, impl: str) -> Callable[[], object]:
    """Value and gradient, as a step of training asks for them."""
    logits = torch.randn(batch, 37, device=device, dtype=torch.bfloat16, requires_grad=True)
    targets = torch.rand(batch, 37, device=device)

    def call() -> object:
        logits.grad = None
        return LOSSES[name].loss(logits, targets, impl).backward()

    return call


def main() -> None:
    arguments, found = begin()
    device, small = arguments.device, arguments.small
    side, size, images, batches = (24, 16, 64, (8,)) if small else (160, 128, 20_000, (256, 512))
    rounds, calls = (3, 2) if small else (ROUNDS, CALLS)
    implementations = ("torch", "triton") if small else ("torch", "triton", "compile")
    pixels = sources(images, side, device)
    for impl in implementations:
        for name in LOSSES:
            call = loss_call(name, 256, device, impl)
            measure(found, call, device, rounds, calls, what=f"{name} loss and gradient", batch=256, impl=impl)
        for batch in batches:
            # Each source pixel of a view's size read once as a word, each value written once.
            least = batch * size * size * (4 + 3 * 2)
            call = augment_call(pixels, batch, size, impl)
            named = {"what": f"augment {side} to {size} bf16", "batch": batch, "impl": impl, "least_bytes": least}
            measure(found, call, device, rounds, calls, **named)


main()
