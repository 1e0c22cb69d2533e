"""From images or a store to a submission, a part at a time: memory does not grow with the images.

The parts do not depend on how many processes share them, so neither do the answers: process r of n answers the parts
r, r + n, r + 2n, ..., and the first process writes them in order.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.data.images import Entry, ImageSource, decoded, open_images
from galaxy_triton.data.names import names_of
from galaxy_triton.data.order import slices
from galaxy_triton.data.store import MANIFEST, Store, open_store, verified_block
from galaxy_triton.galaxyzoo.ids import is_integer
from galaxy_triton.galaxyzoo.questions import COLUMNS
from galaxy_triton.galaxyzoo.write_tables import check_answers, write_cells
from galaxy_triton.predict.layouts import LAYOUTS, Cells, Found, Layout
from galaxy_triton.predict.predictor import Asking, Predictor, check_preprocess, open_run
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault, UsageFault, expected
from galaxy_triton.system.processes import Processes, join_processes, speaks
from galaxy_triton.system.whole_files import check_place

CHUNK = 512  # images decoded before they are answered

Chunk = tuple[list[str], NDArray[np.uint8]]  # (names, pixels [n, S, S, 4])
OnBad = Callable[[DataFault], None] | None


@dataclass(frozen=True)
class Asked(Asking):
    """What a prediction is asked for.

    workers: threads of each process that decode images. skip_bad: leave unreadable images out instead of stopping at
    the first. layout: of the table, a key of `layouts.LAYOUTS`.
    """

    workers: int = 2
    skip_bad: bool = False
    layout: str = "kaggle"


@dataclass(frozen=True)
class Predicted:
    """How many rows were written, and the messages of the images left out."""

    rows: int
    skipped: tuple[str, ...]


class Part(NamedTuple):
    """What came of a part of the images: names and what the layout keeps of their answers, float32 [n, m], and the
    messages of the images left out."""

    names: list[str]
    found: Found
    skipped: list[str]


@dataclass(frozen=True)
class Parts:
    """Images cut into parts that can be read one without the other.

    images: how many in all. count: of the parts. read: a part's number -> its chunks; what `decoded` calls `on_bad`
    comes second.
    """

    images: int
    count: int
    read: Callable[[int, OnBad], Iterator[Chunk]]


def predict(run: Path, source: Path, out: Path, asked: Asked, display: Display) -> Predicted | None:
    """Answer every image of `source` (a store, a folder or a zip) into `out`, a CSV of the layout that is asked for.

    The processes that were started together share the images, and the first writes what a single one would.

    Returns:
        None in all processes but the first.

    Raises:
        DataFault: no run or images there, a store packed otherwise, a bad image in any process, or another process that
            is gone; `out` is not written then.
        UsageFault: no such device here, or `out` is `source`.
    """
    _check_out(source, out)
    with join_processes(asked.device) as processes:
        predictor = open_run(run, asked.which, asked.device)
        shown = display if processes.first else display.muted()
        with _opened(predictor, source, asked) as parts, shown.progress("answering", "images") as show:
            _check_alike(parts, source, processes)
            return _written(out, _shared(predictor, parts, asked, processes, show), LAYOUTS[asked.layout], processes)


def describe(run: Path, source: Path, out: Path, asked: Asked, display: Display) -> None:
    """Say what `predict` would do, and write nothing.

    Raises:
        DataFault: no run or images there, or a store packed otherwise.
        UsageFault: no such device here, or `out` is `source`.
    """
    _check_out(source, out)
    predictor = open_run(run, asked.which, asked.device)
    display = display if speaks() else display.muted()
    for line in predictor.backend.lines():
        display.note(line)
    where = "in place of the file there" if out.exists() else "a new file"
    with _opened(predictor, source, asked) as parts:
        display.say(f"Would ask {run / asked.which} about {parts.images} images, {asked.views} views each")
    display.say(f"Would write {out}, {where}")
    display.say("Nothing was written")


def _check_out(source: Path, out: Path) -> None:
    check_place(out, "--out")
    if out.exists() and out.samefile(source):
        raise UsageFault(expected("a file of its own for the answers", "the images", out, "choose another --out"))


def _check_alike(parts: Parts, source: Path, processes: Processes) -> None:
    counts = processes.gather(parts.images)
    if len(set(counts)) > 1:
        do = "give a path that holds the same on all machines, and wait until it is whole"
        raise DataFault(expected("the same images in all processes", f"{counts} of them", source, do))


def _written(out: Path, parts: Iterator[Part], layout: Layout, processes: Processes) -> Predicted | None:
    """Take every part, and write them in the first process."""
    if not processes.first:
        for _ in parts:
            pass
        return None
    skipped: list[str] = []

    def answered() -> Iterator[tuple[list[str], Cells]]:
        for part in parts:
            skipped.extend(part.skipped)
            check_answers(part.names, part.found[:, : len(COLUMNS)], out)
            yield part.names, layout.cells(part.found)

    return Predicted(write_cells(out, layout.columns, answered()), tuple(skipped))


def _shared(
    predictor: Predictor, parts: Parts, asked: Asked, processes: Processes, show: Callable[[int, int], None]
) -> Iterator[Part]:
    """All parts in order, of which this process answers its share: a round of one part for each process at a time.

    Raises:
        DataFault: what any of the processes met with; the same one in all of them.
    """
    done = 0

    def update(images: int) -> None:
        # The others are about as far as this one.
        show(min(done + images * processes.count, parts.images), parts.images)

    for first in range(0, parts.count, processes.count):
        mine = first + processes.rank
        outcome = _outcome(predictor, parts, mine, asked, update) if mine < parts.count else None
        for found in processes.gather(outcome):
            if isinstance(found, DataFault):
                raise found
            if found is not None:
                done += len(found.names) + len(found.skipped)
                yield found
        update(0)


def _outcome(
    predictor: Predictor, parts: Parts, number: int, asked: Asked, update: Callable[[int], None]
) -> Part | DataFault:
    """A part answered, or the fault that all processes are to end with."""
    names: list[str] = []
    of_views = LAYOUTS[asked.layout].of_views
    found: list[Found] = []
    skipped: list[DataFault] = []
    try:
        for some, pixels in parts.read(number, skipped.append if asked.skip_bad else None):
            names += some
            found.append(predictor.answer_pixels(pixels, asked.views, asked.batch_size, of_views))
            update(len(names))
    except DataFault as fault:
        return fault
    return Part(names, np.concatenate(found), list(map(str, skipped)))


@contextmanager
def _opened(predictor: Predictor, path: Path, asked: Asked) -> Iterator[Parts]:
    """The parts of a store are its blocks, as a block is read and checked whole; of images, so many files."""
    if (path / MANIFEST).is_file():
        store = open_store(path)
        check_preprocess(predictor.config.preprocess, store.preprocess, path)
        yield Parts(len(store.ids), len(store.blocks), lambda number, on_bad: _block_chunks(store, number))
        return
    with open_images(path) as source:
        chunks = list(slices(len(source.entries), CHUNK))

        def read(number: int, on_bad: OnBad) -> Iterator[Chunk]:
            yield _images_chunk(predictor, replace(source, entries=source.entries[chunks[number]]), asked, on_bad)

        yield Parts(len(source.entries), len(chunks), read)


def _block_chunks(store: Store, number: int) -> Iterator[Chunk]:
    start, pixels = verified_block(store, number)
    names = names_of(store)[start : start + len(pixels)]
    for chunk in slices(len(pixels), CHUNK):
        yield names[chunk], pixels[chunk]


def _images_chunk(predictor: Predictor, source: ImageSource, asked: Asked, on_bad: OnBad) -> Chunk:
    preprocess = predictor.config.preprocess
    pixels = np.zeros((len(source.entries), preprocess.size, preprocess.size, 4), np.uint8)
    names: list[str] = []
    for entry, image, _ in decoded(source, preprocess, asked.workers, on_bad):
        pixels[len(names), :, :, :3] = image
        names.append(_name(entry))
    return names, pixels[: len(names)]


def _name(entry: Entry) -> str:
    return str(entry.id) if is_integer(entry.stem) else entry.stem
