"""CSV tables by galaxy id: labels and predictions (Kaggle's 37 columns), and lists of ids."""

import csv
import io
import re
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from math import isnan
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.galaxyzoo.column_names import READABLE, SPREADS
from galaxy_triton.galaxyzoo.ids import check_name, check_unique, galaxy_id
from galaxy_triton.galaxyzoo.questions import COLUMNS, ID_COLUMN
from galaxy_triton.system.errors import DataFault, expected, reason
from galaxy_triton.system.untrusted_files import open_zip, read_entry, read_file, visible_names
from galaxy_triton.system.whole_files import whole_file

NOISE = 1e-6  # how far outside [0, 1] rounding may take a fraction; such values are clipped
# what a spreadsheet or pandas makes of an integer id in a column that was once numeric
NOT_AN_ID = re.compile(r"\s*|nan|[-+]?(\d+\.\d*|\.\d+)([eE][-+]?\d+)?", re.IGNORECASE)

Rows = Iterator[tuple[int, list[str]]]


def read_answers(path: Path) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """A table of labels or predictions -> ids int64 [N], answers float32 [N, 37] in [0, 1], in the file's order.

    A CSV, or a zip that holds one (or, among several, one of the zip's own name). Columns are found by name, in any
    order; those that `predict --layout wide` adds are passed over. An id that is not an integer is hashed as an image's
    stem is.

    Raises:
        DataFault: no such file or table; a column missing, unknown or doubled; a row too short or too long; an id
            doubled or no whole number; a value that is no fraction. The line and column are named.
    """
    rows = read_rows(path)
    header = read_header(rows, path)
    places = _places(header, path)
    names, answers = [], []
    for line, row in rows:
        where = f"{path}, line {line}"
        if len(row) != len(header):
            raise DataFault(expected(f"{len(header)} cells", len(row), where, "mend that line"))
        names.append(_name(row[places[ID_COLUMN]], where))
        values = [_fraction(row[places[column]], column, where) for column in COLUMNS]
        answers.append(np.array(values, dtype=np.float32))
    # in this order: an empty table is a fault before it is a shape
    ids = _unique_ids(names, path)
    return ids, np.stack(answers)


def read_ids(path: Path) -> NDArray[np.int64]:
    """The ids in the first column of a CSV with a header line -> int64 [N], in the file's order; the rest is ignored.

    Raises:
        DataFault: no such file, no header line, no id, an id doubled or no whole number.
    """
    return np.array([galaxy_id(name) for name in read_names(path)], dtype=np.int64)


def read_names(path: Path) -> list[str]:
    """As `read_ids`, but as they are written: whole numbers or file stems.

    Raises:
        DataFault: as `read_ids`.
    """
    rows = read_rows(path)
    read_header(rows, path)
    names = [_name(row[0], f"{path}, line {line}") for line, row in rows]
    _unique_ids(names, path)
    return names


def read_rows(path: Path) -> Rows:
    """The lines of a CSV (or of one in a zip) that are not empty, each with its number; the header comes first.

    Raises:
        DataFault: no such file, or no CSV in UTF-8.
    """
    try:
        text = _content(path).decode("utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        yield from ((reader.line_num, row) for row in reader if row)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataFault(expected("a CSV file in UTF-8", error, path, "save it as CSV, UTF-8")) from error


def read_header(rows: Rows, path: Path) -> list[str]:
    """The names in the first of a table's rows.

    Raises:
        DataFault: none there, or a number in place of the first.
    """
    _, header = next(rows, (0, []))
    if not header or header[0].isdigit():
        got = reprlib.repr(header[0]) if header else "an empty file"
        raise DataFault(expected(f"a header line ({ID_COLUMN}, ...)", got, f"{path}, line 1", "put one first"))
    return [name.strip() for name in header]


def write_answers(
    path: Path, chunks: Iterable[tuple[Sequence[int | str] | NDArray[np.int64], NDArray[np.floating]]]
) -> int:
    """Write Kaggle's submission format, a row an image, and return the number of rows.

    The file appears whole or not at all; memory does not grow with the answers. Values carry 7 significant digits:
    a relative error of at most 5e-7, float32's own being 6e-8.

    Args:
        path: The CSV to write; one that exists is replaced.
        chunks: (names, answers): ids or file stems, and float [n, 37] in [0, 1], the rows of the same images.

    Raises:
        DataFault: an answer that is no fraction, another shape, an id twice, no row, or a disk that is full.
    """

    def checked() -> Iterator[tuple[list[str], NDArray[np.floating]]]:
        for names, answers in chunks:
            texts = [str(name) for name in names]
            check_answers(texts, answers, path)
            yield texts, np.clip(answers, 0, 1)

    return write_cells(path, COLUMNS, checked())


def write_cells(
    path: Path, columns: Sequence[str], chunks: Iterable[tuple[Sequence[str], NDArray[np.floating]]]
) -> int:
    """As `write_answers`, under any columns: chunks are (names, float [n, columns]), and NaN becomes an empty cell.

    Raises:
        DataFault: an id twice, no row, or a disk that is full.
    """
    seen: set[int] = set()
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow((ID_COLUMN, *columns))
        for names, cells in chunks:
            _check_new(names, seen, path)
            for name, row in zip(names, cells.tolist(), strict=True):
                writer.writerow((name, *("" if isnan(value) else f"{value:.7g}" for value in row)))
        if not seen:
            raise DataFault(expected("answers to write", "none", path, "give at least one image"))
    return len(seen)


def check_answers(names: Sequence[str], answers: NDArray[np.floating], path: Path) -> None:
    """Raise unless there is a row of 37 fractions for each name.

    Raises:
        DataFault: another shape, or a value that is no fraction; its name and column are given, and `path`, the table
            that they were to stand in.
    """
    if answers.shape != (len(names), len(COLUMNS)):
        want = f"answers of shape {(len(names), len(COLUMNS))}"
        raise DataFault(expected(want, answers.shape, path, "give a row for each name"))
    wrong = np.argwhere(~((answers >= -NOISE) & (answers <= 1 + NOISE)))
    if len(wrong):
        row, column = wrong[0]
        where = f"{path}, {names[row]}, {COLUMNS[column]}"
        raise DataFault(expected("a fraction from 0 to 1", answers[row, column], where, "look into the model"))


def _content(path: Path) -> bytes:
    if path.suffix.lower() == ".zip":
        with open_zip(path) as archive:
            return read_entry(archive, _table_entry(visible_names(archive), path))
    try:
        return read_file(path)
    except OSError as error:
        raise DataFault(
            expected("a CSV file, or a zip that holds one", reason(error), path, "mend the path")
        ) from error


def _table_entry(names: list[str], path: Path) -> str:
    tables = [name for name in names if name.lower().endswith(".csv")]
    own = [name for name in tables if PurePosixPath(name).stem == path.stem]
    for candidates in (tables, own):
        if len(candidates) == 1:
            return candidates[0]
    raise DataFault(expected("one CSV file in the zip", f"{len(tables)}", path, "unpack it and give the one you mean"))


def _places(header: list[str], path: Path) -> dict[str, int]:
    wanted = (ID_COLUMN, *COLUMNS)
    missing = [name for name in wanted if name not in header]
    known = {*wanted, *READABLE, *SPREADS}
    extra = [name for place, name in enumerate(header) if name not in known or name in header[:place]]
    if missing or extra:
        got = f"{_listed('without', missing)}{' and ' * bool(missing and extra)}{_listed('also', extra)}"
        conditional = set(READABLE) <= set(header)
        do = (
            "predict with --layout wide"
            if conditional
            else "name the columns as Kaggle's training_solutions_rev1.csv does"
        )
        raise DataFault(expected(f"{ID_COLUMN} and the {len(COLUMNS)} answers as columns", got, f"{path}, line 1", do))
    return {name: header.index(name) for name in wanted}


def _listed(word: str, names: list[str]) -> str:
    shown = ", ".join(reprlib.repr(name) for name in names[:3])
    return f"{word} {shown}{', …' * (len(names) > 3)}" if names else ""


def _name(cell: str, where: str) -> str:
    name = cell.strip()
    if NOT_AN_ID.fullmatch(name):
        raise DataFault(expected("a whole number or a file's stem as id", reprlib.repr(cell), where, "mend that id"))
    check_name(name, where)
    return name


def _fraction(cell: str, column: str, where: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = float("nan")
    if not -NOISE <= value <= 1 + NOISE:
        got = reprlib.repr(cell)
        raise DataFault(expected("a fraction from 0 to 1", got, f"{where}, {column}", "mend that value"))
    return min(max(value, 0.0), 1.0)


def _unique_ids(names: list[str], path: Path) -> NDArray[np.int64]:
    if not names:
        raise DataFault(expected("rows below the header", "none", path, "give a table that has rows"))
    ids = [galaxy_id(name) for name in names]
    check_unique(ids, names, path)
    return np.array(ids, dtype=np.int64)


def _check_new(names: Sequence[str], seen: set[int], path: Path) -> None:
    for name in names:
        number = galaxy_id(name)
        if number in seen:
            raise DataFault(expected("each id once", f"{name} again", path, "predict each image once"))
        seen.add(number)
