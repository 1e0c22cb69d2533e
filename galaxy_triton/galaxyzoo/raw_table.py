"""A table of answers read to its end, whatever is wrong in it."""

import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.galaxyzoo.questions import COLUMNS, ID_COLUMN
from galaxy_triton.galaxyzoo.tables import NOISE, read_header, read_rows

SHOWN = 3  # examples of each thing that is wrong
CHUNK = 4096  # rows made into numbers at a time

Lines = Sequence[tuple[int, list[str]]]  # (number of the line, its cells)
Values = NDArray[np.float64]


@dataclass
class Tally:
    """How often something is wrong, and the first of the places."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, count: int, places: Iterable[str]) -> None:
        """Count `count` more, of which no more places are taken than are shown."""
        self.count += count
        self.examples.extend(islice(places, SHOWN - len(self.examples)))


@dataclass
class RawTable:
    """What stands in a table.

    lines, names: of each row that has as many cells as the header, its line in the file and its id's cell (the first
    cell, where no column is called GalaxyID). parts: its values, see `values`. ragged: rows of another number of cells.
    no_number, outside: cells that are no number, and numbers that are not from 0 to 1 within rounding.
    """

    header: list[str]
    lines: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    parts: list[Values] = field(default_factory=list)
    ragged: Tally = field(default_factory=Tally)
    no_number: Tally = field(default_factory=Tally)
    outside: Tally = field(default_factory=Tally)

    @cached_property
    def values(self) -> Values:
        """float64 [n, 37] in the order of COLUMNS; NaN where there is no number, or no such column."""
        return np.concatenate([np.empty((0, len(COLUMNS))), *self.parts])

    @property
    def places(self) -> dict[int, int]:
        """Of each of the 37 columns that is there, by number, the place in a row."""
        return {number: self.header.index(name) for number, name in enumerate(COLUMNS) if name in self.header}

    def where(self, row: int) -> str:
        """A row's place, for a message."""
        return f"line {self.lines[row]}, {ID_COLUMN} {shown(self.names[row])}"


def shown(name: str) -> str:
    """A name in a message: short, and without what a terminal would obey."""
    return reprlib.repr(name)[1:-1]


def read_raw(path: Path) -> RawTable:
    """Read a CSV, or a zip that holds one, but stop at nothing that is wrong in its rows and columns.

    Raises:
        DataFault: no such file, no CSV in UTF-8, or no header line.
    """
    rows = read_rows(path)
    table = RawTable(read_header(rows, path))
    while chunk := list(islice(rows, CHUNK)):
        _take(table, chunk)
    return table


def _take(table: RawTable, chunk: Lines) -> None:
    width = len(table.header)
    ragged = [(line, row) for line, row in chunk if len(row) != width]
    table.ragged.add(len(ragged), (f"line {line}: {len(row)} for {width}" for line, row in ragged))
    whole = [(line, row) for line, row in chunk if len(row) == width]
    id_place = table.header.index(ID_COLUMN) if ID_COLUMN in table.header else 0
    first = len(table.lines)
    table.lines.extend(line for line, _ in whole)
    table.names.extend(row[id_place].strip() for _, row in whole)
    _take_values(table, first, [row for _, row in whole])


def _take_values(table: RawTable, first: int, rows: list[list[str]]) -> None:
    places = table.places
    numbers = _numbers([[row[place] for place in places.values()] for row in rows]).reshape(len(rows), len(places))
    no_number = np.isnan(numbers)
    for tally, wrong in (
        (table.no_number, no_number),
        (table.outside, ~no_number & ~((numbers >= -NOISE) & (numbers <= 1 + NOISE))),
    ):
        tally.add(int(wrong.sum()), (_cell(table, first, rows, *found) for found in np.argwhere(wrong).tolist()))
    values = np.full((len(rows), len(COLUMNS)), np.nan)
    values[:, list(places)] = numbers
    table.parts.append(values)


def _cell(table: RawTable, first: int, rows: list[list[str]], row: int, place: int) -> str:
    number, at = list(table.places.items())[place]
    return f"{table.where(first + row)}, {COLUMNS[number]}: {reprlib.repr(rows[row][at])}"


def _numbers(cells: list[list[str]]) -> Values:
    try:
        return np.array(cells, dtype=np.float64)
    except ValueError:
        return np.array([[_number(cell) for cell in row] for row in cells])


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")
