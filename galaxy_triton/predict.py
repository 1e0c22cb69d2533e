"""From images or a store to a submission, a chunk at a time: memory does not grow with the images."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from galaxy_triton.answer import Answerer, Answers, Asking, check_preprocess, open_run
from galaxy_triton.data import Galaxies
from galaxy_triton.display import Display
from galaxy_triton.errors import DataFault, UsageFault, expected
from galaxy_triton.ids import is_integer
from galaxy_triton.images import Entry, decoded, open_images
from galaxy_triton.store import MANIFEST, Store, open_store, verified_pixels
from galaxy_triton.table import write_answers

CHUNK = 512  # images decoded before they are answered

Chunk = tuple[list[str], NDArray[np.uint8], int]  # (names, pixels [n, S, S, 4], images in all)


@dataclass(frozen=True)
class Asked(Asking):
    """What a prediction is asked for.

    workers: threads that decode images. skip_bad: leave unreadable images out instead of stopping at the first.
    """

    workers: int = 2
    skip_bad: bool = False


@dataclass(frozen=True)
class Predicted:
    """How many rows were written, and the messages of the images left out."""

    rows: int
    skipped: tuple[str, ...]


def predict(run: Path, source: Path, out: Path, asked: Asked, display: Display) -> Predicted:
    """Answer every image of `source` (a store, a folder or a zip) into `out`, a CSV in Kaggle's submission format.

    Raises:
        DataFault: no run or images there, a store packed otherwise, or a bad image; `out` is not written then.
        UsageFault: no such device here, or `out` is `source`.
    """
    _check_out(source, out)
    answerer = open_run(run, asked.which, asked.device)
    faults: list[DataFault] = []
    is_store = (source / MANIFEST).is_file()
    chunks = _store_chunks(answerer, source) if is_store else _image_chunks(answerer, source, asked, faults)
    with display.progress("answering", "images") as show:
        rows = write_answers(out, _answered(answerer, chunks, asked, show))
    return Predicted(rows, tuple(map(str, faults)))


def describe(run: Path, source: Path, out: Path, asked: Asked, display: Display) -> None:
    """Say what `predict` would do, and write nothing.

    Raises:
        DataFault: no run or images there, or a store packed otherwise.
        UsageFault: no such device here, or `out` is `source`.
    """
    _check_out(source, out)
    answerer = open_run(run, asked.which, asked.device)
    for line in answerer.machine.lines():
        display.note(line)
    where = "in place of the file there" if out.exists() else "a new file"
    display.say(f"Would ask {run / asked.which} about {_count(answerer, source)} images, {asked.views} views each")
    display.say(f"Would write {out}, {where}")
    display.say("Nothing was written")


def _check_out(source: Path, out: Path) -> None:
    if out.exists() and not out.is_file():
        raise UsageFault(expected("a file to write", "a folder or a device", out, "choose another --out"))
    if out.exists() and out.samefile(source):
        raise UsageFault(expected("a file of its own for the answers", "the images", out, "choose another --out"))


def _count(answerer: Answerer, source: Path) -> int:
    if (source / MANIFEST).is_file():
        store = open_store(source)
        check_preprocess(answerer.config.preprocess, store.preprocess, source)
        return len(store.ids)
    with open_images(source) as images:
        return len(images.entries)


def _answered(
    answerer: Answerer, chunks: Iterator[Chunk], asked: Asked, show: Callable[[int, int], None]
) -> Iterator[tuple[list[str], Answers]]:
    done = 0
    device = answerer.machine.device
    for names, pixels, total in chunks:
        rows = torch.arange(len(names), device=device)
        none = torch.full((len(names), 37), torch.nan, device=device)
        galaxies = Galaxies(torch.from_numpy(pixels).to(device), rows, none)
        yield names, answerer.answer(galaxies, rows, asked.views, asked.batch_size, lambda _: None)
        done += len(names)
        show(done, total)


def _store_chunks(answerer: Answerer, path: Path) -> Iterator[Chunk]:
    store = open_store(path)
    check_preprocess(answerer.config.preprocess, store.preprocess, path)
    for start, pixels in verified_pixels(store):
        for first in range(0, len(pixels), CHUNK):
            part = pixels[first : first + CHUNK]
            rows = slice(start + first, start + first + len(part))
            yield _names(store, rows), part, len(store.ids)


def _image_chunks(answerer: Answerer, path: Path, asked: Asked, faults: list[DataFault]) -> Iterator[Chunk]:
    preprocess = answerer.config.preprocess
    with open_images(path) as source:
        images = decoded(source, preprocess, asked.workers, faults.append if asked.skip_bad else None)
        with closing(images):
            while part := list(islice(images, CHUNK)):
                pixels = np.zeros((len(part), preprocess.size, preprocess.size, 4), np.uint8)
                for place, (_, image, _) in enumerate(part):
                    pixels[place, :, :, :3] = image
                yield [_name(entry) for entry, _, _ in part], pixels, len(source.entries)


def _names(store: Store, rows: slice) -> list[str]:
    return [str(name) for name in (store.ids if store.names is None else store.names)[rows]]


def _name(entry: Entry) -> str:
    return str(entry.id) if is_integer(entry.stem) else entry.stem
