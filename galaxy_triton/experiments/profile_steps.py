"""`train --profile`: some steps of a run recorded by torch's profiler, as a trace to look at and as a table."""

import gzip
import json
import os
import re
import tempfile
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, cast

import torch
from torch.profiler import ProfilerActivity, kineto_available, profile, record_function, supported_activities

from galaxy_triton.experiments.profile_breakdown import (
    COMPILED,
    FUSED_KINDS,
    IDLE,
    OPTIMISER,
    PRODUCT,
    Breakdown,
    Kernel,
    Op,
    Part,
    Seen,
    break_down,
)
from galaxy_triton.experiments.profile_ceilings import Ceilings
from galaxy_triton.system.errors import DataFault, UsageFault, expected
from galaxy_triton.system.whole_files import check_place, whole_file
from galaxy_triton.train.learner import LABELS

WAITS = {"Context Sync", "Event Sync", "Stream Sync", "Stream Wait Event"}  # not work, though on the device's side
USER_SCOPE = 7  # at::RecordScope of what Python labels; operations have others
SUFFIXES = (".json", ".json.gz")
FEWEST_STEPS = 2  # one that compiles and warms up, one to record


class Window(NamedTuple):
    """Which steps are recorded: `steps` of them after the first `skip`, which compile and warm up."""

    skip: int = 3
    steps: int = 5

    def within(self, steps: int) -> "Window":
        """At most as much of the next `steps` steps, so that no evaluation comes in between.

        Raises:
            UsageFault: they are fewer than two.
        """
        if steps < FEWEST_STEPS:
            do = "lower --batch-size, or profile more galaxies"
            raise UsageFault(
                expected(f"at least {FEWEST_STEPS} steps of whole batches in an epoch", steps, "--profile", do)
            )
        skip = min(self.skip, max(1, steps - self.steps))
        return Window(skip, min(self.steps, steps - skip))


def label(name: str) -> AbstractContextManager[object]:
    """A block of the training step that is one of breakdown.LABELS; costs microseconds when nothing is recorded."""
    return record_function(name)


def check_trace(trace: Path, device: torch.device) -> None:
    """Raise unless steps on `device` can be recorded into `trace`.

    Raises:
        UsageFault: another suffix than .json or .json.gz, a folder, no folder to write in, or a device that torch's
            profiler does not see.
    """
    if not trace.name.endswith(SUFFIXES):
        raise UsageFault(expected("a file named .json or .json.gz", trace.name, "--profile", "choose another name"))
    check_place(trace, "--profile")
    if not (trace.parent.is_dir() and os.access(trace.parent, os.W_OK)):
        raise UsageFault(expected("a folder to write in", f"none at {trace.parent}", "--profile", "make or choose one"))
    if reason := unavailable(device):
        raise UsageFault(expected(f"a profiler for {device.type}", reason, "--profile", "leave --profile out"))


def unavailable(device: torch.device) -> str | None:
    """Why torch's profiler cannot record what `device` does; None if it can."""
    if not kineto_available():
        return "a torch that was built without one"
    if device.type == "cuda" and ProfilerActivity.CUDA not in supported_activities():  # type: ignore[no-untyped-call]
        return "a torch that was built without one for GPUs"
    return None if device.type in ("cuda", "cpu") else f"none: torch's does not see what {device.type} runs"


class Profiler:
    """Records steps of a run: `step()` after each step of the optimiser, from the run's first on.

    with Profiler(trace, device) as profiler:
        for batch in batches:
            ...
            profiler.step()
    profiler.breakdown

    After the last recorded step the trace is written, whole or not at all, and `breakdown` is no longer None. A run
    that ends before leaves neither. The device is waited for before the first recorded step and after the last one.

    Raises:
        UsageFault: as check_trace, when it is made.
        DataFault: the trace could not be written, from `step`.
    """

    def __init__(self, trace: Path, device: torch.device, skip: int = 3, steps: int = 5) -> None:
        check_trace(trace, device)
        self.trace, self.device, self.skip, self.steps = trace, device, skip, steps
        self.breakdown: Breakdown | None = None
        self._made = 0
        self._torch: profile | None = None
        self._begun = 0.0

    def __enter__(self) -> "Profiler":
        self._advance()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._torch is None:
            return
        # Prepared and not begun, torch 2.6 has nothing that it could stop.
        if self._made < self.skip:
            self._torch.start_trace()
        self._torch.stop_trace()

    def step(self) -> None:
        """Another step was made."""
        self._made += 1
        self._advance()

    def _advance(self) -> None:
        # Prepared a step early: the first kernels after that are slower.
        if self._made == max(0, self.skip - 1):
            activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (self.device.type == "cuda")
            self._torch = profile(activities=activities)
            self._torch.prepare_trace()
        if self._torch is not None and self._made == self.skip:
            self._wait()
            self._torch.start_trace()
            self._begun = time.perf_counter()
        elif self._torch is not None and self._made == self.skip + self.steps:
            self._finish(self._torch)

    def _finish(self, recorded: profile) -> None:
        self._wait()
        wall_us = (time.perf_counter() - self._begun) * 1e6
        self._torch = None
        recorded.stop_trace()
        self.breakdown = break_down(seen_by(recorded), self.device.type, self.skip + 1, self.steps, wall_us)
        _write(recorded, self.trace)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def seen_by(recorded: profile) -> Seen:
    """What torch's profiler saw, as plain data."""
    # The public list of events does not say which operation launched a kernel.
    events = cast(Any, recorded.profiler).kineto_results.events()
    # Times since 1970 in microseconds are too long for a float.
    zero = min((event.start_ns() for event in events), default=0)
    host = [event for event in events if event.device_type().name == "CPU"]
    device = [event for event in events if event.device_type().name != "CPU"]
    marks = [event for event in host if event.scope() == USER_SCOPE]
    # What ran under a mark has, among the kernels, a twin of the mark around it.
    not_kernels = {event.name() for event in marks} | WAITS
    return Seen(
        labels=[_op(event, zero) for event in marks if event.name() in LABELS],
        ops=[_op(event, zero) for event in host if _is_operation(event)],
        kernels=[_kernel(event, zero) for event in device if event.name() not in not_kernels],
    )


def table(
    breakdown: Breakdown, ceilings: Ceilings, flops: int, least_bytes: Mapping[str, int] | None = None
) -> list[str]:
    """The breakdown as lines of text, beside what the device can do at most.

    Args:
        flops: of a step: ceilings.step_flops.
        least_bytes: ceilings.least_bytes of a step, or what else is known of it.
    """
    last = breakdown.first + breakdown.steps - 1
    title = f"profile    steps {breakdown.first} to {last} on {breakdown.device}, {breakdown.step_ms:,.2f} ms each"
    if not breakdown.parts:
        return [title, "           the profiler saw nothing of the GPU: it may not be allowed to here"]
    unit = "kernels" if breakdown.device == "cuda" else "calls"
    head = f"{'':<10} {'':<36} {'ms a step':>9} {'share':>6} {unit:>8}"
    lines = [_part_line(part, breakdown) for part in breakdown.parts]
    moved = _copy_lines(breakdown, ceilings, least_bytes or {})
    return [title, head, *lines, *_product_lines(breakdown, ceilings, flops), *moved]


def _part_line(part: Part, breakdown: Breakdown) -> str:
    idle = {"cuda": "idle: no kernel ran", "cpu": "idle: Python between operations"}
    name = idle[breakdown.device] if part.kind == IDLE else part.kind
    calls = f"{part.calls:8,.0f}" if part.calls else ""
    return f"{'':<10} {name:<36} {part.ms:>9.3f} {part.ms / breakdown.step_ms:>6.1%} {calls}".rstrip()


def _product_lines(breakdown: Breakdown, ceilings: Ceilings, flops: int) -> list[str]:
    reached = flops / breakdown.step_ms / 1e9
    measured = f"{reached / ceilings.matmul_tflops:.1%} of the {ceilings.matmul_tflops:.3g} of a large product here"
    lines = [f"products   {reached:.3g} TFLOP/s over a whole step: {measured}, {_of_sheet(reached, ceilings)}"]
    busy = sum(part.ms for part in breakdown.parts if part.kind == PRODUCT)
    if busy:
        alone = flops / busy / 1e9
        share = f"{alone / ceilings.matmul_tflops:.1%} of the large product"
        lines.append(f"{'':<10} {alone:.3g} TFLOP/s while convolutions and products ran: {share}")
    return lines


def _of_sheet(reached: float, ceilings: Ceilings) -> str:
    what = f"{ceilings.sheet_name} {ceilings.precision}"
    if ceilings.sheet_tflops is None:
        return f"no data sheet is known ({what})"
    return f"{reached / ceilings.sheet_tflops:.1%} of the data sheet's {ceilings.sheet_tflops:g} ({what})"


def _copy_lines(breakdown: Breakdown, ceilings: Ceilings, least_bytes: Mapping[str, int]) -> list[str]:
    lines = [f"memory     {_rate(ceilings.copy_gb_s)} read and written by a large copy here"]
    for part in breakdown.parts:
        # Where layers were compiled they need not write what the next one reads, and only a part of one has its name.
        if part.kind in least_bytes and part.ms and (part.kind == OPTIMISER or not _is_compiled(breakdown)):
            rate = least_bytes[part.kind] / part.ms / 1e6
            share = f"{rate / ceilings.copy_gb_s:.0%} of the copy"
            lines.append(f"{'':<10} {part.kind}: at least {_rate(rate)}, {share}")
    return lines


def _rate(gb_s: float) -> str:
    return f"{gb_s:,.0f} GB/s" if gb_s >= 100 else f"{gb_s:.2g} GB/s"


def _is_compiled(breakdown: Breakdown) -> bool:
    return any(part.kind == COMPILED or part.kind.startswith(FUSED_KINDS) for part in breakdown.parts)


def _op(event: Any, zero: int) -> Op:
    span = (event.start_ns() - zero) / 1e3, (event.end_ns() - zero) / 1e3
    return Op(event.name(), *span, event.start_thread_id(), event.sequence_nr(), event.correlation_id())


def _kernel(event: Any, zero: int) -> Kernel:
    span = (event.start_ns() - zero) / 1e3, (event.end_ns() - zero) / 1e3
    return Kernel(event.name(), *span, event.linked_correlation_id())


def _is_operation(event: Any) -> bool:
    """Not a label, nor the profiler's own, nor a call of the driver, which is linked to the operation around it."""
    name: str = event.name()
    own = name.startswith(("[", "profiler::"))
    driver = event.linked_correlation_id() > 0 or re.match("cu(da)?[A-Z]", name) is not None
    return not (event.scope() == USER_SCOPE or own or driver)


def _write(recorded: profile, trace: Path) -> None:
    """The trace to its place, whole or not at all.

    Raises:
        DataFault: the disk is full, or the file cannot be written.
    """
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "trace.json"
        recorded.export_chrome_trace(str(plain))
        content = plain.read_bytes() if plain.is_file() else b""
    try:
        json.loads(content)
    # the profiler says nothing of a disk that is full
    except ValueError as error:
        do = f"free some space in {tempfile.gettempdir()}"
        raise DataFault(expected("a whole trace from torch's profiler", f"{len(content)} bytes", trace, do)) from error
    with whole_file(trace) as temporary:
        temporary.write_bytes(gzip.compress(content) if trace.name.endswith(".gz") else content)
