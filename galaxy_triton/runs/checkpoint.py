"""A checkpoint: a folder with the weights, the state for resuming, and a description of both.

`checkpoint.json` (versioned: configuration, store, columns, SHA-256 of the other files), `weights.safetensors`,
`average.safetensors` if weights are averaged, `state.pt` (optimiser and numbers, loaded with weights_only=True).
Reading a checkpoint runs no code from it.
"""

import hashlib
import io
import json
import reprlib
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch
from torch import Tensor

from galaxy_triton.config.schema import Config
from galaxy_triton.config.toml import from_dict, to_dict
from galaxy_triton.data.folds import FOLDS
from galaxy_triton.galaxyzoo.questions import COLUMNS
from galaxy_triton.model.head import check_shapes
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.system.errors import DataFault, UsageFault, command, expected, reason
from galaxy_triton.system.untrusted_files import read_file, read_json
from galaxy_triton.system.whole_files import find_whole, whole_folder

VERSION = 1
MANIFEST, WEIGHTS, AVERAGE, STATE = "checkpoint.json", "weights.safetensors", "average.safetensors", "state.pt"

Weights = dict[str, Tensor]
Content = TypeVar("Content")


@dataclass(frozen=True)
class Progress:
    """The progress of a run: whole epochs, steps in the next epoch, and that epoch's sum of losses over images.

    best_rmse: inf before the first epoch, and without validation.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    best_rmse: float = float("inf")

    def __post_init__(self) -> None:
        counts, sums = (self.epoch, self.step), (self.loss_sum, self.best_rmse)
        if not all(type(count) is int and 0 <= count < 2**63 for count in counts):
            raise ValueError(f"epoch and step {counts}")
        if any(type(value) is not float or value < 0 for value in sums):
            raise ValueError(f"sum of losses and best RMSE {sums}")


@dataclass(frozen=True)
class Checkpoint:
    """The contents of a checkpoint.

    average: None if weights are not averaged. state: plain tensors and numbers. made_with: as `provenance` returns it.
    """

    config: Config
    store_hash: str
    progress: Progress
    weights: Weights
    average: Weights | None
    state: dict[str, Any]
    made_with: dict[str, str]

    @property
    def prediction_weights(self) -> Weights:
        """The weights to predict with: the average if there is one."""
        return self.weights if self.average is None else self.average


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; at every moment `folder` holds the old or the new one whole.

    Raises:
        DataFault: the new one cannot be written; the old one is whole.
    """
    # Bytes first: writing them to a full disk raises an OSError with its reason, which the libraries' writers hide.
    contents = {WEIGHTS: _weights_bytes(checkpoint.weights)}
    if checkpoint.average is not None:
        contents[AVERAGE] = _weights_bytes(checkpoint.average)
    state = io.BytesIO()
    torch.save(checkpoint.state, state)
    contents[STATE] = state.getvalue()
    manifest = {
        "version": VERSION,
        "made_with": checkpoint.made_with,
        "store": checkpoint.store_hash,
        "columns": COLUMNS,
        "progress": asdict(checkpoint.progress),
        "config": to_dict(checkpoint.config),
        "hashes": {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
    }
    with whole_folder(folder, replace=True) as temporary:
        (temporary / MANIFEST).write_text(json.dumps(manifest, indent=1))
        for name, content in contents.items():
            (temporary / name).write_bytes(content)


def load(folder: Path) -> Checkpoint:
    """Read a checkpoint onto the CPU.

    Raises:
        DataFault: no checkpoint there, another format version or other columns, a file that is damaged or holds more
            than tensors and numbers, or weights that are not finite.
    """
    folder = find_whole(folder)
    config, store_hash, progress, made_with, hashes = _read_manifest(folder / MANIFEST)
    return Checkpoint(
        config,
        store_hash,
        progress,
        _read(folder / WEIGHTS, hashes, _weights),
        _read(folder / AVERAGE, hashes, _weights) if config.optimiser.average else None,
        _read(folder / STATE, hashes, _state),
        made_with,
    )


def read_checkpoint(run: Path, which: str) -> Checkpoint:
    """The checkpoint `which`, "last" or "best", of the run in the folder `run`.

    Raises:
        DataFault: no run or checkpoint there, a cross-validation, which has a run for each fold, or what `load` and
            `check_weights` raise.
    """
    run_folder.read_config(run)
    if (run / FOLDS).is_file():
        do = f"name the folder of one fold, such as {run / 'fold-1'}"
        raise DataFault(expected("the folder of one run", "a cross-validation's", run, do))
    if not find_whole(run / which).exists():
        resume = f"go on with `{command('train', '--run', run, '--resume')}`"
        do = resume if which == run_folder.LAST else "use --checkpoint last"
        raise DataFault(expected(f"the checkpoint {which}", "a run without it", run, do))
    checkpoint = load(run / which)
    check_weights(checkpoint)
    return checkpoint


def check_weights(checkpoint: Checkpoint) -> None:
    """Raise unless the weights of a checkpoint are of the network that its configuration describes.

    Raises:
        DataFault: a name or a shape differs.
    """
    network = checkpoint.config.network
    try:
        check_shapes(network, checkpoint.prediction_weights)
    except RuntimeError as error:
        got, do = str(error).splitlines()[-1].strip(), "use the checkpoint of this run"
        raise DataFault(expected(f"the weights of {network.name}", got, "the checkpoint", do)) from error


def _weights_bytes(weights: Weights) -> bytes:
    return safetensors.torch.save({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()})


def _read_manifest(file: Path) -> tuple[Config, str, Progress, dict[str, str], dict[str, str]]:
    """Configuration, hash of the store, progress, provenance, and the hashes of the other files."""
    try:
        manifest = read_json(file)
        if manifest["version"] != VERSION:
            got, do = reprlib.repr(manifest["version"]), "use the release of galaxy-triton that wrote it"
            raise DataFault(expected(f"a checkpoint of format version {VERSION}", got, file, do))
        if manifest["columns"] != list(COLUMNS):
            raise ValueError(f"answers other than {COLUMNS[0]} to {COLUMNS[-1]}")
        config, progress = from_dict(dict(manifest["config"]), file), Progress(**manifest["progress"])
        return config, str(manifest["store"]), progress, dict(manifest["made_with"]), dict(manifest["hashes"])
    except (OSError, ValueError, KeyError, TypeError, UsageFault) as error:
        raise _broken(file, error) from error


def _read(file: Path, hashes: dict[str, str], parse: Callable[[bytes], Content]) -> Content:
    try:
        content = read_file(file, limit=None)
        if hashlib.sha256(content).hexdigest() != hashes.get(file.name):
            raise ValueError("other bytes than were saved")
        return parse(content)
    # safetensors and torch raise nearly any exception on damaged files.
    except Exception as error:
        raise _broken(file, error) from error


def _weights(content: bytes) -> Weights:
    weights = safetensors.torch.load(content)
    bad = sorted(name for name, tensor in weights.items() if not torch.isfinite(tensor).all())
    if bad:
        raise ValueError(f"{reprlib.repr(bad[0])} that is not finite")
    return weights


def _state(content: bytes) -> dict[str, Any]:
    # torch stores tensors uncompressed; a stranger's archive may unpack to more than the memory.
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > len(content):
            raise ValueError("a state that is larger than its file")
    state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    if not isinstance(state, dict):
        raise ValueError(f"a {type(state).__name__}")
    return state


def _broken(file: Path, error: Exception) -> DataFault:
    lines = reason(error).splitlines()
    return DataFault(expected("a whole checkpoint", lines[0], file, "use another checkpoint of the run"))
