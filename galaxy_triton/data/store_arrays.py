"""Reading the arrays of a store from disk: each must have the type, shape and values that `pack` writes."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.galaxyzoo.questions import COLUMNS
from galaxy_triton.system.errors import DataFault, expected, reason
from galaxy_triton.system.untrusted_files import read_file, require_regular

PIXELS, IDS, LABELS, NAMES = "pixels.npy", "ids.npy", "labels.npy", "names.npy"
HEADER_BYTES = 128  # of pixels.npy


def read_array(file: Path, known: str, images: int) -> NDArray[Any]:
    """Read one of ARRAYS, by the name of its file; objects are never unpickled.

    Args:
        known: the SHA-256 that the file must have.
        images: the length of the first axis.

    Raises:
        DataFault: the file is missing, has another hash, or does not hold the array that ARRAYS describes.
    """
    want, is_right = ARRAYS[file.name]
    try:
        data = read_file(file, limit=None)
        check_hash(hashlib.sha256(data).hexdigest(), known, file)
        # not np.load, which takes archives and pickles too
        array: NDArray[Any] = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except DataFault:
        raise
    # NumPy raises nearly anything on a header that it did not write
    except Exception as error:
        raise broken("an array of the store", reason(error), file) from error
    if not is_right(array, images):
        raise broken(f"{images} {want}", f"{array.dtype} {list(array.shape)} with such values", file)
    return array


def map_pixels(file: Path, images: int, size: int, mode: Literal["r", "c"] = "r") -> NDArray[np.uint8]:
    """Map pixels.npy into memory, uint8 [images, size, size, 4]; only the header is checked.

    Args:
        mode: "r" for read-only, "c" for copy-on-write, as torch wants writable memory. The file never changes.

    Raises:
        DataFault: the file is missing, of another length, or has another header.
    """
    want = HEADER_BYTES + images * size * size * 4
    try:
        require_regular(file)
        with file.open("rb") as handle:
            header, got = handle.read(HEADER_BYTES), file.stat().st_size
    except OSError as error:
        raise broken("the pixels of the store", reason(error), file) from error
    # a map of a short file would end the process by SIGBUS
    if got != want:
        raise broken(f"{want} bytes", f"{got}", file)
    if header != pixels_header(images, size):
        raise broken(f"{images} images of {size} x {size} x 4 bytes", "another header", file)
    return np.memmap(file, dtype=np.uint8, mode=mode, offset=HEADER_BYTES, shape=(images, size, size, 4))


def pixels_header(images: int, size: int) -> bytes:
    """The header of pixels.npy in NumPy's format 1.0 (NEP 1), always 128 bytes.

    NumPy's own padding depends on its version; ours has to be overwritten in place when the count is known.
    """
    magic = b"\x93NUMPY\x01\x00" + (HEADER_BYTES - 10).to_bytes(2, "little")
    text = str({"descr": "|u1", "fortran_order": False, "shape": (images, size, size, 4)})
    return magic + text.ljust(HEADER_BYTES - len(magic) - 1).encode() + b"\n"


def check_hash(got: str, known: str, where: object) -> None:
    """Raise unless a file's SHA-256 is the known one.

    Raises:
        DataFault: the two differ.
    """
    if got != known:
        raise broken(f"the bytes that were packed (SHA-256 {str(known)[:12]})", f"others ({got[:12]})", where)


def broken(want: str, got: str, where: object) -> DataFault:
    """The exception for a damaged store."""
    return DataFault(expected(want, got, where, "copy the store again or pack it again"))


def _are_ids(array: NDArray[Any], images: int) -> bool:
    right = array.dtype == np.int64 and array.shape == (images,)
    return right and bool(array[0] >= 0 and (array[1:] > array[:-1]).all())


def _are_labels(array: NDArray[Any], images: int) -> bool:
    if array.dtype != np.float32 or array.shape != (images, len(COLUMNS)):
        return False
    fractions, missing = (array >= 0) & (array <= 1), np.isnan(array)
    return bool((fractions.all(axis=1) | missing.all(axis=1)).all())


def _are_names(array: NDArray[Any], images: int) -> bool:
    return array.dtype.kind == "U" and array.dtype.isnative and array.shape == (images,)


# File name -> (description of its rows, test of an array for a number of images).
ARRAYS: dict[str, tuple[str, Callable[[NDArray[Any], int], bool]]] = {
    IDS: ("ids, int64, ascending from 0", _are_ids),
    LABELS: (f"rows of {len(COLUMNS)} fractions or of NaN, float32", _are_labels),
    NAMES: ("names, text", _are_names),
}
