"""Reading CSV tables by galaxy id: labels and predictions (Kaggle's 37 columns), and lists of ids.

`read_table` finds every fault of a table. `read_answers` raises the first one; `galaxyzoo.check` lists them all.
"""

import csv
import io
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galaxy_triton.galaxyzoo.column_names import READABLE, SPREADS
from galaxy_triton.galaxyzoo.ids import check_cell_id, check_unique, galaxy_id
from galaxy_triton.galaxyzoo.questions import COLUMNS, ID_COLUMN
from galaxy_triton.system.errors import DataFault, expected, reason
from galaxy_triton.system.untrusted_files import open_zip, read_entry, read_file, visible_names

NOISE = 1e-6  # how far outside [0, 1] rounding may take a fraction; such values are clipped
EXAMPLES = 3  # faults of one kind that are described, however many there are
CHUNK = 4096  # rows held as text at a time

Rows = Iterator[tuple[int, list[str]]]  # (line number, cells)


class CellFault(NamedTuple):
    """A cell that is no fraction, or a row with too few or too many cells. Faults sort by their place in the file."""

    line: int
    column: int  # index in COLUMNS; -1: the whole row
    got: str  # the cell; of a row the number of its cells
    name: str  # the row's id as written; "" for a whole row


@dataclass
class Faults:
    """The number of faults of one kind, and the first EXAMPLES of them."""

    count: int = 0
    first: list[CellFault] = field(default_factory=list)

    def add(self, count: int, faults: Iterable[CellFault]) -> None:
        self.count += count
        self.first.extend(islice(faults, EXAMPLES - len(self.first)))


@dataclass
class Table:
    """A table of answers as it stands in the file, and its faults. Ragged rows are counted and otherwise left out.

    names: line number -> id as written, of the first column where no column is called GalaxyID.
    values: float64 [n, 37] in the order of COLUMNS; NaN where there is no number or no such column.
    """

    path: Path
    header: list[str]
    names: dict[int, str] = field(default_factory=dict)
    values: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, len(COLUMNS))))
    ragged: Faults = field(default_factory=Faults)
    not_numbers: Faults = field(default_factory=Faults)
    out_of_range: Faults = field(default_factory=Faults)

    def missing_columns(self) -> list[str]:
        """The columns of GalaxyID and the 37 answers that are not in the header."""
        return [name for name in (ID_COLUMN, *COLUMNS) if name not in self.header]

    def extra_columns(self, allowed: Sequence[str]) -> list[str]:
        """The columns that are neither Kaggle's nor allowed, or repeat an earlier one."""
        known = {ID_COLUMN, *COLUMNS, *allowed}
        return [name for place, name in enumerate(self.header) if name not in known or name in self.header[:place]]


def read_answers(path: Path) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Read a table of labels or predictions: a CSV, or a zip that holds one.

    Of several tables in a zip the one with the zip's own name is taken. Columns are found by name, in any order; those
    that `predict --layout wide` adds are ignored. An id that is no integer is hashed as an image's stem is.

    Returns:
        Ids int64 [n] and answers float32 [n, 37] in [0, 1], in the order of the file.

    Raises:
        DataFault: the first fault, with its line and column: no such file or table; a column missing, unknown or
            doubled; a row too short or too long; an id doubled or invalid; a value that is no fraction.
    """
    table = read_table(path)
    _check_columns(table)
    _check_rows(table)
    ids = _unique_ids(list(table.names.values()), path)
    return ids, np.clip(table.values, 0, 1).astype(np.float32)


def read_ids(path: Path) -> NDArray[np.int64]:
    """Read the ids of a CSV with a header line: int64 [n], in the order of the file. Other columns are ignored.

    Raises:
        DataFault: no such file, no header line, no row, or an id doubled or invalid.
    """
    return np.array([galaxy_id(name) for name in read_names(path)], dtype=np.int64)


def read_names(path: Path) -> list[str]:
    """Read the ids of a CSV as they are written, in the column GalaxyID or, without one, in the first column.

    Raises:
        DataFault: as `read_ids`.
    """
    rows = _read_rows(path)
    place = _id_place(_read_header(rows, path))
    names = []
    for line, row in rows:
        name = row[place].strip() if place < len(row) else ""
        check_cell_id(name, f"{path}, line {line}")
        names.append(name)
    _unique_ids(names, path)
    return names


def read_table(path: Path) -> Table:
    """Read a table of answers to its end, whatever is wrong with its columns and rows.

    Raises:
        DataFault: no such file, not a CSV in UTF-8, or no header line.
    """
    rows = _read_rows(path)
    table = Table(path, _read_header(rows, path))
    values = [table.values]
    while chunk := list(islice(rows, CHUNK)):
        values.append(_add_chunk(table, chunk))
    table.values = np.concatenate(values)
    return table


def are_fractions(values: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether each value is from 0 to 1, but for rounding; NaN is not."""
    return (values >= -NOISE) & (values <= 1 + NOISE)


def _read_rows(path: Path) -> Rows:
    """The rows of a CSV (or of the one in a zip) with their line numbers, without empty lines; the header is first."""
    # csv, not pandas.read_csv: pandas gives no line numbers, and fills up short rows
    try:
        text = _content(path).decode("utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        yield from ((reader.line_num, row) for row in reader if row)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataFault(expected("a CSV file in UTF-8", error, path, "save it as CSV, UTF-8")) from error


def _content(path: Path) -> bytes:
    if path.suffix.lower() == ".zip":
        with open_zip(path) as archive:
            return read_entry(archive, _table_entry(visible_names(archive), path))
    try:
        return read_file(path)
    except OSError as error:
        want = "a CSV file, or a zip that holds one"
        raise DataFault(expected(want, reason(error), path, "correct the path")) from error


def _table_entry(names: list[str], path: Path) -> str:
    """The only CSV among the files of a zip, or the only one with the zip's own name."""
    tables = [name for name in names if name.lower().endswith(".csv")]
    own = [name for name in tables if PurePosixPath(name).stem == path.stem]
    for candidates in (tables, own):
        if len(candidates) == 1:
            return candidates[0]
    raise DataFault(expected("one CSV file in the zip", f"{len(tables)}", path, "unpack it and give the one you mean"))


def _read_header(rows: Rows, path: Path) -> list[str]:
    """Take the header from the rows; a number in its first cell means that there is none."""
    _, header = next(rows, (0, []))
    if not header or header[0].isdigit():
        got = reprlib.repr(header[0]) if header else "an empty file"
        raise DataFault(expected(f"a header line ({ID_COLUMN}, ...)", got, f"{path}, line 1", "put one first"))
    return [name.strip() for name in header]


def _id_place(header: list[str]) -> int:
    return header.index(ID_COLUMN) if ID_COLUMN in header else 0


def _add_chunk(table: Table, chunk: list[tuple[int, list[str]]]) -> NDArray[np.float64]:
    """Add the names and the faults of some rows to the table, and return the values of the whole rows."""
    width = len(table.header)
    ragged = [CellFault(line, -1, str(len(row)), "") for line, row in chunk if len(row) != width]
    table.ragged.add(len(ragged), ragged)
    whole = {line: row for line, row in chunk if len(row) == width}
    table.names |= {line: row[_id_place(table.header)].strip() for line, row in whole.items()}
    places = {column: table.header.index(name) for column, name in enumerate(COLUMNS) if name in table.header}
    cells = pd.DataFrame(list(whole.values()), index=list(whole), columns=range(width), dtype=object)
    return _fractions(table, cells[list(places.values())].set_axis(list(places), axis="columns"))


def _fractions(table: Table, texts: pd.DataFrame) -> NDArray[np.float64]:
    """Convert texts, by line and index in COLUMNS, to float64 [n, 37]; those that are no fractions become faults."""
    numbers = _numbers(texts)
    no_number = np.isnan(numbers)
    for faults, wrong in ((table.not_numbers, no_number), (table.out_of_range, ~no_number & ~are_fractions(numbers))):
        places = ((int(texts.index[row]), int(texts.columns[place])) for row, place in np.argwhere(wrong))
        faults.add(int(wrong.sum()), (CellFault(*at, str(texts.at[at]), table.names[at[0]]) for at in places))
    values = np.full((len(texts), len(COLUMNS)), np.nan)
    values[:, texts.columns.to_numpy(np.intp)] = numbers
    return values


def _numbers(texts: pd.DataFrame) -> NDArray[np.float64]:
    """The numbers as Python's float reads them, of texts [n, m]; NaN where it reads none."""
    try:
        return texts.to_numpy().astype(np.float64)
    except ValueError:
        return texts.map(_number).to_numpy(np.float64)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _check_columns(table: Table) -> None:
    missing, extra = table.missing_columns(), table.extra_columns((*READABLE, *SPREADS))
    if not missing and not extra:
        return
    parts = [f"{word} {_shortened(names)}" for word, names in (("without", missing), ("also", extra)) if names]
    do = "name the columns as Kaggle's training_solutions_rev1.csv does"
    if set(READABLE) <= set(table.header):
        do = "predict with --layout wide"
    want, where = f"{ID_COLUMN} and the {len(COLUMNS)} answers as columns", f"{table.path}, line 1"
    raise DataFault(expected(want, " and ".join(parts), where, do))


def _shortened(names: list[str]) -> str:
    shown = ", ".join(reprlib.repr(name) for name in names[:EXAMPLES])
    return f"{shown}{', …' * (len(names) > EXAMPLES)}"


def _check_rows(table: Table) -> None:
    """Raise for the first fault in the order of the file: a ragged row, an invalid id, a value that is no fraction."""
    kinds = (table.ragged, table.not_numbers, table.out_of_range)
    first = min((fault for faults in kinds for fault in faults.first), default=None)
    for line, name in table.names.items():
        if first and first.line < line:
            break
        check_cell_id(name, f"{table.path}, line {line}")
    if first and first.column < 0:
        where = f"{table.path}, line {first.line}"
        raise DataFault(expected(f"{len(table.header)} cells", first.got, where, "correct that line"))
    if first:
        where = f"{table.path}, line {first.line}, {COLUMNS[first.column]}"
        raise DataFault(expected("a fraction from 0 to 1", reprlib.repr(first.got), where, "correct that value"))


def _unique_ids(names: list[str], path: Path) -> NDArray[np.int64]:
    if not names:
        raise DataFault(expected("rows below the header", "none", path, "give a table that has rows"))
    ids = [galaxy_id(name) for name in names]
    check_unique(ids, names, path)
    return np.array(ids, dtype=np.int64)
