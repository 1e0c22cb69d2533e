"""Packing images and a table of labels into a store, written whole or not at all."""

import hashlib
import io
from collections import Counter
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.config.schema import Preprocess
from galaxy_triton.data.images import Entry, ImageSource, decode_images, measure_frame, open_images
from galaxy_triton.data.store import MANIFEST, VERSION, Progress, block_rows, manifest_text
from galaxy_triton.data.store_arrays import IDS, LABELS, NAMES, PIXELS, pixels_header
from galaxy_triton.galaxyzoo.ids import rows_of
from galaxy_triton.galaxyzoo.questions import COLUMNS
from galaxy_triton.galaxyzoo.tables import read_answers, read_names, shown
from galaxy_triton.galaxyzoo.tree import ROUNDING, gaps
from galaxy_triton.system.errors import DataFault, expected
from galaxy_triton.system.output_paths import require_new_folder
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
    off_tree: int  # labels in which a question's answers do not sum to its parent's answer
    converted: dict[str, int]  # Pillow's mode -> images that were not RGB and became so
    skipped: tuple[str, ...]  # the message of each bad image that was left out


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
        out: the store's folder, absent or empty.
        size: side of the stored images, pixels.
        crop: side of the centre crop, pixels of the source; None takes the whole frame.
        workers: decoding threads.
        skip_bad: leave bad images out and report them, rather than stop at the first.
        progress: called after each image with (images packed, images in the source).

    Raises:
        UsageFault: `out` exists; a crop larger than the frame, an impossible size, or no worker.
        DataFault: `out` cannot be written; a fault of `open_images`, `read_answers` or `decode_images`; the
            table has a label for none of the images; every image is bad.
    """
    require_new_folder(out, "--out")
    table = None if labels is None else read_answers(labels)
    with open_images(images) as source, whole_folder(out) as folder:
        _check_overlap(source, table, labels)
        frame = measure_frame(source)
        preprocess = Preprocess(frame, frame if crop is None else crop, size)
        packed = _write_pixels(folder / PIXELS, source, preprocess, workers, skip_bad, progress)
        arrays = _arrays(packed.entries, table)
        known = arrays[LABELS][~np.isnan(arrays[LABELS][:, 0])] if LABELS in arrays else np.empty((0, len(COLUMNS)))
        labelled = len(known)
        manifest = {
            "version": VERSION,
            "preprocess": asdict(preprocess),
            "filter": FILTER,
            "images": len(packed.entries),
            "labelled": labelled,
            "columns": COLUMNS,
            "hashes": {name: _save(folder / name, array) for name, array in arrays.items()},
            "blocks": packed.blocks,
        }
        (folder / MANIFEST).write_text(manifest_text(manifest))
    return PackSummary(
        preprocess=preprocess,
        images=len(packed.entries),
        labelled=labelled,
        labels_without_images=len(table[0]) - labelled if table is not None else 0,
        off_tree=int((gaps(known) > ROUNDING).any(axis=1).sum()),
        converted={mode: number for mode, number in packed.modes.items() if mode != "RGB"},
        skipped=tuple(map(str, packed.bad)),
    )


class _Packed(NamedTuple):
    """The entries whose images were written, their number by Pillow mode, bad images' faults, and blocks' SHA-256."""

    entries: list[Entry]
    modes: Counter[str]
    bad: list[DataFault]
    blocks: list[str]


def _write_pixels(
    file: Path, source: ImageSource, preprocess: Preprocess, workers: int, skip_bad: bool, progress: Progress
) -> _Packed:
    """Write pixels.npy image by image."""
    entries, modes, bad, blocks = list[Entry](), Counter[str](), list[DataFault](), []
    size = preprocess.size
    pixels = np.zeros((size, size, 4), dtype=np.uint8)
    decoded = decode_images(source, preprocess, workers, bad.append if skip_bad else None)
    with file.open("wb") as handle, closing(decoded):
        handle.write(pixels_header(0, size))
        for entry, rgb, mode in decoded:
            if len(entries) % block_rows(size) == 0:
                blocks.append(hashlib.sha256())
            pixels[..., :3] = rgb
            handle.write(pixels.data)
            blocks[-1].update(pixels.data)
            entries.append(entry)
            modes[mode] += 1
            progress(len(entries), len(source.entries))
        # only now is the count known: bad images may have been left out
        handle.seek(0)
        handle.write(pixels_header(len(entries), size))
    if not entries:
        raise DataFault(expected("a good image", f"{len(bad)} bad ones", source.path, str(bad[0])))
    return _Packed(entries, modes, bad, [block.hexdigest() for block in blocks])


def _check_overlap(source: ImageSource, table: Table | None, labels: Path | None) -> None:
    ids = np.array([entry.id for entry in source.entries], dtype=np.int64)
    if table is not None and labels is not None and not np.isin(ids, table[0]).any():
        theirs, ours = shown(read_names(labels)[0]), shown(source.entries[0].stem)
        got = f"ids such as {theirs}, while the images' are such as {ours}"
        raise DataFault(expected(f"labels of the images in {source.path}", got, labels, "give these images' table"))


def _arrays(entries: list[Entry], table: Table | None) -> dict[str, NDArray[Any]]:
    """The arrays of a store but its pixels, by file name: labels and names only where there are any."""
    arrays: dict[str, NDArray[Any]] = {IDS: np.array([entry.id for entry in entries], dtype=np.int64)}
    if table is not None and ((rows := rows_of(table[0], arrays[IDS])) >= 0).any():
        # -1 takes some other image's row, which is then blanked
        arrays[LABELS] = np.where(rows[:, None] >= 0, table[1][rows], np.float32("nan"))
    if any(entry.stem != str(entry.id) for entry in entries):
        arrays[NAMES] = np.array([entry.stem for entry in entries])
    return arrays


def _save(file: Path, array: NDArray[Any]) -> str:
    """Write an array and return the SHA-256 of the file."""
    data = io.BytesIO()
    np.save(data, array, allow_pickle=False)
    # not getbuffer(): held by the traceback of a failed write, it makes CPython's garbage collector crash
    file.write_bytes(data.getvalue())
    return hashlib.sha256(data.getvalue()).hexdigest()
