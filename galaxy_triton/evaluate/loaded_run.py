"""A run that is loaded to be scored: its network and the galaxies to score it on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from galaxy_triton.data.galaxies import Galaxies, load
from galaxy_triton.data.split import Split
from galaxy_triton.data.store import Store
from galaxy_triton.model.device import free_memory
from galaxy_triton.model.head import training_bytes
from galaxy_triton.model.memory import residence
from galaxy_triton.predict.predictor import Answers, PredictOptions, Predictor, check_finite
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.system.console import Display


@dataclass(frozen=True)
class Labelled:
    """Galaxies with labels: ids int64 [n], names [n] as users call them, labels float32 [n, 37].

    where: the store, table or run that they come from.
    """

    ids: NDArray[np.int64]
    names: Sequence[str]
    labels: Answers
    where: Path

    def take(self, rows: NDArray[np.int64]) -> "Labelled":
        """The galaxies of these rows."""
        return Labelled(self.ids[rows], [self.names[row] for row in rows], self.labels[rows], self.where)


@dataclass(frozen=True)
class LoadedRun:
    """A run's network and galaxies, loaded.

    galaxies: on the predictor's device; the host may keep the pixels. split: rows of the training galaxies, whose mean
    label is scored too, and of the galaxies to score. names: by row. truth: true probabilities of a simulated sky by
    row, float32 [N, 37].
    """

    folder: Path
    predictor: Predictor
    galaxies: Galaxies
    split: Split
    names: Sequence[str]
    truth: Answers | None = None

    def on_device(self, rows: NDArray[np.int64]) -> Tensor:
        """Rows as a tensor on the device of the galaxies."""
        return torch.from_numpy(rows).to(self.galaxies.ids.device)

    def labelled(self, rows: NDArray[np.int64]) -> Labelled:
        """Ids, names and labels of these rows."""
        where = self.on_device(rows)
        ids, labels = (values[where].cpu().numpy() for values in (self.galaxies.ids, self.galaxies.answers))
        return Labelled(ids, [str(self.names[row]) for row in rows], labels, self.folder)


def load_galaxies(store: Store, predictor: Predictor, batch_size: int, display: Display) -> Galaxies:
    """Load a store for a network: pixels on its device if they fit there beside a batch, else on the host.

    Raises:
        DataFault: as `galaxies.load`.
    """
    backend, network, size = predictor.backend, predictor.config.network, predictor.config.augmentation.size
    step = training_bytes(network, batch_size, size, backend.dtype.itemsize)  # predicting takes less
    # On a CPU there is no other place, and a smaller store would not be the run's: do not check.
    free = None if backend.device.type == "cpu" else free_memory(backend.device)
    choice = residence("auto", backend.device, store.pixels.nbytes, step, free)
    pixels_on = torch.device("cpu") if choice.name == "host" else backend.device
    with display.progress("reading", "images") as show:
        return load(store, backend.device, lambda done: show(done, len(store.ids)), pixels_on)


def predict(
    predictor: Predictor, galaxies: Galaxies, rows: Tensor, options: PredictOptions, display: Display, by: str = ""
) -> Answers:
    """A network's predictions for these rows: float32 [n, 37]. by: the run, in messages.

    Raises:
        DataFault: predictions that are not finite.
    """
    with display.progress(f"predicting with {by}" if by else "predicting", "images") as show:
        predictions = predictor.answer(
            galaxies, rows, options.views, options.batch_size, lambda done: show(done, len(rows))
        )
    check_finite(predictions, f"the network of {by}" if by else "the network")
    return predictions


def overlap(run: Path, which: str, ids: NDArray[np.int64]) -> tuple[int, bool]:
    """How many of these galaxies a run's weights were trained on, and whether some chose its checkpoint `which`.

    Raises:
        DataFault: a table of the run's galaxies is missing or not as written.
    """
    chose = which == run_folder.BEST and np.isin(ids, run_folder.read_split(run).validation).any()
    return int(np.isin(ids, list(run_folder.read_trained(run))).sum()), bool(chose)
