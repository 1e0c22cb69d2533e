"""Reading CSV tables by galaxy id: labels and predictions (Kaggle's 37 columns), and lists of ids.

`read_table` finds every fault of a table. `read_answers` raises the first one; `galaxyzoo.check` lists them all.
"""

import csv
import io
import re
import reprlib
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.galaxyzoo.column_names import READABLE, SPREADS
from galaxy_triton.galaxyzoo.ids import MAX_LENGTH, galaxy_id, is_cell_id
from galaxy_triton.galaxyzoo.questions import COLUMNS, ID_COLUMN
from galaxy_triton.galaxyzoo.tree import CONVERSIONS, looks_like
from galaxy_triton.system.errors import DataFault, expected, reason
from galaxy_triton.system.untrusted_files import open_zip, read_entry, read_file, visible_names

NOISE = 1e-6  # how far outside [0, 1] rounding may take a fraction; such values are clipped
EXAMPLES = 3  # faults of one kind that are described, however many there are
WIDE = (*READABLE, *SPREADS)  # columns that `predict --layout wide` adds
# names of a column of ids, without case and punctuation; the first has precedence over the others
ID_NAMES = (
    *("galaxyid", "galaxyids", "galaxy", "galaxies", "id", "ids", "idstr", "name", "names", "stem"),
    *("objid", "objectid", "dr7objid", "dr8objid", "assetid", "iauname"),
)

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

    id_place: the column of ids. rows: in the order of the file, without those that break WIDTH. first: the first row of
    each valid id. values: float64 [rows, 37] in the order of `columns`; NaN where there is no number or no such column.
    broken: how often each rule is. faults: in the order of the file, at most EXAMPLES of each rule.
    """

    path: Path
    header: list[str]
    id_place: int = 0
    rows: list[Row] = field(default_factory=list)
    first: dict[int, Row] = field(default_factory=dict)
    values: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, len(COLUMNS))))
    broken: Counter[Rule] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the 37 answers: Kaggle's, or ours as `predict --layout conditional` writes them alone."""
        return READABLE if {*READABLE} & {*self.header} and not {*COLUMNS} & {*self.header} else COLUMNS

    def wrong_columns(self, wanted: Sequence[str] = COLUMNS, allowed: Sequence[str] = WIDE) -> list[str]:
        """The wanted columns that are missing, and those that are neither wanted nor allowed, or doubled."""
        ours, header = (ID_COLUMN, *wanted), self.header
        extra = (name for at, name in enumerate(header) if name not in (*ours, *allowed) or name in header[:at])
        missing = [f"without {name!r}" for name in ours if name not in header]
        return [*missing, *(f"also {reprlib.repr(name)}" for name in extra)]

    def add_row(self, line: int, cells: list[str]) -> Row:
        """Add the row's id."""
        name = cells[self.id_place].strip() if self.id_place < len(cells) else ""
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
    """Read the ids of a CSV, int64 [n], as `read_names`, which has the rules and raises the faults."""
    return np.array([galaxy_id(name) for name in read_names(path)], dtype=np.int64)


def read_names(path: Path) -> list[str]:
    """Read the ids of a CSV as they are written, in the order of the file. Other columns are ignored.

    They are in the column GalaxyID or, without it, in the only one of ID_NAMES. A single column needs no header.

    Raises:
        DataFault: no such file, no row, several columns and not one of ids among them, or an id doubled or invalid.
    """
    lines = _read_lines(path)
    first = _read_first(lines, path, needs_header=False)
    header, place = first[1], _id_place(first[1], path)
    table = Table(path, header, place or 0)
    for line, cells in chain([first] * (place is None), lines):
        if place and len(cells) != len(header):
            table.add_fault(WIDTH, f"line {line}", f"{len(cells)} for {len(header)}")
        else:
            table.add_row(line, cells)
    _check_rows(table)
    return [row.name for row in table.rows]


def read_table(path: Path) -> Table:
    """Read a table of answers to its end, whatever is wrong with its columns and rows.

    Raises:
        DataFault: no such file, not a CSV in UTF-8, or no header line.
    """
    lines = _read_lines(path)
    _, header = _read_first(lines, path)
    table = Table(path, header, header.index(ID_COLUMN) if ID_COLUMN in header else 0)
    width = len(table.header)
    columns = [(name, table.header.index(name)) if name in table.header else None for name in table.columns]
    empty = ("",) if table.columns is READABLE else ()  # where too few people were asked
    values = array("d")
    for line, cells in lines:
        if len(cells) != width:
            table.add_fault(WIDTH, f"line {line}", f"{len(cells)} for {width}")
            continue
        row = table.add_row(line, cells)
        for column in columns:
            value = float("nan") if column is None else _number(cells[column[1]])
            values.append(value)
            if column and not -NOISE <= value <= 1 + NOISE and cells[column[1]] not in empty:
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


def _read_first(lines: Lines, path: Path, needs_header: bool = True) -> tuple[int, list[str]]:
    """Take the first line: its number, and its cells without spaces around; a number in the first cell is no header."""
    line, cells = next(lines, (0, []))
    first = [cell.strip() for cell in cells]
    if not first or (needs_header and first[0].isdigit()):
        got = reprlib.repr(first[0]) if first else "an empty file"
        raise DataFault(expected(f"a header line ({ID_COLUMN}, ...)", got, f"{path}, line 1", "put one first"))
    return line, first


def _id_place(header: list[str], path: Path) -> int | None:
    """The column of ids, by its name in the first line; None where that line is the first id of a single column."""
    plain = [re.sub(r"[\W_]", "", name.lower()) for name in header]
    for names in (ID_NAMES[:1], ID_NAMES):
        places = [place for place, name in enumerate(plain) if name in names]
        if len(places) == 1:
            return places[0]
    if len(header) == 1:
        return None
    got = listed(list(map(reprlib.repr, header)))
    do = f"write {ID_COLUMN} over the ids, and over no other column"
    raise DataFault(expected(f"a header with one column of ids ({ID_COLUMN})", got, f"{path}, line 1", do))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _check_columns(table: Table) -> None:
    wrong = table.wrong_columns()
    if wrong:
        do = "name the columns as Kaggle's training_solutions_rev1.csv does"
        if table.columns is READABLE:
            do = "predict with --layout wide"
        want = f"{ID_COLUMN} and the {len(COLUMNS)} answers as columns"
        raise DataFault(expected(want, listed(wrong), f"{table.path}, line 1", do))


def _check_rows(table: Table) -> None:
    """Raise if the numbers mean something else, else the first fault in the file, or if there is no row."""
    look = looks_like(table.values)
    if look and all(rule is FRACTION for rule in table.broken):
        raise DataFault(expected("fractions of all people", look, table.path, CONVERSIONS[look]))
    if table.faults:
        rule, where, got = table.faults[0]
        raise DataFault(expected(rule.want, got, f"{table.path}, {where}", rule.do))
    if not table.rows:
        raise DataFault(expected("rows below the header", "none", table.path, "give a table that has rows"))
