"""`train --profile`: some steps of a training recorded as a trace, and a table of where their time went."""

import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from torch.profiler import record_function

from galaxy_triton.experiments.profile_product import product_tflops, step_flops
from galaxy_triton.experiments.profile_shares import IDLE, StepShares
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
IDLE_LABELS = {"cuda": "idle: no kernel ran", "cpu": "idle: Python between operations"}


def record_into(trace: Path) -> Profiler:
    """A profiler for `train`: the first process records some steps of the trainer into `trace`, and prints
    the shares of their time. What keeps the trace from being recorded or written does not stop the training.

    Raises:
        UsageFault: `trace` cannot be written.
    """
    if from_environment(os.environ).first:
        check_trace(trace)
    return partial(_record, trace)


def check_trace(trace: Path) -> None:
    """Raise unless a trace can be written there.

    Raises:
        UsageFault: another suffix than .json or .json.gz, a folder, or no folder to write in.
    """
    if not trace.name.endswith(SUFFIXES):
        raise UsageFault(expected("a file named .json or .json.gz", trace.name, "--profile", "choose another name"))
    check_place(trace, "--profile")
    if not (trace.parent.is_dir() and os.access(trace.parent, os.W_OK)):
        raise UsageFault(expected("a folder to write in", f"none at {trace.parent}", "--profile", "make or choose one"))


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
    product = product_tflops(trainer.device, trainer.session.backend.dtype)  # before the training takes the memory
    with StepProfiler(trainer.device, skip, steps) as profiler:
        trainer.learner.label = record_function
        trainer.after_step = partial(_after_step, trainer, profiler, product, trace, display)
        yield
    if profiler.found is None:
        display.warn(f"no trace: the training ended before its step {skip + steps}")


def _after_step(trainer: Trainer, profiler: StepProfiler, product: float, trace: Path, display: Display) -> None:
    try:
        profiler.step()
        if profiler.found is None:
            return
        _print(trainer, profiler, profiler.found, product, display)
        with whole_file(trace) as temporary:
            temporary.write_bytes(gzip.compress(profiler.trace) if trace.suffix == ".gz" else profiler.trace)
        display.say(f"trace      {trace}")
    except DataFault as fault:
        display.warn(f"no trace: {fault}")
    trainer.after_step, trainer.learner.label = (lambda: None), no_label


def _print(trainer: Trainer, profiler: StepProfiler, found: StepShares, product: float, display: Display) -> None:
    device, config = trainer.device.type, trainer.session.config
    recorded = f"steps {profiler.skip + 1} to {profiler.skip + profiler.steps} on {device}"
    display.say(f"profile    {recorded}, {found.step_ms:,.2f} ms each")
    if not found.shares:
        display.say("           torch's profiler recorded no work of the GPU: it may not be allowed to here")
        return
    for kind, share in found.shares.items():
        name = IDLE_LABELS[device] if kind == IDLE else kind
        display.say(f"           {name:<36} {share * found.step_ms:>9.3f} ms {share:>6.1%}")
    batch = -(-max(trainer.sizes) // trainer.processes.count)
    reached = step_flops(config.network, batch, config.augmentation.size) / found.step_ms / 1e9
    of_product = f"{reached / product:.1%} of a large matrix product here ({product:.3g})"
    display.say(f"products   {reached:.3g} TFLOP/s, {of_product}")
