"""A training that is looked into: a few of its steps recorded, and said where their time went."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from galaxy_triton.experiments.profile_breakdown import OPTIMISER, Breakdown
from galaxy_triton.experiments.profile_ceilings import Ceilings, least_bytes, measure, step_flops
from galaxy_triton.experiments.profile_steps import Profiler, Window, label, table
from galaxy_triton.model.body import LAYERS
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault
from galaxy_triton.train.learner import unlabelled
from galaxy_triton.train.loop import Trainer


@contextmanager
def profiled(trainer: Trainer, trace: Path | None, display: Display) -> Iterator[None]:
    """Record steps of what the block trains, of the first process, into `trace`, and say where their time went.

    Args:
        trace: None to record nothing. One that cannot be written in the end costs the trace, not the training.

    Raises:
        UsageFault: the trace cannot be written there, or an epoch has too few steps.
    """
    if trace is None:
        yield
        return
    window = Window().within(trainer.steps_per_epoch - trainer.progress.step)
    if not trainer.processes.first:
        yield
        return
    # Before the training, which may leave no memory for it.
    ceilings = measure(trainer.device, trainer.plan.backend.dtype)
    with Profiler(trace, trainer.device, window.skip, window.steps) as profiler:
        trainer.learner.label = label
        trainer.after_step = lambda: _advance(trainer, profiler, ceilings, display)
        try:
            yield
        finally:
            if profiler.breakdown is None:
                display.warn(f"no trace: the run ended before {window.skip + window.steps} steps were made")


def _advance(trainer: Trainer, profiler: Profiler, ceilings: Ceilings, display: Display) -> None:
    """Another step was made: after the last of the window its breakdown is said."""
    kept = f"{'trace':<10} {profiler.trace}"
    try:
        profiler.step()
    except DataFault as fault:
        kept = f"{'trace':<10} none: {fault}"
    if profiler.breakdown is not None:
        trainer.after_step, trainer.learner.label = (lambda: None), unlabelled
        _say(trainer, profiler.breakdown, ceilings, display)
        display.say(kept)


def _say(trainer: Trainer, breakdown: Breakdown, ceilings: Ceilings, display: Display) -> None:
    config, side = trainer.plan.config, trainer.plan.config.augmentation.size
    batch = -(-max(trainer.sizes) // trainer.processes.count)
    flops = step_flops(config.network, batch, side)
    moved = least_bytes(config.network, batch, side, trainer.plan.backend.dtype.itemsize)
    if trainer.plan.backend.norm.name != LAYERS:
        moved = {OPTIMISER: moved[OPTIMISER]}  # the others are of torch's own layers
    for line in table(breakdown, ceilings, flops, moved):
        display.say(line)
