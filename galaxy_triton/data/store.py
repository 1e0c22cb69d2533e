"""A store: images and labels packed into one folder of plain arrays; opening one and checking it.

`store.json` describes the arrays and holds their SHA-256. Opening a store checks the hashes of ids and labels; pixels
are checked block by block when they are loaded. A hash detects damage, not intent: whoever makes a store can make the
hashes match, so types, shapes and values are checked too.
"""

import hashlib
import json
import reprlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.config.recipes import RECIPES
from galaxy_triton.config.schema import Preprocess
from galaxy_triton.data import store_arrays
from galaxy_triton.data.store_arrays import IDS, LABELS, NAMES, PIXELS, broken, check_hash
from galaxy_triton.galaxyzoo.ids import check_name, galaxy_id
from galaxy_triton.galaxyzoo.questions import COLUMNS
from galaxy_triton.system.errors import DataFault, UsageFault, expected, reason
from galaxy_triton.system.untrusted_files import read_json
from galaxy_triton.system.whole_files import partials

VERSION = 1  # of store.json and the arrays
BLOCK_BYTES = 64 * 2**20  # a block has as many whole images as fit
MANIFEST = "store.json"

Progress = Callable[[int, int], None]  # (images done, images in all)


@dataclass(frozen=True, eq=False)
class Store:
    """An open store. Row i of every array is the same image; rows are in the order of ascending ids."""

    path: Path
    preprocess: Preprocess
    pixels: NDArray[np.uint8]  # [N, S, S, 4], RGB and a zero; a read-only memory map, unverified (see read_pixels)
    ids: NDArray[np.int64]  # [N]
    labels: NDArray[np.float32] | None  # [N, 37], NaN in rows without a label; None: no row has a label
    names: NDArray[np.str_] | None  # [N], the file stems; None: all stems are the ids
    blocks: tuple[str, ...]  # SHA-256 of each block of pixels
    hash: str  # SHA-256 over everything in store.json, so over all arrays and the preprocessing


def open_store(path: Path) -> Store:
    """Open a store, and check its format, the type, shape and values of each array, and all hashes but the pixels'.

    Raises:
        DataFault: no store, a store of another format version, or a file that is missing, short, changed since it was
            packed, or not an array as `pack` writes it.
    """
    preprocess, images, hashes, blocks, known = _read_manifest(path)
    pixels = store_arrays.map_pixels(path / PIXELS, images, preprocess.size)
    arrays = {name: store_arrays.read_array(path / name, digest, images) for name, digest in hashes.items()}
    if NAMES in arrays:
        _check_names(arrays[NAMES], arrays[IDS], path / NAMES)
    return Store(path, preprocess, pixels, arrays[IDS], arrays.get(LABELS), arrays.get(NAMES), blocks, known)


def require_labels(store: Store) -> NDArray[np.float32]:
    """The labels of a store, float32 [N, 37].

    Raises:
        DataFault: the store has no labels.
    """
    if store.labels is None:
        raise DataFault(expected("a store with labels", "one without", store.path, "pack it again with --labels"))
    return store.labels


def require_preprocess(store: Store, wanted: Preprocess) -> None:
    """Raise unless a store was packed with this frame, crop and size.

    Raises:
        DataFault: it was packed with others; both are named.
    """
    if wanted == store.preprocess:
        return
    recipes = [f"--recipe {name}" for name, config in RECIPES.items() if config.preprocess == store.preprocess]
    fields = asdict(store.preprocess).items() - asdict(wanted).items()
    settings = " ".join(f"--set preprocess.{name}={value}" for name, value in sorted(fields))
    do = f"pack with --crop {wanted.crop} --size {wanted.size}, or train on this store with"
    raise DataFault(
        expected(f"a store of {wanted}", store.preprocess, store.path, f"{do} {' or '.join(recipes) or settings}")
    )


def labelled_rows(store: Store) -> NDArray[np.int64]:
    """The rows with a label, int64, ascending."""
    if store.labels is None:
        return np.empty(0, np.int64)
    return np.flatnonzero(~np.isnan(store.labels[:, 0])).astype(np.int64)


def read_pixels(store: Store, progress: Progress = lambda done, total: None) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Read a store's pixels block by block, in order, and check each block's hash.

    Yields:
        (first row, uint8 [rows, S, S, 4]): a new array of at most 64 MiB, or of one image.

    Raises:
        DataFault: a block has changed since it was packed; the message gives its number and rows.
    """
    for number in range(len(store.blocks)):
        start, block = read_block(store, number)
        yield start, block
        progress(start + len(block), len(store.ids))


def read_block(store: Store, number: int) -> tuple[int, NDArray[np.uint8]]:
    """Read one block of a store's pixels and check its hash: (first row, uint8 [rows, S, S, 4]).

    Raises:
        DataFault: as `read_pixels`.
    """
    size = store.preprocess.size
    start = number * block_rows(size)
    stop = min(start + block_rows(size), len(store.ids))
    block = np.empty((stop - start, size, size, 4), dtype=np.uint8)
    with (store.path / PIXELS).open("rb") as handle:
        handle.seek(store_arrays.HEADER_BYTES + start * size * size * 4)
        handle.readinto(block.data)
    where = f"{store.path / PIXELS}, block {number}, rows {start} to {stop - 1}"
    check_hash(hashlib.sha256(block.data).hexdigest(), store.blocks[number], where)
    return start, block


def verify(store: Store, progress: Progress = lambda done, total: None) -> None:
    """Check the pixels; `open_store` has checked all else.

    Raises:
        DataFault: as `read_pixels`.
    """
    for _ in read_pixels(store, progress):
        pass


def block_rows(size: int) -> int:
    """The number of images of size x size in a block."""
    return max(1, BLOCK_BYTES // (size * size * 4))


def manifest_text(values: dict[str, Any]) -> str:
    """The text of store.json: the values and their hash."""
    return json.dumps({**values, "hash": _manifest_hash(values)}, indent=1) + "\n"


class _Manifest(NamedTuple):
    """The contents of store.json."""

    preprocess: Preprocess
    images: int
    hashes: dict[str, str]  # of each array but the pixels
    blocks: tuple[str, ...]  # of the pixels
    hash: str


def _read_manifest(path: Path) -> _Manifest:
    file = path / MANIFEST
    try:
        values = read_json(file)
        version, known = values["version"], values.pop("hash")
        if version != VERSION:
            do = "pack it again, or use the release that wrote it"
            raise DataFault(expected(f"store format version {VERSION}", f"version {reprlib.repr(version)}", file, do))
        check_hash(_manifest_hash(values), known, file)
        _require(values["columns"] == list(COLUMNS), f"the columns {COLUMNS[0]} to {COLUMNS[-1]}")
        preprocess, images = Preprocess(**values["preprocess"]), values["images"]
        pixels = (images, *asdict(preprocess).values())
        _require(all(type(number) is int and number >= 1 for number in pixels), "whole numbers of images and pixels")
        hashes, blocks = dict(values["hashes"]), tuple(values["blocks"])
        complete = {IDS} <= set(hashes) <= set(store_arrays.ARRAYS)
        _require(complete, f"a hash of {IDS}, and at most of {LABELS} and {NAMES}")
        _require(len(blocks) == -(-images // block_rows(preprocess.size)), "a hash for each block")
        return _Manifest(preprocess, images, hashes, blocks, known)
    except OSError as error:
        half = partials(path)[:1]
        leftover = f" beside {half[0]}, of a `pack` that was stopped or is not done" if half else ""
        raise DataFault(expected("a store", f"{reason(error)}{leftover}", path, "make one with `pack`")) from error
    except (ValueError, KeyError, TypeError, RecursionError, UsageFault) as error:
        raise broken("the store.json of a store", reason(error), file) from error


def _require(holds: bool, part: str) -> None:
    if not holds:
        raise ValueError(f"one without {part}")


def _manifest_hash(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _check_names(names: NDArray[np.str_], ids: NDArray[np.int64], file: Path) -> None:
    for name, number in zip(names.tolist(), ids.tolist(), strict=True):
        check_name(name, file)
        if galaxy_id(name) != number:
            raise broken("the names of the store's ids", f"{name!r} for {number}", file)
