"""A training that is looked into: a few of its steps recorded, and said where their time went."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from galaxy_triton.experiments.profile_breakdown import OPTIMISER, Breakdown
from galaxy_triton.experiments.profile_ceilings import Ceilings, least_bytes, measure, step_flops
from galaxy_triton.experiments.profile_steps import Profiler as StepProfiler
from galaxy_triton.experiments.profile_steps import Window, check_trace, label, table
from galaxy_triton.model.body import LAYERS
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault
from galaxy_triton.train.learner import no_label
from galaxy_triton.train.loop import Trainer
from galaxy_triton.train.run import Profiler


def record_into(trace: Path) -> Profiler:
    """A profiler for `train` that records some steps of the first process into `trace`, and says where time went.

    A trace that cannot be written in the end costs the trace, not the training.
    """
    return partial(_record, trace)


@contextmanager
def _record(trace: Path, trainer: Trainer, display: Display) -> Iterator[None]:
    """
    Raises:
        UsageFault: the trace cannot be written there, or an epoch has too few steps.
    """
    check_trace(trace, trainer.device)
    window = Window().within(len(trainer.sizes) - trainer.progress.step)
    if not trainer.processes.first:
        yield
        return
    # Before the training, which may leave no memory for it.
    ceilings = measure(trainer.device, trainer.session.backend.dtype)
    with StepProfiler(trace, trainer.device, window.skip, window.steps) as profiler:
        trainer.learner.label = label
        trainer.after_step = lambda: _advance(trainer, profiler, ceilings, display)
        try:
            yield
        finally:
            if profiler.breakdown is None:
                display.warn(f"no trace: the run ended before {window.skip + window.steps} steps were made")


def _advance(trainer: Trainer, profiler: StepProfiler, ceilings: Ceilings, display: Display) -> None:
    """Another step was made: after the last of the window its breakdown is said."""
    kept = f"{'trace':<10} {profiler.trace}"
    try:
        profiler.step()
    except DataFault as fault:
        kept = f"{'trace':<10} none: {fault}"
    if profiler.breakdown is not None:
        trainer.after_step, trainer.learner.label = (lambda: None), no_label
        _say(trainer, profiler.breakdown, ceilings, display)
        display.say(kept)


def _say(trainer: Trainer, breakdown: Breakdown, ceilings: Ceilings, display: Display) -> None:
    config, side = trainer.session.config, trainer.session.config.augmentation.size
    batch = -(-max(trainer.sizes) // trainer.processes.count)
    flops = step_flops(config.network, batch, side)
    moved = least_bytes(config.network, batch, side, trainer.session.backend.dtype.itemsize)
    if trainer.session.backend.norm.name != LAYERS:
        moved = {OPTIMISER: moved[OPTIMISER]}  # the others are of torch's own layers
    for line in table(breakdown, ceilings, flops, moved):
        display.say(line)
