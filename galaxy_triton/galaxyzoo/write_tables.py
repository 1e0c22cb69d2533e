"""Writing CSV tables by galaxy id, whole or not at all."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from math import isnan
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.galaxyzoo.ids import galaxy_id
from galaxy_triton.galaxyzoo.questions import COLUMNS, ID_COLUMN
from galaxy_triton.galaxyzoo.tables import are_fractions
from galaxy_triton.system.errors import DataFault, expected
from galaxy_triton.system.whole_files import whole_file


def write_answers(
    path: Path,
    chunks: Iterable[tuple[Sequence[int | str] | NDArray[np.int64], NDArray[np.floating]]],
    *,
    replace: bool = False,
) -> int:
    """Write Kaggle's submission format, a row for each image, and return the number of rows.

    The file appears whole or not at all; memory does not grow with the answers. Values have 7 significant digits:
    a relative error of at most 5e-7, where float32's own is 6e-8.

    Args:
        path: the CSV to write.
        chunks: (names, answers): ids or file stems, and float [n, 37] in [0, 1], the rows of the same images.
        replace: whether an existing file may be replaced.

    Raises:
        DataFault: an answer that is no fraction, another shape, an id twice, no row, or a disk that is full.
    """

    def checked() -> Iterator[tuple[list[str], NDArray[np.floating]]]:
        for names, answers in chunks:
            texts = [str(name) for name in names]
            check_answers(texts, answers, path)
            yield texts, np.clip(answers, 0, 1)

    return write_cells(path, COLUMNS, checked(), replace=replace)


def write_cells(
    path: Path,
    columns: Sequence[str],
    chunks: Iterable[tuple[Sequence[str], NDArray[np.floating]]],
    *,
    replace: bool = False,
) -> int:
    """As `write_answers`, with any columns: chunks are (names, float [n, columns]), and NaN becomes an empty cell.

    Raises:
        DataFault: an id twice, no row, or a disk that is full.
    """
    seen: set[int] = set()
    with whole_file(path, replace=replace) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow((ID_COLUMN, *columns))
        for names, cells in chunks:
            for name, row in zip(names, cells.tolist(), strict=True):
                number = galaxy_id(name)
                if number in seen:
                    raise DataFault(expected("each id once", f"{name} again", path, "predict each image once"))
                seen.add(number)
                writer.writerow((name, *("" if isnan(value) else f"{value:.7g}" for value in row)))
        if not seen:
            raise DataFault(expected("answers to write", "none", path, "give at least one image"))
    return len(seen)


def table_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A small table as the text of a CSV file."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows((header, *rows))
    return text.getvalue()


def check_answers(names: Sequence[str], answers: NDArray[np.floating], path: Path) -> None:
    """Raise unless `answers` is float [names, 37] of fractions.

    Raises:
        DataFault: another shape, or a value that is no fraction; the message gives its name and column, and `path`, the
            table to be written.
    """
    if answers.shape != (len(names), len(COLUMNS)):
        want = f"answers of shape {(len(names), len(COLUMNS))}"
        raise DataFault(expected(want, answers.shape, path, "give a row for each name"))
    wrong = np.argwhere(~are_fractions(answers))
    if len(wrong):
        row, column = wrong[0]
        where = f"{path}, {names[row]}, {COLUMNS[column]}"
        raise DataFault(expected("a fraction from 0 to 1", answers[row, column], where, "look into the model"))
