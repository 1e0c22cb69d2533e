"""Reading CSV tables by galaxy id: labels and predictions (Kaggle's 37 columns), and lists of ids.

`read_table` finds every fault of a table. `read_answers` raises the first one; `galaxyzoo.check` lists them all.
"""

import csv
import io
import reprlib
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.galaxyzoo.column_names import READABLE, SPREADS
from galaxy_triton.galaxyzoo.ids import MAX_LENGTH, galaxy_id, is_cell_id
from galaxy_triton.galaxyzoo.questions import COLUMNS, ID_COLUMN
from galaxy_triton.system.errors import DataFault, expected, reason
from galaxy_triton.system.untrusted_files import open_zip, read_entry, read_file, visible_names

NOISE = 1e-6  # how far outside [0, 1] rounding may take a fraction; such values are clipped
EXAMPLES = 3  # faults of one kind that are described, however many there are
WIDE = (*READABLE, *SPREADS)  # columns that `predict --layout wide` adds

Lines = Iterator[tuple[int, list[str]]]  # (line number, cells)


class Rule(NamedTuple):
    """A rule for rows and cells: its name in `check`, and what a message expects and advises."""

    name: str
    want: str
    do: str


WIDTH = Rule("rows: a cell for each column", "a cell for each column", "correct that line")
VALID = Rule(
    "ids: one in each row",
    f"a whole number or a file's stem of at most {MAX_LENGTH} characters as id",
    "correct that id",
)
UNIQUE = Rule("ids: each once", "each id once", "remove one of the two lines")
FRACTION = Rule("values: from 0 to 1", "a fraction from 0 to 1", "correct that value")
RULES = (WIDTH, VALID, UNIQUE, FRACTION)


class Row(NamedTuple):
    """The line of a row in the file, its id as it is written, and the id."""

    line: int
    name: str
    id: int

    def __str__(self) -> str:
        return f"line {self.line}, {ID_COLUMN} {shown(self.name)}"


class Fault(NamedTuple):
    """A place in the file that breaks a rule."""

    rule: Rule
    where: str
    got: str


@dataclass
class Table:
    """A table of answers as it stands in the file, and its faults.

    rows: in the order of the file, without those that break WIDTH. first: the first row of each valid id.
    values: float64 [rows, 37] in the order of COLUMNS; NaN where there is no number or no such column. broken: how
    often each rule is. faults: in the order of the file, at most EXAMPLES of each rule.
    """

    path: Path
    header: list[str]
    rows: list[Row] = field(default_factory=list)
    first: dict[int, Row] = field(default_factory=dict)
    values: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, len(COLUMNS))))
    broken: Counter[Rule] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)

    def wrong_columns(self, allowed: Sequence[str] = WIDE) -> list[str]:
        """The columns of Kaggle that are missing, and those that are neither Kaggle's nor allowed, or doubled."""
        ours, header = (ID_COLUMN, *COLUMNS), self.header
        extra = (name for at, name in enumerate(header) if name not in (*ours, *allowed) or name in header[:at])
        missing = [f"without {name!r}" for name in ours if name not in header]
        return [*missing, *(f"also {reprlib.repr(name)}" for name in extra)]

    def add_row(self, line: int, cells: list[str]) -> Row:
        """Add the row's id: in the column GalaxyID or, without one, in the first column."""
        place = self.header.index(ID_COLUMN) if ID_COLUMN in self.header else 0
        name = cells[place].strip() if place < len(cells) else ""
        row = Row(line, name, galaxy_id(name))
        self.rows.append(row)
        if not is_cell_id(name):
            self.add_fault(VALID, f"{row}", reprlib.repr(name))
        elif (first := self.first.setdefault(row.id, row)) is not row:
            self.add_fault(UNIQUE, f"{row}", f"the id of line {first.line}")
        return row

    def add_fault(self, rule: Rule, where: str, got: str) -> None:
        self.broken[rule] += 1
        if self.broken[rule] <= EXAMPLES:
            self.faults.append(Fault(rule, where, got))


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
    ids = np.array([row.id for row in table.rows], dtype=np.int64)
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
    lines = _read_lines(path)
    table = Table(path, _read_header(lines, path))
    for line, cells in lines:
        table.add_row(line, cells)
    _check_rows(table)
    return [row.name for row in table.rows]


def read_table(path: Path) -> Table:
    """Read a table of answers to its end, whatever is wrong with its columns and rows.

    Raises:
        DataFault: no such file, not a CSV in UTF-8, or no header line.
    """
    lines = _read_lines(path)
    table = Table(path, _read_header(lines, path))
    width = len(table.header)
    columns = [(name, table.header.index(name)) if name in table.header else None for name in COLUMNS]
    values = array("d")
    for line, cells in lines:
        if len(cells) != width:
            table.add_fault(WIDTH, f"line {line}", f"{len(cells)} for {width}")
            continue
        row = table.add_row(line, cells)
        for column in columns:
            value = float("nan") if column is None else _number(cells[column[1]])
            values.append(value)
            if column and not -NOISE <= value <= 1 + NOISE:
                table.add_fault(FRACTION, f"{row}, {column[0]}", reprlib.repr(cells[column[1]]))
    table.values = np.array(values).reshape(-1, len(COLUMNS))
    return table


def are_fractions(values: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether each value is from 0 to 1, but for rounding; NaN is not."""
    return (values >= -NOISE) & (values <= 1 + NOISE)


def shown(name: str) -> str:
    """A name in a message: short, without control characters that a terminal would obey."""
    return reprlib.repr(name)[1:-1]


def listed(places: Sequence[str], count: int | None = None) -> str:
    """The first EXAMPLES of some places, with "…" if there are more; `count`: how many there are."""
    return "; ".join(places[:EXAMPLES]) + "; …" * ((count or len(places)) > EXAMPLES)


def _read_lines(path: Path) -> Lines:
    """The rows of a CSV (or of the one in a zip) with their line numbers, without empty lines; the header is first."""
    # csv, not pandas.read_csv: pandas gives no line numbers, and fills up short rows
    try:
        text = _content(path).decode("utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        yield from ((reader.line_num, cells) for cells in reader if cells)
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


def _read_header(lines: Lines, path: Path) -> list[str]:
    """Take the header from the lines; a number in its first cell means that there is none."""
    _, header = next(lines, (0, []))
    if not header or header[0].isdigit():
        got = reprlib.repr(header[0]) if header else "an empty file"
        raise DataFault(expected(f"a header line ({ID_COLUMN}, ...)", got, f"{path}, line 1", "put one first"))
    return [name.strip() for name in header]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _check_columns(table: Table) -> None:
    wrong = table.wrong_columns()
    if wrong:
        do = "name the columns as Kaggle's training_solutions_rev1.csv does"
        if set(READABLE) <= set(table.header):
            do = "predict with --layout wide"
        want = f"{ID_COLUMN} and the {len(COLUMNS)} answers as columns"
        raise DataFault(expected(want, listed(wrong), f"{table.path}, line 1", do))


def _check_rows(table: Table) -> None:
    """Raise the first fault in the order of the file, and unless there is a row."""
    if table.faults:
        rule, where, got = table.faults[0]
        raise DataFault(expected(rule.want, got, f"{table.path}, {where}", rule.do))
    if not table.rows:
        raise DataFault(expected("rows below the header", "none", table.path, "give a table that has rows"))
