"""A training that is looked into: a few of its steps recorded, and said where their time went."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from galaxy_triton.breakdown import Breakdown
from galaxy_triton.ceilings import Ceilings, least_bytes, measure, step_flops
from galaxy_triton.display import Display
from galaxy_triton.learner import unlabelled
from galaxy_triton.profiling import Profiler, Window, label, table
from galaxy_triton.train import Trainer


@contextmanager
def profiled(trainer: Trainer, trace: Path | None, display: Display) -> Iterator[None]:
    """Record steps of what the block trains into `trace`, and say where their time went once they are made.

    Args:
        trace: None to record nothing.

    Raises:
        UsageFault: the trace cannot be written there, or an epoch has too few steps.
        DataFault: the trace could not be written, in the middle of the training.
    """
    if trace is None:
        yield
        return
    window = Window().within(trainer.steps_per_epoch - trainer.progress.step)
    # Before the training, which may leave no memory for it.
    ceilings = measure(trainer.device, trainer.plan.machine.dtype)
    with Profiler(trace, trainer.device, window.skip, window.steps) as profiler:

        def after_step() -> None:
            profiler.step()
            if profiler.breakdown is not None:
                trainer.after_step, trainer.learner.label = (lambda: None), unlabelled
                _say(trainer, profiler.breakdown, ceilings, display)
                display.say(f"{'trace':<10} {trace}")

        trainer.after_step, trainer.learner.label = after_step, label
        yield
    if profiler.breakdown is None:
        display.warn(f"no trace: the run ended before {window.skip + window.steps} steps were made")


def _say(trainer: Trainer, breakdown: Breakdown, ceilings: Ceilings, display: Display) -> None:
    config, side = trainer.plan.config, trainer.plan.config.augmentation.size
    batch = -(-len(trainer.rows) // (trainer.steps_per_epoch * trainer.ranks.count))
    flops = step_flops(config.network, batch, side)
    moved = least_bytes(config.network, batch, side, trainer.plan.machine.dtype.itemsize)
    for line in table(breakdown, ceilings, flops, moved):
        display.say(line)
