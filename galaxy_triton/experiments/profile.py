"""`train --profile`: some steps of a training recorded as a trace, and torch's table of where their time went."""

import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from torch.profiler import record_function

from galaxy_triton.experiments.profile_steps import StepProfiler, unavailable
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault, UsageFault, expected
from galaxy_triton.system.processes import from_environment
from galaxy_triton.system.whole_files import check_place, whole_file
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
        UsageFault: another suffix than .json or .json.gz, a folder, or no folder to write in.
    """
    if from_environment(os.environ).first:
        if not trace.name.endswith(SUFFIXES):
            want, do = "a file named .json or .json.gz", "choose another name"
            raise UsageFault(expected(want, trace.name, "--profile", do))
        check_place(trace, "--profile")
        if not (trace.parent.is_dir() and os.access(trace.parent, os.W_OK)):
            got, do = f"none at {trace.parent}", "make or choose one"
            raise UsageFault(expected("a folder to write in", got, "--profile", do))
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
    if reason := unavailable(trainer.device) or ("an epoch has fewer than two steps" if steps < 1 else None):
        display.warn(f"no trace: {reason}")
        yield
        return
    with StepProfiler(trainer.device, skip, steps) as profiler:
        trainer.learner.label = record_function
        trainer.after_step = partial(_after_step, trainer, profiler, trace, display)
        yield
    if not profiler.complete:
        display.warn(f"no trace: the training ended before its step {skip + steps}")


def _after_step(trainer: Trainer, profiler: StepProfiler, trace: Path, display: Display) -> None:
    profiler.step()
    if not profiler.complete:
        return
    trainer.after_step, trainer.learner.label = (lambda: None), no_label
    device = trainer.device.type
    display.say(f"profile    steps {profiler.skip + 1} to {profiler.last} on {device}, the longest operations first")
    by = f"self_{device}_time_total"
    display.say(profiler.key_averages().table(sort_by=by, row_limit=ROWS, max_name_column_width=50))
    try:
        content = profiler.trace()
        with whole_file(trace) as temporary:
            temporary.write_bytes(gzip.compress(content) if trace.suffix == ".gz" else content)
        display.say(f"trace      {trace}")
    except DataFault as fault:
        display.warn(f"no trace: {fault}")
