"""The folder of a run: what it was asked, where its galaxies came from, which it held out, what it ran on, and a row of
figures an epoch."""

import csv
import io
import itertools
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.config.schema import Config
from galaxy_triton.config.toml import read_toml, to_toml
from galaxy_triton.data.split import Split
from galaxy_triton.data.store import Store, open_store
from galaxy_triton.galaxyzoo.questions import ID_COLUMN
from galaxy_triton.galaxyzoo.tables import read_ids
from galaxy_triton.model.backend import Backend
from galaxy_triton.system.errors import DataFault, UsageFault, expected, reason
from galaxy_triton.system.provenance import provenance
from galaxy_triton.system.untrusted_files import read_file, read_json
from galaxy_triton.system.whole_files import (
    PARTIAL,
    REPLACED,
    append,
    partial,
    restore,
    surviving,
    whole_file,
    whole_folder,
    write_text,
)

CONFIG, LOG, SPLIT, METRICS, LAST, BEST = "config.toml", "log.txt", "split.csv", "metrics.csv", "last", "best"
LOCK = "lock"  # held by the process that trains
SOURCE = "source.json"
SEEN = "seen.csv"  # of a run that was fine-tuned: what its first weights had been trained on
SOURCE_VERSION = 1


@dataclass(frozen=True)
class Source:
    """Where a run's galaxies came from. Paths are absolute.

    truth: the table of true probabilities of a simulated sky, whose RMSE no network can beat; None for real galaxies.
    """

    store: Path
    hash: str
    truth: Path | None


@dataclass(frozen=True)
class EpochRow:
    """A row of metrics.csv. Losses are mean squared errors; the RMSE is nan when nothing is held out."""

    epoch: int
    train_loss: float  # over augmented views, dropout on, against the labels as they are learned (stretched or not)
    validation_loss: float
    validation_rmse: float
    learning_rate: float  # after the epoch's last step
    images_per_s: float  # training only
    waiting_for_data: float  # share of the training time in which the host waits for a batch
    peak_memory_mib: float
    seconds: float  # training and validation


def new_folder(recipe: str) -> Path:
    """A folder for a run that was given none: runs/RECIPE-TIME, with a number where that is taken."""
    name = f"{recipe}-{datetime.now():%Y%m%d-%H%M%S}"
    names = (Path("runs") / (name if number == 1 else f"{name}-{number}") for number in itertools.count(1))
    return next(folder for folder in names if not folder.exists() and not partial(folder).exists())


@contextmanager
def laid_out(folder: Path, config: Config, backend: Backend, store: Store, truth: Path | None) -> Iterator[Path]:
    """Yield a new folder that says what is trained, on which galaxies and on what machine; it is in its place, whole,
    when the block succeeds. `require_new_folder` has passed that place.

    Raises:
        DataFault: it cannot be written, or another run has begun there since.
    """
    with suppress(OSError):
        folder.rmdir()  # only an empty one goes
    with whole_folder(folder) as new:
        write_text(new / CONFIG, to_toml(config, backend.chosen()))
        _write_source(new / SOURCE, Source(store.path.resolve(), store.hash, truth and truth.resolve()))
        log(new, backend, store)
        yield new


def read_config(folder: Path) -> Config:
    """The configuration of an earlier run.

    Raises:
        DataFault: the folder holds no run, or its config.toml is not as written.
    """
    file = folder / CONFIG
    if not file.is_file():
        raise DataFault(expected("a run's config.toml", "none", folder, "name the folder of a run"))
    try:
        return read_toml(file)
    except UsageFault as fault:
        raise DataFault(str(fault)) from fault


def write_split(folder: Path, store: Store, split: Split) -> None:
    """The table of which galaxies a run trains on and holds out, by id.

    Raises:
        DataFault: it cannot be written.
    """
    parts = (("train", split.train), ("validation", split.validation))
    rows = sorted((int(store.ids[row]), part) for part, rows in parts for row in rows)
    write_text(folder / SPLIT, f"{ID_COLUMN},part\n" + "".join(f"{number},{part}\n" for number, part in rows))


def read_split(folder: Path) -> dict[str, NDArray[np.int64]]:
    """The ids of each part of an earlier run: "train" and "validation".

    Raises:
        DataFault: split.csv is missing or not as written.
    """
    file = folder / SPLIT
    parts: dict[str, list[int]] = {"train": [], "validation": []}
    try:
        for row in csv.DictReader(io.StringIO(read_file(file).decode(), newline="")):
            # release 0.1.0 could repeat some of the galaxies trained on
            parts["train" if row["part"] == "repeated" else row["part"]].append(int(row[ID_COLUMN]))
        return {part: np.array(ids, np.int64) for part, ids in parts.items()}
    # OverflowError: an id beyond 64 bits; TypeError: a row too short
    except (OSError, KeyError, ValueError, TypeError, OverflowError, csv.Error) as error:
        raise DataFault(expected("the run's split.csv", reason(error), file, "use a whole run")) from error


def write_seen(folder: Path, ids: NDArray[np.int64]) -> None:
    """The table of the ids, int64 [n], that the weights which a run begins with were trained on.

    Raises:
        DataFault: it cannot be written.
    """
    write_text(folder / SEEN, f"{ID_COLUMN}\n" + "".join(f"{number}\n" for number in ids.tolist()))


def seen_before(folder: Path) -> NDArray[np.int64]:
    """What `write_seen` wrote; no ids where nothing was.

    Raises:
        DataFault: it is not as written.
    """
    return read_ids(folder / SEEN) if (folder / SEEN).exists() else np.empty(0, np.int64)


def trained_on(folder: Path) -> NDArray[np.int64]:
    """The ids that a run's weights were trained on, in it and in the runs that it goes on from: int64, ascending.

    Raises:
        DataFault: a table of them is missing or not as written.
    """
    return np.union1d(read_split(folder)["train"], seen_before(folder))


def read_source(folder: Path) -> Source:
    """Where an earlier run's galaxies came from.

    Raises:
        DataFault: source.json is missing or not as written.
    """
    file = folder / SOURCE
    try:
        values = read_json(file)
        if values["version"] != SOURCE_VERSION:
            raise ValueError(f"format version {values['version']}")
        truth = values["truth"]
        return Source(Path(values["store"]), str(values["hash"]), None if truth is None else Path(truth))
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise DataFault(expected("the run's source.json", reason(error), file, "use a whole run")) from error


def open_source(folder: Path) -> Store:
    """The store that an earlier run was trained on, where it lay then.

    Raises:
        DataFault: it is gone, or not what `open_store` expects.
    """
    store = read_source(folder).store
    if not store.exists():
        again = f"if it was a simulated sky, `galaxy-triton train --run {folder} --resume` draws it again"
        raise DataFault(expected("the store of the run", "none there", store, f"say where it is now; {again}"))
    return open_store(store)


def check_source(folder: Path, store: Store) -> None:
    """Raise unless this is the store that an earlier run was trained on.

    Raises:
        DataFault: it is another; both are named.
    """
    known = read_source(folder).hash
    if store.hash != known:
        want, got = f"the store of this run (hash {known[:12]})", f"another (hash {store.hash[:12]})"
        raise DataFault(expected(want, got, store.path, "name the store that the run was trained on"))


def has_checkpoint(folder: Path) -> bool:
    """Whether a run has come to its first checkpoint."""
    return surviving(folder / LAST).exists()


def tidy(folder: Path) -> None:
    """Put right and remove what a killed process left in a run's folder."""
    for file in folder.glob(f"*{REPLACED}"):
        restore(file.with_name(file.name.removesuffix(REPLACED)))
    for file in folder.glob(f"*{PARTIAL}"):
        shutil.rmtree(file) if file.is_dir() and not file.is_symlink() else file.unlink()


def log(folder: Path, backend: Backend, store: Store) -> None:
    """Append what this start of the run ran on."""
    lines = [f"{name:<10} {value}" for name, value in provenance().items()]
    lines += [f"{'store':<10} {store.path} {store.hash}", *backend.lines(), ""]
    append(folder / LOG, "\n".join(lines) + "\n")


def cut_metrics(folder: Path, epochs: int) -> None:
    """Drop the rows of epochs that the checkpoint does not have.

    Raises:
        DataFault: there are fewer rows than epochs, or it cannot be read or written.
    """
    file = folder / METRICS
    if epochs == 0:
        file.unlink(missing_ok=True)
        return
    try:
        lines = read_file(file).splitlines(keepends=True)
    except OSError as error:
        raise DataFault(expected("the run's metrics.csv", reason(error), file, "use a whole run")) from error
    # the next row would be written to the end of half a one
    whole = [line for line in lines if line.endswith(b"\n")][: epochs + 1]
    if len(whole) != epochs + 1:
        want = f"a header and {epochs} rows, an epoch each"
        raise DataFault(expected(want, f"{len(whole)} whole lines", file, "use a whole run"))
    with whole_file(file) as temporary:
        temporary.write_bytes(b"".join(whole))


def add_metrics(folder: Path, row: EpochRow) -> None:
    """Append a row, the header first."""
    file = folder / METRICS
    header = "" if file.is_file() else ",".join(field.name for field in fields(EpochRow)) + "\n"
    values = (f"{value:.7g}" if isinstance(value, float) else str(value) for value in asdict(row).values())
    append(file, header + ",".join(values) + "\n")


def _write_source(file: Path, source: Source) -> None:
    truth = None if source.truth is None else str(source.truth)
    values = {"version": SOURCE_VERSION, "store": str(source.store), "hash": source.hash, "truth": truth}
    write_text(file, json.dumps(values, indent=1) + "\n")
