"""A checkpoint: a folder with the weights, what training needs to go on, and what anyone needs to understand both.

`checkpoint.json` (versioned: configuration, store, columns), `weights.safetensors`, `average.safetensors` if weights
are averaged, `state.pt` (optimiser and numbers, loaded with weights_only=True). Reading one runs no code.
"""

import json
import pickle
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from galaxy_triton import files
from galaxy_triton.config import Config
from galaxy_triton.errors import DataFault, expected
from galaxy_triton.questions import COLUMNS
from galaxy_triton.settings import from_dict, to_dict

VERSION = 1
MANIFEST, WEIGHTS, AVERAGE, STATE = "checkpoint.json", "weights.safetensors", "average.safetensors", "state.pt"

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Progress:
    """How far a run is: whole epochs, steps inside the next one, and that epoch's sum of losses over images."""

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    best_rmse: float = float("inf")


@dataclass(frozen=True)
class Checkpoint:
    """What is saved. `average` is None when weights are not averaged; `state` holds plain tensors and numbers."""

    config: Config
    store_hash: str
    progress: Progress
    weights: Weights
    average: Weights | None
    state: dict[str, Any]

    @property
    def best_weights(self) -> Weights:
        """The averaged weights when there are any."""
        return self.weights if self.average is None else self.average


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; `folder` holds the old or the new one whole at every moment.

    Raises:
        DataFault: it cannot be written; the old one is whole.
    """
    manifest = {
        "version": VERSION,
        "torch": torch.__version__,
        "store": checkpoint.store_hash,
        "columns": COLUMNS,
        "progress": asdict(checkpoint.progress),
        "config": to_dict(checkpoint.config),
    }
    with files.replaced_folder(folder) as temporary:
        (temporary / MANIFEST).write_text(json.dumps(manifest, indent=1))
        save_file(_plain(checkpoint.weights), temporary / WEIGHTS)
        if checkpoint.average is not None:
            save_file(_plain(checkpoint.average), temporary / AVERAGE)
        torch.save(checkpoint.state, temporary / STATE)


def load(folder: Path) -> Checkpoint:
    """Read a checkpoint onto the CPU.

    Raises:
        DataFault: none there, another format version, or a file that is broken or holds more than tensors and numbers.
    """
    folder = files.surviving(folder)
    manifest = _manifest(folder)
    average = folder / AVERAGE
    return Checkpoint(
        from_dict(manifest["config"], folder / MANIFEST),
        manifest["store"],
        Progress(**manifest["progress"]),
        _weights(folder / WEIGHTS),
        _weights(average) if average.exists() else None,
        _state(folder / STATE),
    )


def _plain(weights: Weights) -> Weights:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}


def _manifest(folder: Path) -> dict[str, Any]:
    file = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(file.read_text())
        version = manifest["version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _broken(file, error) from error
    if version != VERSION:
        do = "use the release of galaxy-triton that wrote it"
        raise DataFault(expected(f"a checkpoint of format version {VERSION}", version, file, do))
    return manifest


def _weights(file: Path) -> Weights:
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise _broken(file, error) from error


def _state(file: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise _broken(file, error) from error
    return state


def _broken(file: Path, error: Exception) -> DataFault:
    got = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DataFault(expected("a whole checkpoint", got, file, "use another checkpoint of the run"))
