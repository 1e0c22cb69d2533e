"""`train --profile`: some steps of a training recorded as a trace, and torch's table of where their time went."""

import gzip
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from torch.profiler import (
    ProfilerActivity,
    kineto_available,
    profile,
    record_function,
    schedule,
    supported_activities,
)

from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault, expected
from galaxy_triton.system.output_paths import check_file
from galaxy_triton.system.processes import from_environment
from galaxy_triton.system.whole_files import whole_file
from galaxy_triton.train.learner import no_label
from galaxy_triton.train.loop import Trainer
from galaxy_triton.train.run import Profiler

SUFFIXES = (".json", ".json.gz")
SKIP, STEPS = 3, 5  # steps that compile and warm up; steps that are recorded
ROWS = 15  # of the table


def record_into(trace: Path) -> Profiler:
    """A profiler for `train`: the first process records some steps of the trainer into `trace`, and prints the
    operations that took longest. If the trace cannot be recorded or written, the training goes on.

    Raises:
        UsageFault: as `check_file`.
    """
    if from_environment(os.environ).first:
        check_file(trace, "--profile", SUFFIXES)
    return partial(_record, trace)


@contextmanager
def _record(trace: Path, trainer: Trainer, display: Display) -> Iterator[None]:
    if not trainer.processes.first:
        yield
        return
    # All steps are of one epoch, so that no validation comes between them.
    left = len(trainer.sizes) - trainer.progress.step
    skip = min(SKIP, max(1, left - STEPS))
    steps = min(STEPS, left - skip)
    if reason := _unavailable(trainer.device) or ("an epoch has fewer than two steps" if steps < 1 else None):
        display.warn(f"no trace: {reason}")
        yield
        return
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (trainer.device.type == "cuda")
    when = schedule(wait=skip - 1, warmup=1, active=steps, repeat=1)
    with profile(activities=activities, schedule=when) as profiler:
        trainer.learner.label = record_function
        trainer.after_step = partial(_after_step, trainer, profiler, skip, skip + steps, trace, display)
        yield
    if profiler.step_num < skip + steps:
        display.warn(f"no trace: the training ended before its step {skip + steps}")


def _unavailable(device: torch.device) -> str | None:
    """Why torch's profiler cannot record the work of `device`; None if it can."""
    if not kineto_available():
        return "this torch was built without a profiler"
    if device.type == "cuda" and ProfilerActivity.CUDA not in supported_activities():  # type: ignore[no-untyped-call]
        return "this torch was built without a profiler for GPUs"
    return None if device.type in ("cuda", "cpu") else f"torch's profiler does not record {device.type}"


def _after_step(trainer: Trainer, profiler: profile, skip: int, last: int, trace: Path, display: Display) -> None:
    """Tell the profiler that a step was made; after the last one, print the table and write the trace."""
    device = trainer.device.type
    # A GPU may be behind; its kernels must be those of the steps that are recorded.
    if device == "cuda" and profiler.step_num + 1 in (skip, last):
        torch.cuda.synchronize(trainer.device)
    profiler.step()
    if profiler.step_num < last:
        return
    trainer.after_step, trainer.learner.label = (lambda: None), no_label
    display.say(f"profile    steps {skip + 1} to {last} on {device}, the longest operations first")
    table = profiler.key_averages().table(sort_by=f"self_{device}_time_total", row_limit=ROWS, max_name_column_width=50)
    display.say(table)
    try:
        content = _exported(profiler)
        with whole_file(trace) as temporary:
            temporary.write_bytes(gzip.compress(content) if trace.suffix == ".gz" else content)
        display.say(f"trace      {trace}")
    except DataFault as fault:
        display.warn(f"no trace: {fault}")


def _exported(profiler: profile) -> bytes:
    """The recorded steps as JSON, in Chrome's format.

    Raises:
        DataFault: the disk has no room for it.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(file))
        trace = file.read_bytes() if file.is_file() else b""
    try:
        json.loads(trace)
    # torch's profiler does not report a full disk
    except ValueError as error:
        do = f"free some space in {tempfile.gettempdir()}"
        raise DataFault(expected("a whole trace", f"{len(trace)} bytes", "torch's profiler", do)) from error
    return trace
