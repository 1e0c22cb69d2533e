"""Images or a store -> a table of predictions, a part at a time: memory use does not grow with the number of images.

Process r of n answers the parts r, r + n, r + 2n, ..., and the first process writes all parts in order. The parts do
not depend on the number of processes, so the predictions do not either.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.config.schema import Preprocess
from galaxy_triton.data.images import ImageSource, decode_images, open_images
from galaxy_triton.data.names import names_of
from galaxy_triton.data.order import slices
from galaxy_triton.data.store import MANIFEST, open_store, read_block, require_preprocess
from galaxy_triton.galaxyzoo.questions import COLUMNS
from galaxy_triton.galaxyzoo.write_tables import check_answers, write_cells
from galaxy_triton.predict.layouts import LAYOUTS, Cells, Layout, Statistics
from galaxy_triton.predict.predictor import PredictOptions, load_predictor
from galaxy_triton.system.console import Display, Update
from galaxy_triton.system.errors import DataFault, UsageFault, expected
from galaxy_triton.system.output_paths import check_file
from galaxy_triton.system.processes import Processes, join_processes

ENDINGS = (".csv",)
CHUNK = 512  # images decoded before they are answered

Answer = Callable[[NDArray[np.uint8]], Statistics]  # pixels [n, S, S, 4] -> statistics [n, m]


@dataclass(frozen=True)
class SubmissionOptions(PredictOptions):
    """How a table of predictions is made.

    workers: threads in each process that decode images. skip_bad: leave out unreadable images instead of stopping at
    the first. layout: of the table, a key of `layouts.LAYOUTS`. overwrite: whether an existing table may be replaced.
    """

    workers: int = 2
    skip_bad: bool = False
    layout: str = "kaggle"
    overwrite: bool = False


@dataclass(frozen=True)
class Predicted:
    """The number of rows written, and a message for each image left out."""

    rows: int
    skipped: tuple[str, ...]


class Chunk(NamedTuple):
    """Images that are answered at a time.

    names: [n]. values: pixels uint8 [n, S, S, 4]; once answered, the layout's statistics [n, m]. skipped: a message for
    each image left out.
    """

    names: list[str]
    values: NDArray[Any]
    skipped: list[str]


@dataclass(frozen=True)
class Parts:
    """Images, cut into parts that are read independently. images, count: how many. read: part number -> its chunks."""

    images: int
    count: int
    read: Callable[[int], Iterator[Chunk]]


def predict(
    run: Path, source: Path, out: Path, options: SubmissionOptions, display: Display, dry_run: bool = False
) -> Predicted | None:
    """Answer every image of `source` (a store, a folder or a zip) and write the table `out`, a CSV.

    Processes that were started together share the images; the table is that of a single process. dry_run: check and
    say what would be done, and write nothing.

    Returns:
        None in a dry run, and in all processes but the first.

    Raises:
        DataFault: no run or images there, a store packed otherwise, a bad image in any process, or a process that
            ended; `out` is then as it was.
        UsageFault: the device is not present, `out` is `source`, or what `check_file` raises.
    """
    check_file(out, "--out", ENDINGS, options.overwrite)
    if out.exists() and out.samefile(source):
        raise UsageFault(expected("a file of its own for the predictions", "the images", out, "choose another --out"))
    layout = LAYOUTS[options.layout]
    with join_processes(options.device) as processes:
        predictor = load_predictor(run, options.which, options.device)
        display = display if processes.first else display.muted()

        def answer(pixels: NDArray[np.uint8]) -> Statistics:
            return predictor.answer_pixels(pixels, options.views, options.batch_size, layout.combine)

        with _open_parts(source, predictor.config.preprocess, options) as parts:
            _require_same_images(parts, source, processes)
            if dry_run:
                for line in predictor.backend.lines():
                    display.note(line)
                display.say(
                    f"Would answer {parts.images} images with {run / options.which}, {options.views} views each"
                )
                display.say(f"Would write {out}, {'replacing the file there' if out.exists() else 'a new file'}")
                display.say("Nothing was written")
                return None
            with display.progress("answering", "images") as update:
                return _write(out, _answer_all(parts, answer, processes, update), layout, processes, options.overwrite)


def _require_same_images(parts: Parts, source: Path, processes: Processes) -> None:
    counts = processes.gather(parts.images)
    if len(set(counts)) > 1:
        do = "give a path that holds the same images on all machines, and wait until they are all there"
        raise DataFault(expected("the same images in all processes", f"{counts} of them", source, do))


def _answer_all(parts: Parts, answer: Answer, processes: Processes, update: Update) -> Iterator[Chunk]:
    """The chunks of all parts in order, answered. In each round every process answers one part, and all exchange them.

    Raises:
        DataFault: a process could not read its part; all processes raise the same fault.
    """
    done = 0

    def show(images: int) -> None:
        # The other processes are about as far as this one.
        update(min(done + images * processes.count, parts.images), parts.images)

    for first in range(0, parts.count, processes.count):
        number = first + processes.rank
        mine = _answer_part(parts.read(number), answer, show) if number < parts.count else []
        for answered in processes.gather(mine):
            if isinstance(answered, DataFault):
                raise answered
            done += sum(len(chunk.names) + len(chunk.skipped) for chunk in answered)
            yield from answered
        show(0)


def _answer_part(chunks: Iterator[Chunk], answer: Answer, show: Callable[[int], None]) -> list[Chunk] | DataFault:
    """One part, answered; a fault is returned, so that it can be sent to the other processes."""
    answered: list[Chunk] = []
    try:
        for chunk in chunks:
            answered.append(chunk._replace(values=answer(chunk.values)))
            show(sum(len(each.names) for each in answered))
    except DataFault as fault:
        return fault
    return answered


def _write(
    out: Path, chunks: Iterator[Chunk], layout: Layout, processes: Processes, overwrite: bool
) -> Predicted | None:
    """Write all chunks in the first process; the others only work through them."""
    if not processes.first:
        for _ in chunks:
            pass
        return None
    skipped: list[str] = []

    def cells() -> Iterator[tuple[list[str], Cells]]:
        for chunk in chunks:
            skipped.extend(chunk.skipped)
            check_answers(chunk.names, chunk.values[:, : len(COLUMNS)], out)
            yield chunk.names, layout.cells(chunk.values)

    return Predicted(write_cells(out, layout.columns, cells(), replace=overwrite), tuple(skipped))


@contextmanager
def _open_parts(path: Path, preprocess: Preprocess, options: SubmissionOptions) -> Iterator[Parts]:
    """The parts of a store are its blocks, each read and verified whole; those of images are CHUNK files each."""
    if (path / MANIFEST).is_file():
        yield _store_parts(path, preprocess)
        return
    with open_images(path) as source:
        parts = list(slices(len(source.entries), CHUNK))

        def read(number: int) -> Iterator[Chunk]:
            yield _decode(replace(source, entries=source.entries[parts[number]]), preprocess, options)

        yield Parts(len(source.entries), len(parts), read)


def _store_parts(path: Path, preprocess: Preprocess) -> Parts:
    store = open_store(path)
    require_preprocess(store, preprocess)
    names = names_of(store)

    def read(number: int) -> Iterator[Chunk]:
        start, pixels = read_block(store, number)
        for chunk in slices(len(pixels), CHUNK):
            yield Chunk(names[start + chunk.start : start + chunk.stop], pixels[chunk], [])

    return Parts(len(names), len(store.blocks), read)


def _decode(source: ImageSource, preprocess: Preprocess, options: SubmissionOptions) -> Chunk:
    pixels = np.zeros((len(source.entries), preprocess.size, preprocess.size, 4), np.uint8)
    names: list[str] = []
    skipped: list[DataFault] = []
    for entry, image, _ in decode_images(
        source, preprocess, options.workers, skipped.append if options.skip_bad else None
    ):
        pixels[len(names), :, :, :3] = image
        names.append(entry.stem)
    return Chunk(names, pixels[: len(names)], list(map(str, skipped)))
