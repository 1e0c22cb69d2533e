"""A checkpoint: a folder with the weights, what training needs to go on, and what anyone needs to understand both.

`checkpoint.json` (versioned: configuration, store, columns), `weights.safetensors`, `average.safetensors` if weights
are averaged, `state.pt` (optimiser and numbers, loaded with weights_only=True). Reading one runs no code.
"""

import io
import json
import reprlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from galaxy_triton import files
from galaxy_triton.config import Config
from galaxy_triton.errors import DataFault, UsageFault, expected
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

    def __post_init__(self) -> None:
        counts, sums = (self.epoch, self.step), (self.loss_sum, self.best_rmse)
        if not all(type(count) is int and 0 <= count < 2**63 for count in counts):
            raise ValueError(f"epoch and step {counts}")
        if not all(type(value) is float and value >= 0 for value in sums):
            raise ValueError(f"sum of losses and best RMSE {sums}")


@dataclass(frozen=True)
class Checkpoint:
    """What is saved. `average` is None when weights are not averaged; `state` holds plain tensors and numbers;
    `made_with` is what `surroundings` says."""

    config: Config
    store_hash: str
    progress: Progress
    weights: Weights
    average: Weights | None
    state: dict[str, Any]
    made_with: dict[str, str]

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
        "made_with": checkpoint.made_with,
        "store": checkpoint.store_hash,
        "columns": COLUMNS,
        "progress": asdict(checkpoint.progress),
        "config": to_dict(checkpoint.config),
    }
    with files.replaced_folder(folder) as temporary:
        (temporary / MANIFEST).write_text(json.dumps(manifest, indent=1))
        # Bytes first: a full disk is then an OSError with its reason, which safetensors' and torch's own writers hide.
        (temporary / WEIGHTS).write_bytes(safetensors.torch.save(_plain(checkpoint.weights)))
        if checkpoint.average is not None:
            (temporary / AVERAGE).write_bytes(safetensors.torch.save(_plain(checkpoint.average)))
        (temporary / STATE).write_bytes(_state_bytes(checkpoint.state))


def load(folder: Path) -> Checkpoint:
    """Read a checkpoint onto the CPU.

    Raises:
        DataFault: none there, another format version or other columns, a file that is broken or holds more than tensors
            and numbers, or weights that are not finite.
    """
    folder = files.surviving(folder)
    config, store_hash, progress, made_with = _manifest(folder)
    return Checkpoint(
        config,
        store_hash,
        progress,
        _weights(folder / WEIGHTS),
        _weights(folder / AVERAGE) if config.optimiser.average else None,
        _state(folder / STATE),
        made_with,
    )


def _plain(weights: Weights) -> Weights:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}


def _state_bytes(state: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def _manifest(folder: Path) -> tuple[Config, str, Progress, dict[str, str]]:
    file = folder / MANIFEST
    try:
        manifest = files.read_json(file)
        if manifest["version"] != VERSION:
            got, do = reprlib.repr(manifest["version"]), "use the release of galaxy-triton that wrote it"
            raise DataFault(expected(f"a checkpoint of format version {VERSION}", got, file, do))
        if manifest["columns"] != list(COLUMNS):
            raise ValueError(f"answers other than {COLUMNS[0]} to {COLUMNS[-1]}")
        config, progress = from_dict(dict(manifest["config"]), file), Progress(**manifest["progress"])
        return config, str(manifest["store"]), progress, dict(manifest["made_with"])
    except (OSError, ValueError, KeyError, TypeError, UsageFault) as error:
        raise _broken(file, error) from error


def _weights(file: Path) -> Weights:
    try:
        files.require_regular(file)
        weights = safetensors.torch.load_file(file)
        bad = [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]
        if bad:
            raise ValueError(f"{reprlib.repr(bad[0])} that is not finite")
    # safetensors and torch raise nearly anything on a header that they did not write
    except Exception as error:
        raise _broken(file, error) from error
    return weights


def _state(file: Path) -> dict[str, Any]:
    try:
        files.require_regular(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
        if not isinstance(state, dict):
            raise ValueError(f"a {type(state).__name__}")
    # so does torch's unpickler
    except Exception as error:
        raise _broken(file, error) from error
    return state


def _broken(file: Path, error: Exception) -> DataFault:
    lines = files.reason(error).splitlines()
    return DataFault(expected("a whole checkpoint", lines[0], file, "use another checkpoint of the run"))
