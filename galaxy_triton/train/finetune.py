"""Fine-tuning: a run that begins with the weights of another one, of which it keeps a copy."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.config.schema import Config, Run
from galaxy_triton.predict.predictor import check_weights, checkpoint_of
from galaxy_triton.runs import checkpoint as checkpoints
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.runs.checkpoint import Checkpoint
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import UsageFault, expected

START = "start"  # the checkpoint that a run began with, in its own folder: the other may go or learn on
EPOCHS, BATCH_SIZE = 30, 64


class Start(NamedTuple):
    """What a run begins with. seen: ids that these weights were trained on, int64, ascending."""

    checkpoint: Checkpoint
    seen: NDArray[np.int64]


def configured_after(run: Path) -> Config:
    """The configuration that fine-tuning `run` starts from: what it prepares, augments and computes, its seed, which
    draws the views of its first epochs again, and the fraction held out; half its peak learning rate, EPOCHS, and
    batches of BATCH_SIZE. Where and how it runs is chosen anew.

    Raises:
        DataFault: no run there.
    """
    config = run_folder.read_config(run)
    kept = {name: getattr(config.run, name) for name in ("seed", "validation", "views")}
    optimiser = replace(config.optimiser, lr=config.optimiser.lr / 2)
    return replace(config, optimiser=optimiser, run=Run(epochs=EPOCHS, batch_size=BATCH_SIZE, **kept))


def check_network(config: Config, start: Start) -> None:
    """Raise unless a configuration is of the network that was trained; dropout has no weights, and may differ.

    Raises:
        UsageFault: it is of another; both are named.
    """
    theirs = start.checkpoint.config.network
    if replace(config.network, dropout=theirs.dropout) != theirs:
        do = "leave the network as it is"
        raise UsageFault(expected(f"the network to be fine-tuned, {theirs}", config.network, "--finetune", do))


def start_from(run: Path) -> Start:
    """Where `run` has come to: its last checkpoint, without the optimiser's state.

    Raises:
        DataFault: none there, one that is not whole, or a run without its list of galaxies.
    """
    checkpoint = checkpoint_of(run, run_folder.LAST)
    check_weights(checkpoint)
    return Start(replace(checkpoint, state={}), run_folder.trained_on(run))


def keep(folder: Path, start: Start | None) -> None:
    """Write what a run begins with into its folder.

    Raises:
        DataFault: it cannot be written.
    """
    if start is not None:
        checkpoints.save(folder / START, start.checkpoint)
        run_folder.write_seen(folder, start.seen)


def kept(folder: Path) -> Start | None:
    """What `keep` wrote.

    Raises:
        DataFault: it is not whole.
    """
    if not (folder / run_folder.SEEN).exists():
        return None
    checkpoint = checkpoints.load(folder / START)
    check_weights(checkpoint)
    return Start(checkpoint, run_folder.seen_before(folder))


def say_start(start: Start | None, folder: Path, held_out: NDArray[np.int64], display: Display) -> None:
    """Say that weights are fine-tuned, and how many of these ids they were trained on.

    Args:
        start: None also of a run that is resumed; `folder`, its own, has the list then.
    """
    if start is not None:
        display.note(f"{'weights':<10} of epoch {start.checkpoint.progress.epoch} of another run, fine-tuned")
    before = run_folder.seen_before(folder) if start is None else start.seen
    seen = int(np.isin(held_out, before).sum())
    if seen:
        display.warn(f"these weights were trained on {seen} of the galaxies held out, which will score too well")
