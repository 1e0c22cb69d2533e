"""Ids of galaxies: the integer that a file or a table row is called by, or a hash of any other name."""

import hashlib
import re
import reprlib

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.system.errors import DataFault, expected

MAX_LENGTH = 255  # characters of a name, as in file systems; a store gives every name the room of its longest
# what a spreadsheet or pandas makes of an integer id: 20.0, 5.8772e+17; but 150.1234 is a name
NOT_AN_ID = re.compile(r"\s*|nan|[-+]?\d*\.(0*|\d*e[-+]?\d+)", re.IGNORECASE)


def galaxy_id(name: str) -> int:
    """The id of a file stem or a table's id cell: the integer it is, else the first 63 bits of SHA-256 of its UTF-8."""
    if is_integer(name):
        return int(name)
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def is_integer(name: str) -> bool:
    """Whether a name is an integer from 0 to 2^63 - 1 in decimal digits, and so its own id."""
    # 19 digits hold every integer below 2^63
    return name.isascii() and name.isdigit() and len(name) <= 19 and int(name) < 2**63


def is_cell_id(cell: str) -> bool:
    """Whether a table's id cell can be an id: not empty, not NaN, no integer written as a float, not too long."""
    return not NOT_AN_ID.fullmatch(cell) and len(cell) <= MAX_LENGTH


def check_name(name: str, where: object) -> None:
    """Raise unless a name can be stored in a table and in a store.

    Raises:
        DataFault: it has more than 255 characters, or bytes that are not UTF-8.
    """
    # Python reads a file name that is not UTF-8 as lone surrogates
    if len(name) > MAX_LENGTH or any("\ud800" <= letter <= "\udfff" for letter in name):
        want = f"a name in UTF-8 of at most {MAX_LENGTH} characters"
        raise DataFault(expected(want, reprlib.repr(name), where, "rename it"))


def rows_of(ids: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Find ids in an array of unique ids.

    Args:
        ids: int64 [n >= 1], unique, in any order.
        wanted: int64 [m].

    Returns:
        int64 [m]: the index in `ids` of each wanted id; -1 where it is absent.
    """
    order = np.argsort(ids)
    place = np.searchsorted(ids, wanted, sorter=order)
    rows = order[np.minimum(place, len(ids) - 1)]
    return np.where(ids[rows] == wanted, rows, -1)
