"""A store: images and labels packed into one directory of plain arrays; opening, checking and showing one.

`store.json` says what the arrays are and carries their SHA-256, so a store that opens has the ids and labels that were
packed; pixels are checked block by block when they are loaded.
"""

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from galaxy_triton.config import Preprocess, require
from galaxy_triton.errors import DataFault, expected
from galaxy_triton.files import partial, reason
from galaxy_triton.questions import PARENTS, QUESTIONS, SPANS

VERSION = 1  # of store.json and the arrays
BLOCK_BYTES = 64 * 2**20  # a block is the whole images that fit
HEADER_BYTES = 128  # of pixels.npy
MANIFEST, PIXELS, IDS, LABELS, NAMES = "store.json", "pixels.npy", "ids.npy", "labels.npy", "names.npy"

Progress = Callable[[int, int], None]  # (images done, images in all)


@dataclass(frozen=True, eq=False)
class Store:
    """An open store. Rows of all arrays are the same images, by ascending id."""

    path: Path
    preprocess: Preprocess
    pixels: NDArray[np.uint8]  # [N, S, S, 4], RGB and a zero; a read-only map, not verified: see verified_pixels
    ids: NDArray[np.int64]  # [N]
    labels: NDArray[np.float32] | None  # [N, 37], NaN in rows without a label; None: no row has one
    names: NDArray[np.str_] | None  # [N], the file stems; None: they are the ids
    blocks: tuple[str, ...]  # SHA-256 of each block of pixels
    hash: str  # SHA-256 over everything in store.json, so over all arrays and the preprocessing

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Which images have a label: bool [N]."""
        if self.labels is None:
            return np.zeros(len(self.ids), dtype=np.bool_)
        return ~np.isnan(self.labels[:, 0])


@dataclass(frozen=True)
class Description:
    """What a store holds, and how well its labels obey the decision tree."""

    images: int
    size: int  # side of an image, pixels
    bytes: int  # of all its files
    labelled: int
    violations: dict[str, float]  # question -> largest |sum of its answers - its parent's answer, or 1|; no label: {}


def open_store(path: Path) -> Store:
    """Open a store after checking its format, the shape of each array, and the hashes of all but the pixels.

    Raises:
        DataFault: no store, one of another format version, or a file that is missing, short or not as packed.
    """
    manifest = _manifest(path)
    hashes, preprocess = manifest["hashes"], Preprocess(**manifest["preprocess"])
    arrays = {name: _array(path / name, hashes[name]) for name in hashes}
    return Store(
        path=path,
        preprocess=preprocess,
        pixels=_map(path / PIXELS, manifest["images"], preprocess.size),
        ids=arrays[IDS],
        labels=arrays.get(LABELS),
        names=arrays.get(NAMES),
        blocks=tuple(manifest["blocks"]),
        hash=manifest["hash"],
    )


def verified_pixels(
    store: Store, progress: Progress = lambda done, total: None
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The blocks of a store's pixels in order: (first row, uint8 [rows, S, S, 4]), each read and checked by its hash.

    A block is a fresh array of at most 64 MiB (or one image); nothing else is held.

    Raises:
        DataFault: a block is not as packed; it and its rows are named.
    """
    count, size = len(store.ids), store.preprocess.size
    rows = block_rows(size)
    with (store.path / PIXELS).open("rb") as handle:
        handle.seek(HEADER_BYTES)
        for number, known in enumerate(store.blocks):
            start, stop = number * rows, min((number + 1) * rows, count)
            block = np.empty((stop - start, size, size, 4), dtype=np.uint8)
            handle.readinto(block.data)
            where = f"{store.path / PIXELS}, block {number}, rows {start} to {stop - 1}"
            _check_hash(hashlib.sha256(block.data).hexdigest(), known, where)
            yield start, block
            progress(stop, count)


def verify(store: Store, progress: Progress = lambda done, total: None) -> None:
    """Read all pixels and check each block (`open_store` has checked the rest).

    Raises:
        DataFault: a block is not as packed.
    """
    for _ in verified_pixels(store, progress):
        pass


def describe(store: Store) -> Description:
    """Count what a store holds and check its labels against the tree."""
    labelled = store.labelled
    return Description(
        images=len(store.ids),
        size=store.preprocess.size,
        bytes=folder_bytes(store.path),
        labelled=int(labelled.sum()),
        violations=tree_violations(store.labels[labelled]) if store.labels is not None else {},
    )


def tree_violations(labels: NDArray[np.float32]) -> dict[str, float]:
    """For each question, the largest |sum of its answers - its parent's answer (or 1)| over labels [N >= 1, 37]."""
    exact = labels.astype(np.float64)
    parents = [1.0 if parent is None else exact[:, parent] for parent in PARENTS]
    sums = [exact[:, span].sum(axis=1) for span in SPANS]
    return {
        question.name: float(np.abs(total - parent).max())
        for question, total, parent in zip(QUESTIONS, sums, parents, strict=True)
    }


def montage(store: Store, count: int, columns: int) -> Image.Image:
    """`count` images (or all, where there are fewer), evenly spaced from the first id to the last, in rows.

    Raises:
        UsageFault: no image or no column asked for.
    """
    require(count >= 1, "the number of images", "at least 1", count)
    require(columns >= 1, "the number of columns", "at least 1", columns)
    size = store.preprocess.size
    shown = np.linspace(0, len(store.ids) - 1, min(count, len(store.ids))).round().astype(np.int64)
    columns = min(columns, len(shown))
    sheet = Image.new("RGB", (columns * size, -(-len(shown) // columns) * size))
    for place, row in enumerate(shown):
        tile = Image.fromarray(np.ascontiguousarray(store.pixels[row, :, :, :3]))
        sheet.paste(tile, (place % columns * size, place // columns * size))
    return sheet


def block_rows(size: int) -> int:
    """How many images of size x size make a block."""
    return max(1, BLOCK_BYTES // (size * size * 4))


def pixels_header(count: int, size: int) -> bytes:
    """The head of pixels.npy in NumPy's format 1.0 (NEP 1), padded to 128 bytes whatever the count.

    NumPy's own padding depends on its version; ours must be written again when the count is known.
    """
    magic = b"\x93NUMPY\x01\x00" + (HEADER_BYTES - 10).to_bytes(2, "little")
    text = str({"descr": "|u1", "fortran_order": False, "shape": (count, size, size, 4)})
    return magic + text.ljust(HEADER_BYTES - len(magic) - 1).encode() + b"\n"


def manifest_text(values: dict[str, Any]) -> str:
    """store.json: the values and their hash."""
    return json.dumps({**values, "hash": _manifest_hash(values)}, indent=1) + "\n"


def folder_bytes(folder: Path) -> int:
    """The bytes of a folder's files."""
    return sum(file.stat().st_size for file in folder.iterdir())


def _manifest(path: Path) -> dict[str, Any]:
    file = path / MANIFEST
    try:
        values = json.loads(file.read_bytes())
        version, known = values["version"], values["hash"]
    except OSError as error:
        raise DataFault(expected("a store", _unopened(path, error), path, "make one with `pack`")) from error
    except (ValueError, TypeError, KeyError) as error:
        raise _broken("the store.json of a store", "something else", file) from error
    if version != VERSION:
        do = "pack it again, or use the release that wrote it"
        raise DataFault(expected(f"store format version {VERSION}", f"version {version}", file, do))
    _check_hash(_manifest_hash({key: value for key, value in values.items() if key != "hash"}), known, file)
    return dict(values)


def _unopened(path: Path, error: OSError) -> str:
    leftover = f" beside {partial(path)}, left by a `pack` that was stopped" * partial(path).exists()
    return f"{reason(error)}{leftover}"


def _manifest_hash(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _array(file: Path, known: str) -> NDArray[Any]:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise _broken("an array of the store", reason(error), file) from error
    _check_hash(hashlib.sha256(data).hexdigest(), known, file)
    array: NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
    return array


def _map(file: Path, count: int, size: int) -> NDArray[np.uint8]:
    want = HEADER_BYTES + count * size * size * 4
    try:
        with file.open("rb") as handle:
            header, got = handle.read(HEADER_BYTES), file.stat().st_size
    except OSError as error:
        raise _broken("the pixels of the store", reason(error), file) from error
    # a map of a short file would end the process by SIGBUS
    if got != want:
        raise _broken(f"{want} bytes", f"{got}", file)
    if header != pixels_header(count, size):
        raise _broken(f"{count} images of {size} x {size} x 4 bytes", "another header", file)
    return np.memmap(file, dtype=np.uint8, mode="r", offset=HEADER_BYTES, shape=(count, size, size, 4))


def _check_hash(got: str, known: str, where: object) -> None:
    if got != known:
        raise _broken(f"the bytes that were packed (SHA-256 {known[:12]})", f"others ({got[:12]})", where)


def _broken(want: str, got: str, where: object) -> DataFault:
    return DataFault(expected(want, got, where, "copy the store again or pack it again"))
