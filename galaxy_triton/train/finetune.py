"""Fine-tuning: a run that begins with the weights of another one, of which it keeps a copy."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.config.schema import Config, Network, Run
from galaxy_triton.runs import checkpoint as checkpoints
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.runs.checkpoint import Checkpoint, check_weights, read_checkpoint
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import UsageFault, expected

START = "start"  # the checkpoint that a run begins with, copied into its own folder
EPOCHS, BATCH_SIZE = 30, 64


class Start(NamedTuple):
    """Weights to begin with. seen: the galaxies that they were trained on, id -> name."""

    checkpoint: Checkpoint
    seen: dict[int, str]


def config_after(run: Path) -> Config:
    """The configuration of a run that fine-tunes `run`, before options change it.

    Preparation, augmentation, labels, network, seed and validation fraction are those of `run`; the peak learning rate
    is half of its own, for EPOCHS epochs of batches of BATCH_SIZE. Device and implementations are chosen anew. With the
    same seed the first epochs draw the same views again.

    Raises:
        DataFault: no run there.
    """
    config = run_folder.read_config(run)
    kept = {name: getattr(config.run, name) for name in ("seed", "validation", "views")}
    optimiser = replace(config.optimiser, lr=config.optimiser.lr / 2)
    return replace(config, optimiser=optimiser, run=Run(epochs=EPOCHS, batch_size=BATCH_SIZE, **kept))


def start_from(run: Path, network: Network) -> Start:
    """Start from the last checkpoint of `run`, without the optimiser's state.

    Raises:
        UsageFault: the checkpoint is of another network; dropout has no weights, and may differ.
        DataFault: no checkpoint there, one that is not whole, or a run without its list of galaxies.
    """
    checkpoint = read_checkpoint(run, run_folder.LAST)
    theirs = checkpoint.config.network
    if replace(network, dropout=theirs.dropout) != theirs:
        do = "leave the network as it is"
        raise UsageFault(expected(f"the network to be fine-tuned, {theirs}", network, "--finetune", do))
    return Start(replace(checkpoint, state={}), run_folder.read_trained(run))


def save_start(folder: Path, start: Start | None) -> None:
    """Write the weights to begin with, and the galaxies that they were trained on, into a new run's folder.

    Raises:
        DataFault: it cannot be written.
    """
    if start is not None:
        checkpoints.save(folder / START, start.checkpoint)
        run_folder.write_seen(folder, list(start.seen.values()))


def read_start(folder: Path) -> Start | None:
    """Read what `save_start` wrote; None where it wrote nothing.

    Raises:
        DataFault: it is not whole.
    """
    if not (folder / run_folder.SEEN).exists():
        return None
    checkpoint = checkpoints.load(folder / START)
    check_weights(checkpoint)
    return Start(checkpoint, run_folder.read_seen(folder))


def say_start(start: Start | None, folder: Path, validation: NDArray[np.int64], display: Display) -> None:
    """Say that weights are fine-tuned, and warn if they were trained on validation galaxies.

    Args:
        start: None in a resumed run too, whose `folder` then lists the galaxies that its first weights were trained on.
        validation: ids to validate on, int64 [n].
    """
    if start is not None:
        display.field("weights", f"of epoch {start.checkpoint.progress.epoch} of another run, fine-tuned")
    before = run_folder.read_seen(folder) if start is None else start.seen
    if seen := int(np.isin(validation, list(before)).sum()):
        display.warn(f"these weights were trained on {seen} of the validation galaxies, which will score too well")
