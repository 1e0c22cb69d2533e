"""The folds of a cross-validation, drawn once and stored in its folder."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.data.names import names_of
from galaxy_triton.data.split import Split, split_by_ids, split_order
from galaxy_triton.data.store import Store, labelled_rows, require_labels
from galaxy_triton.galaxyzoo.ids import galaxy_id, rows_of
from galaxy_triton.galaxyzoo.questions import ID_COLUMN
from galaxy_triton.galaxyzoo.tables import read_ids
from galaxy_triton.galaxyzoo.write_tables import table_text
from galaxy_triton.system.errors import DataFault, UsageFault, command, expected, reason
from galaxy_triton.system.untrusted_files import read_file
from galaxy_triton.system.whole_files import write_text

FOLDS, ANSWERS = "folds.csv", "out_of_fold.csv"  # in the folder of a cross-validation


@dataclass(frozen=True)
class Folds:
    """The fold of each galaxy. ids: int64 [M], ascending. numbers: int64 [M], the folds, from 1."""

    ids: NDArray[np.int64]
    numbers: NDArray[np.int64]

    @property
    def count(self) -> int:
        """The number of folds."""
        return int(np.max(self.numbers))


def draw_folds(ids: NDArray[np.int64], count: int, seed: int) -> Folds:
    """Draw folds that depend on (seed, ids) alone; their sizes differ by at most one.

    The first fold has the validation galaxies of `split_by_fraction` with the fraction 1 / count, or one more.

    Raises:
        UsageFault: fewer than two folds, or fewer ids than folds.
    """
    if count < 2:
        raise UsageFault(expected("folds at least 2", count, "--folds", "give more, or leave it out"))
    if len(ids) < count:
        do = "give fewer folds, or more ids"
        raise UsageFault(expected(f"a galaxy for each of {count} folds", len(ids), "--folds", do))
    ids = np.sort(ids)
    numbers = np.empty(len(ids), np.int64)
    for number, places in enumerate(np.array_split(split_order(ids, seed), count), 1):
        numbers[places] = number
    return Folds(ids, numbers)


def ids_to_hold_out(store: Store, table: Path | None) -> NDArray[np.int64]:
    """The ids of the labelled galaxies to divide into folds: int64 [M], ascending.

    Args:
        table: a CSV of ids to choose from; None: all labelled galaxies.

    Raises:
        DataFault: the store has no labels, the table cannot be read, or no labelled galaxy is in the table.
    """
    require_labels(store)
    labelled = store.ids[labelled_rows(store)]
    if table is None:
        return np.array(labelled)
    ids = np.intersect1d(labelled, read_ids(table))
    if len(ids) == 0:
        do = "check --fold-ids against the store's labelled ids"
        raise DataFault(expected("labelled galaxies for the folds", "none", store.path, do))
    return ids


def split_of_fold(store: Store, folds: Folds, number: int) -> Split:
    """Validate on a fold and train on all other labelled galaxies."""
    return split_by_ids(store, folds.ids[folds.numbers == number])


def answers_in(path: Path) -> Path:
    """The table of out-of-fold predictions if `path` is the folder of a cross-validation, else `path`.

    Raises:
        DataFault: the cross-validation is not finished.
    """
    if not (path / FOLDS).is_file():
        return path
    if not (path / ANSWERS).is_file():
        do = f"continue with `{command('train', '--run', path, '--resume')}`"
        raise DataFault(expected("a cross-validation that is done", f"one without {ANSWERS}", path, do))
    return path / ANSWERS


def write_folds(file: Path, folds: Folds, store: Store) -> None:
    """Write a table of a store's galaxies and their folds.

    Raises:
        DataFault: `file` cannot be written.
    """
    names, rows = names_of(store), rows_of(store.ids, folds.ids)
    pairs = zip((names[row] for row in rows), folds.numbers.tolist(), strict=True)
    write_text(file, table_text((ID_COLUMN, "fold"), pairs))


def read_folds(file: Path) -> Folds:
    """Read a table that `write_folds` wrote.

    Raises:
        DataFault: `file` is missing or damaged.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(read_file(file).decode(), newline="")))
        ids, numbers = [galaxy_id(row[ID_COLUMN]) for row in rows], [int(row["fold"]) for row in rows]
        folds = Folds(np.array(ids, np.int64), np.array(numbers, np.int64))
        present = np.unique(folds.numbers)
        if len(rows) == 0 or (np.diff(folds.ids) <= 0).any() or (present != np.arange(1, len(present) + 1)).any():
            raise ValueError("other ids or folds")
        return folds
    # OverflowError: an id beyond 64 bits; TypeError: a row too short
    except (OSError, KeyError, ValueError, TypeError, OverflowError, csv.Error) as error:
        want, do = "the folds of a cross-validation", "use a whole folder"
        raise DataFault(expected(want, reason(error), file, do)) from error
