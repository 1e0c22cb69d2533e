"""Packing images and a table of labels into a store, written whole or not at all."""

import hashlib
import io
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.config.schema import Preprocess
from galaxy_triton.data.images import Entry, ImageSource, decode_images, measure_frame, open_images
from galaxy_triton.data.store import MANIFEST, VERSION, Progress, block_rows, manifest_text
from galaxy_triton.data.store_arrays import IDS, LABELS, NAMES, PIXELS, pixels_header
from galaxy_triton.galaxyzoo.ids import is_integer, rows_of
from galaxy_triton.galaxyzoo.questions import COLUMNS
from galaxy_triton.galaxyzoo.tables import read_answers
from galaxy_triton.system.errors import DataFault, expected
from galaxy_triton.system.whole_files import whole_folder

FILTER = "Pillow BILINEAR, antialiased, no draft"  # tells readers of store.json how `decode` resizes

Table = tuple[NDArray[np.int64], NDArray[np.float32]]


@dataclass(frozen=True)
class PackSummary:
    """Counts of a finished `pack`."""

    preprocess: Preprocess
    images: int
    labelled: int
    labels_without_images: int
    converted: dict[str, int]  # Pillow's mode -> images that were not RGB and became so
    skipped: tuple[str, ...]  # the message of each bad image that was left out

    @property
    def images_without_labels(self) -> int:
        """The number of packed images without a row in the table."""
        return self.images - self.labelled


def pack(
    images: Path,
    labels: Path | None,
    out: Path,
    *,
    size: int = 160,
    crop: int | None = None,
    workers: int,
    skip_bad: bool = False,
    progress: Progress = lambda done, total: None,
) -> PackSummary:
    """Pack a folder or zip of images, and their labels, into the new store `out`.

    The store's bytes depend only on the images, the labels, `size` and `crop`: not on the workers, nor on whether the
    images come in a zip. Except for ids and labels, memory does not grow with the number of images.

    Args:
        images: as for `open_images`.
        labels: as for `read_answers`; None packs images alone.
        out: the store's folder; it must not exist.
        size: side of the stored images, pixels.
        crop: side of the centre crop, pixels of the source; None takes the whole frame.
        workers: decoding threads.
        skip_bad: leave bad images out and report them, rather than stop at the first.
        progress: called after each image with (images packed, images in the source).

    Raises:
        UsageFault: a crop larger than the frame, an impossible size, or no worker.
        DataFault: `out` exists or cannot be written; a fault of `open_images`, `read_answers` or `decode_images`; the
            table has a label for none of the images; every image is bad.
    """
    table = None if labels is None else read_answers(labels)
    with open_images(images) as source, whole_folder(out) as folder:
        _check_overlap(source, table, labels)
        frame = measure_frame(source)
        preprocess = Preprocess(frame, frame if crop is None else crop, size)
        pixels = _write_pixels(folder / PIXELS, source, preprocess, workers, skip_bad, progress)
        ids = np.array([entry.id for entry in pixels.kept], dtype=np.int64)
        rows = _label_rows(ids, table)
        arrays = {IDS: ids, **_labels(rows, table), **_names(pixels.kept)}
        hashes = {name: _save(folder / name, array) for name, array in arrays.items()}
        labelled = int((rows >= 0).sum())
        _write_manifest(folder, preprocess, len(ids), labelled, hashes, pixels.blocks)
    return PackSummary(
        preprocess=preprocess,
        images=len(ids),
        labelled=labelled,
        labels_without_images=len(table[0]) - labelled if table is not None else 0,
        converted={mode: number for mode, number in pixels.modes.items() if mode != "RGB"},
        skipped=tuple(str(fault) for fault in pixels.bad),
    )


class _Pixels:
    """Writes pixels.npy image by image, and hashes it block by block.

    kept: the images written. modes: their number by Pillow mode. bad: why images were left out. blocks: SHA-256 of each
    block.
    """

    def __init__(self, handle: BinaryIO, size: int) -> None:
        self.kept: list[Entry] = []
        self.modes: Counter[str] = Counter()
        self.bad: list[DataFault] = []
        self.blocks: list[str] = []
        self._handle, self._size, self._hash = handle, size, hashlib.sha256()
        self._pixels = np.zeros((size, size, 4), dtype=np.uint8)
        handle.write(pixels_header(0, size))

    def add(self, entry: Entry, rgb: NDArray[np.uint8], mode: str) -> None:
        self._pixels[..., :3] = rgb
        self._handle.write(self._pixels.data)
        self._hash.update(self._pixels.data)
        self.kept.append(entry)
        self.modes[mode] += 1
        if len(self.kept) % block_rows(self._size) == 0:
            self._end_block()

    def finish(self) -> None:
        if len(self.kept) % block_rows(self._size):
            self._end_block()
        # only now is the count known: bad images may have been left out
        self._handle.seek(0)
        self._handle.write(pixels_header(len(self.kept), self._size))

    def _end_block(self) -> None:
        self.blocks.append(self._hash.hexdigest())
        self._hash = hashlib.sha256()


def _write_pixels(
    file: Path, source: ImageSource, preprocess: Preprocess, workers: int, skip_bad: bool, progress: Progress
) -> _Pixels:
    with file.open("wb") as handle:
        pixels = _Pixels(handle, preprocess.size)
        on_bad = pixels.bad.append if skip_bad else None
        with closing(decode_images(source, preprocess, workers, on_bad)) as images:
            for entry, rgb, mode in images:
                pixels.add(entry, rgb, mode)
                progress(len(pixels.kept), len(source.entries))
        pixels.finish()
    if not pixels.kept:
        raise DataFault(expected("a good image", f"{len(pixels.bad)} bad ones", source.path, str(pixels.bad[0])))
    return pixels


def _check_overlap(source: ImageSource, table: Table | None, labels: Path | None) -> None:
    ids = np.array([entry.id for entry in source.entries], dtype=np.int64)
    if table is not None and (_label_rows(ids, table) < 0).all():
        got = f"ids such as {table[0][0]}, while the images' are such as {ids[0]}"
        raise DataFault(expected(f"labels of the images in {source.path}", got, labels, "give these images' table"))


def _label_rows(ids: NDArray[np.int64], table: Table | None) -> NDArray[np.int64]:
    """The table's row of each image; -1 where it has none."""
    return np.full(len(ids), -1) if table is None else rows_of(table[0], ids)


def _labels(rows: NDArray[np.int64], table: Table | None) -> dict[str, NDArray[Any]]:
    if table is None or (rows < 0).all():
        return {}
    # -1 takes some other image's row, which is then blanked
    return {LABELS: np.where(rows[:, None] >= 0, table[1][rows], np.float32("nan"))}


def _names(entries: Sequence[Entry]) -> dict[str, NDArray[Any]]:
    if all(is_integer(entry.stem) for entry in entries):
        return {}
    return {NAMES: np.array([entry.stem for entry in entries])}


def _save(file: Path, array: NDArray[Any]) -> str:
    """Write an array and return the SHA-256 of the file."""
    data = io.BytesIO()
    np.save(data, array, allow_pickle=False)
    # not getbuffer(): held by the traceback of a failed write, it makes CPython's garbage collector crash
    file.write_bytes(data.getvalue())
    return hashlib.sha256(data.getvalue()).hexdigest()


def _write_manifest(
    folder: Path, preprocess: Preprocess, images: int, labelled: int, hashes: dict[str, str], blocks: list[str]
) -> None:
    values = {
        "version": VERSION,
        "preprocess": asdict(preprocess),
        "filter": FILTER,
        "images": images,
        "labelled": labelled,
        "columns": COLUMNS,
        "hashes": hashes,
        "blocks": blocks,
    }
    (folder / MANIFEST).write_text(manifest_text(values))
