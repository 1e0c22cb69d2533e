"""Image files -> uint8 arrays, and nothing else: a folder or a zip of them, decoded in order by a few threads."""

import functools
import io
import warnings
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import NamedTuple
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from galaxy_triton.config.schema import Preprocess, require
from galaxy_triton.galaxyzoo.ids import check_name, check_unique, galaxy_id
from galaxy_triton.system.errors import DataFault, expected, reason
from galaxy_triton.system.untrusted_files import is_hidden, open_zip, read_entry, read_file, visible_names

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
FORMATS = ("JPEG", "PNG", "TIFF")
CONVERTED = ("L", "LA", "RGBA")  # Pillow's modes that become RGB; an alpha channel is dropped
MAX_PIXELS = 64_000_000
SAMPLED = 32  # headers read to find the frame
AHEAD = 4  # images in flight for each thread

Decoded = tuple[NDArray[np.uint8], str]


class Entry(NamedTuple):
    """One image of a source."""

    id: int
    stem: str
    name: str  # path within the folder or the zip


@dataclass(frozen=True)
class ImageSource:
    """The images of a folder or a zip, by ascending id; `read` gives an entry's bytes, from any thread."""

    path: Path
    entries: tuple[Entry, ...]
    read: Callable[[Entry], bytes]


@contextmanager
def open_images(path: Path) -> Iterator[ImageSource]:
    """Open a folder (itself, or its only subfolder where it holds no image) or a zip of JPEG, PNG and TIFF files.

    Nothing of a zip is unpacked to disk. A link in a folder is followed; in a zip it is a file that is no image.
    While it is open Pillow does not warn: odd metadata is no fault, and what is too large is a bad image.

    Raises:
        DataFault: missing, truncated, no image in it, images in several folders of a zip, two images of one id, a name
            that is too long or no UTF-8, or one that leads out of the zip.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        if path.is_dir():
            folder = _image_folder(path)
            names = [file.name for file in folder.iterdir() if not is_hidden(file.name)]
            yield ImageSource(path, _entries(names, path), functools.partial(_read_file, folder))
        else:
            with open_zip(path) as archive:
                read = functools.partial(_read_zipped, archive, Lock())
                yield ImageSource(path, _entries(visible_names(archive), path), read)


def is_image(name: str) -> bool:
    """Whether a file of this name is taken for an image."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def measure_frame(source: ImageSource) -> int:
    """The side in pixels of a source's images: the commonest among the first 32 that have a readable header.

    Raises:
        DataFault: none is readable, or they are not square.
    """
    sizes: Counter[tuple[int, int]] = Counter()
    faults = []
    for entry in source.entries[:SAMPLED]:
        try:
            with _opened(source.read(entry), entry.name) as image:
                sizes[image.size] += 1
        except DataFault as fault:
            faults.append(fault)
    if not sizes:
        raise faults[0]
    (width, height), _ = sizes.most_common(1)[0]
    if width != height:
        raise DataFault(expected("square images", f"{width} x {height} pixels", source.path, "crop them to squares"))
    return width


def decode(data: bytes, preprocess: Preprocess, name: str) -> Decoded:
    """One image file -> uint8 [S, S, 3], S = preprocess.size, and the Pillow mode it had ("RGB" or one of CONVERTED).

    Raises:
        DataFault: not readable, 16 bits a channel, another mode, above 64 million pixels, or not frame x frame.
    """
    with _opened(data, name) as image:
        _check(image, preprocess.frame, name)
        return preprocessed(_rgb(image), preprocess), image.mode


def preprocessed(image: Image.Image, preprocess: Preprocess) -> NDArray[np.uint8]:
    """An RGB image of frame x frame pixels -> uint8 [S, S, 3].

    The centre crop is columns and rows o to o + crop - 1 with o = (frame - crop) // 2. It is cut out before resizing:
    Pillow's `resize(box=...)` lets pixels outside the box bleed in. Then Pillow's BILINEAR, which antialiases
    (a triangle as wide as the scale), with no reducing gap and no JPEG draft.
    """
    centre = _centre(image, preprocess)
    return np.asarray(centre.resize((preprocess.size, preprocess.size), Image.Resampling.BILINEAR))


def decoded(
    source: ImageSource,
    preprocess: Preprocess,
    workers: int,
    on_bad: Callable[[DataFault], None] | None = None,
) -> Generator[tuple[Entry, NDArray[np.uint8], str], None, None]:
    """Every image of a source in its order: (entry, uint8 [S, S, 3], Pillow mode).

    A few images for each worker are held at a time, however many the source has. Close the generator (or run it to its
    end) to stop the workers.

    A bad image's fault goes to `on_bad`, and the image is left out; without `on_bad` it is raised and ends the work.

    Raises:
        UsageFault: no worker.
        DataFault: the first bad image, without `on_bad`.
    """
    require(workers >= 1, "workers", "at least 1", workers)

    def work(entry: Entry) -> Decoded:
        return decode(source.read(entry), preprocess, entry.name)

    with closing(_in_order(work, source.entries, workers)) as results:
        for entry, result in results:
            try:
                pixels, mode = result.result()
            except DataFault as fault:
                if on_bad is None:
                    raise
                on_bad(fault)
            else:
                yield entry, pixels, mode


def _in_order(
    work: Callable[[Entry], Decoded], entries: Iterable[Entry], workers: int
) -> Generator[tuple[Entry, Future[Decoded]], None, None]:
    pool = ThreadPoolExecutor(workers)
    window: deque[tuple[Entry, Future[Decoded]]] = deque()
    try:
        for entry in entries:
            window.append((entry, pool.submit(work, entry)))
            if len(window) == AHEAD * workers:
                yield window.popleft()
        yield from window
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _opened(data: bytes, name: str) -> Iterator[Image.Image]:
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise _bad("at most 64 million pixels", f"{image.width} x {image.height}", name)
            yield image
    except DataFault:
        raise
    # Pillow's own bound, above ours: it refuses before there is an image to ask
    except Image.DecompressionBombError as error:
        raise _bad("at most 64 million pixels", "far more", name) from error
    # Pillow's decoders raise nearly anything on broken bytes
    except Exception as error:
        raise _bad("a whole JPEG, PNG or TIFF image", f"{len(data)} bytes that do not decode", name) from error


def _check(image: Image.Image, frame: int, name: str) -> None:
    if image.size != (frame, frame):
        raise _bad(f"{frame} x {frame} pixels", f"{image.width} x {image.height}", name)
    # Pillow opens some 16-bit files as RGB and drops the low bytes: only the tiles' raw mode tells
    deep = any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))
    if deep or image.mode not in ("RGB", *CONVERTED):
        got = f"16 bits a channel ({image.mode})" if deep else f"mode {image.mode}"
        raise _bad("8 bits a channel, RGB or grey", got, name)


# _rgb and _centre pass on what fits already: each copy of a whole frame costs a fifth of the throughput
def _rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")


def _centre(image: Image.Image, preprocess: Preprocess) -> Image.Image:
    offset, crop = (preprocess.frame - preprocess.crop) // 2, preprocess.crop
    return image if crop == preprocess.frame else image.crop((offset, offset, offset + crop, offset + crop))


def _bad(want: str, got: str, name: str) -> DataFault:
    return DataFault(expected(want, got, name, "replace or remove this image, or skip bad images"))


def _entries(names: Iterable[str], path: Path) -> tuple[Entry, ...]:
    images = sorted(filter(is_image, names))
    if not images:
        raise DataFault(expected("JPEG, PNG or TIFF images", "none", path, "give the folder or zip that holds them"))
    folders = sorted({str(PurePosixPath(name).parent) for name in images})
    if len(folders) > 1:
        got = f"{folders[0]} and {folders[1]}"
        raise DataFault(expected("images in one folder", got, path, "unpack it and give one of the folders"))
    stems = [PurePosixPath(name).stem for name in images]
    for stem in stems:
        check_name(stem, path)
    ids = [galaxy_id(stem) for stem in stems]
    check_unique(ids, images, path)
    return tuple(sorted(map(Entry, ids, stems, images)))


def _image_folder(path: Path) -> Path:
    children = [child for child in path.iterdir() if not is_hidden(child.name)]
    folders = [child for child in children if child.is_dir()]
    holds_images = any(is_image(child.name) for child in children if child not in folders)
    return folders[0] if len(folders) == 1 and not holds_images else path


def _read_file(folder: Path, entry: Entry) -> bytes:
    try:
        return read_file(folder / entry.name)
    except OSError as error:
        raise _bad("a readable file", reason(error), entry.name) from error


def _read_zipped(archive: ZipFile, lock: Lock, entry: Entry) -> bytes:
    # a zip has one file position; reading takes 1 % of decoding, so a handle for each thread gains nothing
    with lock:
        return read_entry(archive, entry.name)
