"""What must hold of the ids of a table: by themselves, and beside those of images, a store or another table."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from galaxy_triton.data.images import is_image, open_images
from galaxy_triton.data.store import MANIFEST, open_store
from galaxy_triton.galaxyzoo.ids import MAX_LENGTH, galaxy_id, is_integer
from galaxy_triton.galaxyzoo.raw_table import RawTable, shown
from galaxy_triton.galaxyzoo.rules import Finding, finding
from galaxy_triton.galaxyzoo.tables import NOT_AN_ID, read_names
from galaxy_triton.system.untrusted_files import open_zip, visible_names

Names = dict[int, str]  # id -> what it is called where it comes from, in the order there


def ids(table: RawTable, submission: bool) -> Iterator[Finding]:
    """An id in each row, and each once; names that are no whole numbers are no part of a submission."""
    absent = (table.where(row) for row, name in enumerate(table.names) if not _is_name(name))
    yield finding("ids: one in each row", absent)
    numbers = _numbers(table)
    words = (table.where(row) for row in numbers if not is_integer(table.names[row]))
    yield finding("ids: whole numbers", words, submission)
    first = _first_rows(numbers)
    again = ((row, first[number]) for row, number in numbers.items() if first[number] != row)
    yield finding("ids: each once", (f"{table.where(row)}: as in line {table.lines[one]}" for row, one in again))


def ascending(table: RawTable) -> Iterator[Finding]:
    """The order of Kaggle's tables."""
    falls = (row for (_, before), (row, number) in pairwise(_numbers(table).items()) if number < before)
    yield finding("ids: ascending", map(table.where, falls), fault=False)


def like(table: RawTable, other: Path) -> Iterator[Finding]:
    """All ids of a store, of images or of another table and no others; and in their order.

    Raises:
        DataFault: `other` is none of these.
    """
    wanted, rows = _names_in(other), _first_rows(_numbers(table))
    missing = (f"without {shown(name)}" for number, name in wanted.items() if number not in rows)
    yield finding(f"ids: all of {other}", missing)
    extra = (table.where(row) for number, row in rows.items() if number not in wanted)
    yield finding(f"ids: none but those of {other}", extra)
    have, want = [number for number in rows if number in wanted], [number for number in wanted if number in rows]
    moved = (
        f"{table.where(rows[number])}: for {shown(wanted[there])}"
        for number, there in zip(have, want, strict=True)
        if number != there
    )
    yield finding(f"ids: in the order of {other}", moved, fault=False)


def _names_in(path: Path) -> Names:
    """The ids of a store, of a folder or zip of images, or of the first column of a table.

    Raises:
        DataFault: it is none of these.
    """
    if (path / MANIFEST).is_file():
        store = open_store(path)
        return dict(zip(store.ids.tolist(), store.called(), strict=True))
    if path.is_dir() or _holds_images(path):
        with open_images(path) as source:
            return {entry.id: entry.stem for entry in source.entries}
    return {galaxy_id(name): name for name in read_names(path)}


def _holds_images(path: Path) -> bool:
    if path.suffix.lower() != ".zip":
        return False
    with open_zip(path) as archive:
        return any(map(is_image, visible_names(archive)))


def _numbers(table: RawTable) -> dict[int, int]:
    """The id of each row that has one."""
    return {row: galaxy_id(name) for row, name in enumerate(table.names) if _is_name(name)}


def _first_rows(numbers: dict[int, int]) -> dict[int, int]:
    """The first row of each id."""
    first: dict[int, int] = {}
    for row, number in numbers.items():
        first.setdefault(number, row)
    return first


def _is_name(name: str) -> bool:
    return not NOT_AN_ID.fullmatch(name) and len(name) <= MAX_LENGTH
