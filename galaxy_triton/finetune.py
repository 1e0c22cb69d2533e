"""Fine-tuning: a run that begins with the weights of another one, of which it keeps a copy."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from galaxy_triton import checkpoint as checkpoints
from galaxy_triton import files, run_folder
from galaxy_triton.answer import check_weights, checkpoint_of
from galaxy_triton.checkpoint import Checkpoint
from galaxy_triton.config import Config, Run
from galaxy_triton.display import Display
from galaxy_triton.errors import UsageFault, expected

START = "start"  # the checkpoint that a run began with, in its own folder: the other may go or learn on
FINETUNED = Run(epochs=30, batch_size=64)


def configured_after(run: Path) -> Config:
    """The configuration that fine-tuning `run` starts from: what it prepares, augments and computes, half its peak
    learning rate, and few epochs.

    Raises:
        DataFault: no run there.
    """
    config = run_folder.read_config(run)
    optimiser = replace(config.optimiser, lr=config.optimiser.lr / 2)
    return replace(config, optimiser=optimiser, run=FINETUNED)


def check_network(config: Config, run: Path) -> None:
    """Raise unless a configuration is of the network that `run` trained; dropout has no weights, and may differ.

    Raises:
        UsageFault: it is of another; both are named.
        DataFault: no run there.
    """
    theirs = run_folder.read_config(run).network
    if replace(config.network, dropout=theirs.dropout) != theirs:
        do = "leave out --model, --width, --convs and --head"
        raise UsageFault(expected(f"the network to be fine-tuned, {theirs}", config.network, "--finetune", do))


def weights_of(run: Path) -> Checkpoint:
    """Where `run` has come to: its last checkpoint, without the optimiser's state.

    Raises:
        DataFault: none there, or one that is not whole.
    """
    checkpoint = checkpoint_of(run, run_folder.LAST)
    check_weights(checkpoint)
    return replace(checkpoint, state={})


def keep(folder: Path, start: Checkpoint | None) -> None:
    """Write what a run begins with into its folder.

    Raises:
        DataFault: it cannot be written.
    """
    if start is not None:
        checkpoints.save(folder / START, start)


def kept(folder: Path) -> Checkpoint | None:
    """What `keep` wrote.

    Raises:
        DataFault: it is not whole.
    """
    if not files.surviving(folder / START).exists():
        return None
    checkpoint = checkpoints.load(folder / START)
    check_weights(checkpoint)
    return checkpoint


def say_start(run: Path | None, held_out: NDArray[np.int64], display: Display) -> None:
    """Say which run's weights are fine-tuned, and how many of these ids it was trained on.

    Raises:
        DataFault: the run's list of galaxies is missing or not as written.
    """
    if run is None:
        return
    display.note(f"{'weights':<10} of {run}")
    seen = int(np.isin(held_out, run_folder.read_split(run)["train"]).sum())
    if seen:
        display.warn(f"{run} was trained on {seen} of the galaxies held out: they will score too well")
