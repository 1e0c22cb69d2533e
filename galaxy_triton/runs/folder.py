"""The folder of a run: configuration, split, source of the galaxies, starts, and a row of metrics for each epoch."""

import csv
import io
import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.config.schema import Config
from galaxy_triton.config.toml import read_toml, to_toml
from galaxy_triton.data.names import names_of
from galaxy_triton.data.split import Split
from galaxy_triton.data.store import Store, open_store
from galaxy_triton.galaxyzoo.ids import galaxy_id
from galaxy_triton.galaxyzoo.questions import ID_COLUMN
from galaxy_triton.galaxyzoo.tables import read_names
from galaxy_triton.galaxyzoo.write_tables import table_text
from galaxy_triton.model.backend import Backend
from galaxy_triton.model.device import Choice
from galaxy_triton.system import whole_files
from galaxy_triton.system.errors import DataFault, UsageFault, command, expected, reason
from galaxy_triton.system.provenance import provenance
from galaxy_triton.system.untrusted_files import read_file, read_json
from galaxy_triton.system.whole_files import append, find_whole, whole_folder, write_text

CONFIG, SPLIT, METRICS, LAST, BEST = "config.toml", "split.csv", "metrics.csv", "last", "best"
LOG, STARTED = "log.txt", "started.json"  # the starts of the run, for people and for programs
LOCK = "lock"  # of the process that trains
SOURCE = "source.json"
SEEN = "seen.csv"  # of a fine-tuned run: galaxies on which its initial weights were trained
SOURCE_VERSION = STARTED_VERSION = 1


@dataclass(frozen=True)
class Source:
    """The source of a run's galaxies, with absolute paths.

    truth: the table of true probabilities of a simulated sky, whose RMSE no network can beat; None for real galaxies.
    """

    store: Path
    hash: str
    truth: Path | None


@dataclass(frozen=True)
class SplitIds:
    """The ids of a run's galaxies, int64 [n] each: to train on and to validate on; and the name of each id."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    names: dict[int, str]


@dataclass(frozen=True)
class EpochRow:
    """A row of metrics.csv. Losses are mean squared errors; the RMSE is nan without validation."""

    epoch: int
    train_loss: float  # over augmented views with dropout, against the labels as they are learned (stretched or not)
    validation_loss: float
    validation_rmse: float
    learning_rate: float  # after the epoch's last step
    images_per_s: float  # training only
    waiting_for_data: float  # share of the training time in which the host waits for a batch
    peak_memory_mib: float
    seconds: float  # training and validation


def new_folder(recipe: str) -> Path:
    """An unused name for the folder of a run without --run: runs/RECIPE-TIME, with a number if that exists."""
    name = f"{recipe}-{datetime.now():%Y%m%d-%H%M%S}"
    names = (Path("runs") / (name if number == 1 else f"{name}-{number}") for number in itertools.count(1))
    return next(folder for folder in names if not os.path.lexists(folder))


def reserve_folder(recipe: str) -> Path:
    """Make an empty folder of that name, which is this process's alone: others in the same second get the next.

    Raises:
        OSError: the folder `runs` cannot be written.
    """
    while True:
        folder = new_folder(recipe)
        folder.parent.mkdir(exist_ok=True)
        # Another process took the name, or removed the empty folder above.
        with suppress(FileExistsError, FileNotFoundError):
            folder.mkdir()
            return folder


def release_folder(folder: Path) -> None:
    """Remove a reserved folder that was not used."""
    with suppress(OSError):  # as each is, unless it is empty
        folder.rmdir()
        folder.parent.rmdir()


@contextmanager
def create_run(folder: Path, config: Config, backend: Backend, store: Store, truth: Path | None) -> Iterator[Path]:
    """Yield a new run folder with configuration, source and first start; it appears whole when the block succeeds.

    `folder` is absent or empty (see `require_new_folder`).

    Raises:
        DataFault: the folder cannot be written, or another run has begun there since.
    """
    with whole_folder(folder) as new:
        write_text(new / CONFIG, to_toml(config, backend.chosen()))
        source = Source(store.path.resolve(), store.hash, truth and truth.resolve())
        write_text(new / SOURCE, _json({"version": SOURCE_VERSION, **asdict(source)}))
        record_start(new, backend, store)
        yield new


def record_start(folder: Path, backend: Backend, store: Store) -> None:
    """Add a start of the run to log.txt and started.json: versions, store and backend.

    Raises:
        DataFault: a file cannot be written, or started.json is damaged.
    """
    choices = {name: choice._asdict() for name, choice in backend.choices().items()}
    start = {"made_with": provenance(), "store": str(store.path), "hash": store.hash, "backend": choices}
    starts = [*_read_starts(folder), start]
    append(folder / LOG, "".join(f"{name:<10} {text}\n" for name, text in _as_text(start).items()) + "\n")
    write_text(folder / STARTED, _json({"version": STARTED_VERSION, "starts": starts}))


def last_start(folder: Path) -> dict[str, str]:
    """The last start of a run as text by name: release, python, torch, store, device, precision and other choices.

    A run of release 0.1.0 has log.txt only, with names in ten columns.

    Raises:
        DataFault: the file is missing or damaged.
    """
    file = folder / (STARTED if (folder / STARTED).exists() else LOG)
    with _explain_damage(file):
        if file.name == STARTED:
            start = _as_text(_read_starts(folder)[-1])
        else:
            lines = read_file(file).decode(errors="replace").splitlines()
            start = {line[:10].strip(): line[11:].strip() for line in lines}
        start = {name: text for name, text in start.items() if text.strip()}
        if missing := {"release", "torch", "device", "precision"} - set(start):
            raise ValueError(f"one without {', '.join(sorted(missing))}")
    return start


def read_config(folder: Path) -> Config:
    """The configuration of a run.

    Raises:
        DataFault: the folder holds no run, or its config.toml is damaged.
    """
    file = folder / CONFIG
    if not file.is_file():
        raise DataFault(expected("a run's config.toml", "none", folder, "name the folder of a run"))
    try:
        return read_toml(file)
    except UsageFault as fault:
        raise DataFault(str(fault)) from fault


def write_split(folder: Path, store: Store, split: Split) -> None:
    """Write split.csv: which galaxies, by ascending id, a run trains on and validates on.

    Raises:
        DataFault: it cannot be written.
    """
    parts, names = (("train", split.train), ("validation", split.validation)), names_of(store)
    rows = sorted((row, part) for part, rows in parts for row in rows.tolist())  # a store's ids ascend
    write_text(folder / SPLIT, table_text((ID_COLUMN, "part"), ((names[row], part) for row, part in rows)))


def read_split(folder: Path) -> SplitIds:
    """The split of a run.

    Raises:
        DataFault: split.csv is missing or damaged.
    """
    file = folder / SPLIT
    parts: dict[str, list[int]] = {"train": [], "validation": []}
    names: dict[int, str] = {}
    with _explain_damage(file):
        for row in csv.DictReader(io.StringIO(read_file(file).decode(), newline="")):
            number = galaxy_id(row[ID_COLUMN])
            names[number] = row[ID_COLUMN]
            # Release 0.1.0 could train on some galaxies several times an epoch.
            parts["train" if row["part"] == "repeated" else row["part"]].append(number)
        return SplitIds(np.array(parts["train"], np.int64), np.array(parts["validation"], np.int64), names)


def write_seen(folder: Path, names: list[str]) -> None:
    """Write seen.csv: the galaxies on which the initial weights of a run were trained.

    Raises:
        DataFault: it cannot be written.
    """
    write_text(folder / SEEN, table_text((ID_COLUMN,), ((name,) for name in names)))


def read_seen(folder: Path) -> dict[int, str]:
    """The galaxies on which the initial weights of a run were trained, id -> name; none for random weights.

    Raises:
        DataFault: seen.csv is damaged.
    """
    names = read_names(folder / SEEN) if (folder / SEEN).exists() else []
    return {galaxy_id(name): name for name in names}


def read_trained(folder: Path) -> dict[int, str]:
    """The galaxies on which a run's weights were trained, in it and before it: id -> name, by ascending id.

    Raises:
        DataFault: split.csv or seen.csv is missing or damaged.
    """
    split = read_split(folder)
    names = {**read_seen(folder), **{number: split.names[number] for number in split.train.tolist()}}
    return dict(sorted(names.items()))


def read_source(folder: Path) -> Source:
    """The source of a run's galaxies.

    Raises:
        DataFault: source.json is missing or damaged.
    """
    with _explain_damage(folder / SOURCE):
        values = read_json(folder / SOURCE)
        _check_version(values, SOURCE_VERSION)
        truth = values["truth"]
        return Source(Path(values["store"]), str(values["hash"]), None if truth is None else Path(truth))


def open_source(folder: Path) -> Store:
    """The store on which a run was trained, at its path of that time.

    Raises:
        DataFault: it is not there, or not what `open_store` expects.
    """
    store = read_source(folder).store
    if not store.exists():
        again = f"for a simulated sky, `{command('train', '--run', folder, '--resume')}` draws it again"
        raise DataFault(expected("the store of the run", "none there", store, f"name the store as it is now; {again}"))
    return open_store(store)


def check_source(folder: Path, store: Store) -> None:
    """Raise unless the store is that on which a run was trained.

    Raises:
        DataFault: it is another store.
    """
    known = read_source(folder).hash
    if store.hash != known:
        want, got = f"the store of this run (hash {known[:12]})", f"another (hash {store.hash[:12]})"
        raise DataFault(expected(want, got, store.path, "name the store that the run was trained on"))


def has_checkpoint(folder: Path) -> bool:
    """Whether a run has saved a checkpoint."""
    return find_whole(folder / LAST).exists()


def repair(folder: Path) -> None:
    """Finish or remove the partial files of a killed process in a run's folder."""
    for file in folder.glob(f"*{whole_files.REPLACED}"):
        whole_files.restore(file.with_name(file.name.removesuffix(whole_files.REPLACED)))
    for file in folder.glob(f"*{whole_files.PARTIAL}"):
        whole_files.remove_partial(file)


def cut_metrics(folder: Path, epochs: int) -> None:
    """Cut metrics.csv to the epochs of the checkpoint.

    Raises:
        DataFault: it has fewer rows than epochs, or cannot be read or written.
    """
    file = folder / METRICS
    if epochs == 0:
        file.unlink(missing_ok=True)
        return
    with _explain_damage(file):
        lines = read_file(file).decode().splitlines(keepends=True)
    # Without a cut line, which the next row would continue.
    whole = [line for line in lines if line.endswith("\n")][: epochs + 1]
    if len(whole) != epochs + 1:
        want = f"a header and {epochs} rows, one for each epoch"
        raise DataFault(expected(want, f"{len(whole)} whole lines", file, "use a whole run"))
    write_text(file, "".join(whole))


def add_metrics(folder: Path, row: EpochRow) -> None:
    """Append a row to metrics.csv, which begins with a header."""
    file = folder / METRICS
    header = "" if file.is_file() else ",".join(field.name for field in fields(EpochRow)) + "\n"
    values = (f"{value:.7g}" if isinstance(value, float) else str(value) for value in asdict(row).values())
    append(file, header + ",".join(values) + "\n")


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=1, default=str) + "\n"


def _read_starts(folder: Path) -> list[dict[str, Any]]:
    """The starts in started.json, oldest first; none without that file."""
    file = folder / STARTED
    if not file.exists():
        return []
    with _explain_damage(file, "remove it: the run can do without"):
        values = read_json(file)
        _check_version(values, STARTED_VERSION)
        return [dict(start) for start in values["starts"]]


def _as_text(start: dict[str, Any]) -> dict[str, str]:
    """A start of started.json as text by name."""
    choices = {name: str(Choice(**choice)) for name, choice in start["backend"].items()}
    return {**start["made_with"], "store": f"{start['store']} {start['hash']}", **choices}


def _check_version(values: dict[str, Any], version: int) -> None:
    if values["version"] != version:
        raise ValueError(f"format version {values['version']}")


@contextmanager
def _explain_damage(file: Path, do: str = "use a whole run") -> Iterator[None]:
    """Turn the errors of reading a missing or damaged file of a run into a DataFault."""
    try:
        yield
    # OverflowError: an id beyond 64 bits; TypeError and AttributeError: a value of another type
    except (OSError, KeyError, IndexError, ValueError, TypeError, AttributeError, OverflowError, csv.Error) as error:
        raise DataFault(expected(f"the run's {file.name}", reason(error), file, do)) from error
