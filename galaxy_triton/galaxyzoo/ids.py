"""What names a galaxy: the integer its file or table row is called by, or a hash of any other name."""

import hashlib
import reprlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.system.errors import DataFault, expected

MAX_LENGTH = 255  # of a name: what file systems take; a store gives every name the room of its longest


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


def check_name(name: str, where: object) -> None:
    """Raise unless a name can stand in a table and in a store: short, and text that UTF-8 can write.

    Raises:
        DataFault: it has more than 255 characters or bytes that are no text.
    """
    # a file's name that is not UTF-8 comes as lone surrogates
    if len(name) > MAX_LENGTH or any("\ud800" <= letter <= "\udfff" for letter in name):
        want = f"a name in UTF-8 of at most {MAX_LENGTH} characters"
        raise DataFault(expected(want, reprlib.repr(name), where, "rename it"))


def check_unique(ids: Sequence[int], names: Sequence[str], where: object) -> None:
    """Raise unless every id, called `names` where it comes from, occurs once.

    Raises:
        DataFault: two names have one id; both are named.
    """
    seen: dict[int, str] = {}
    for number, name in zip(ids, names, strict=True):
        if number in seen:
            raise DataFault(expected("each id once", f"{seen[number]} and {name}", where, "remove one of the two"))
        seen[number] = name


def rows_of(ids: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """The row of each wanted id among `ids` [N >= 1], in any order, each once; -1 where it is absent. int64 [M]."""
    order = np.argsort(ids)
    place = np.searchsorted(ids, wanted, sorter=order)
    rows = order[np.minimum(place, len(ids) - 1)]
    return np.where(ids[rows] == wanted, rows, -1)
