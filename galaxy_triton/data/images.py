"""Decoding a folder or a zip of image files to uint8 arrays, in order, with a few threads."""

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

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from galaxy_triton.config.schema import Preprocess, require
from galaxy_triton.galaxyzoo.ids import check_name, galaxy_id, is_cell_id
from galaxy_triton.galaxyzoo.tables import listed
from galaxy_triton.system.errors import DataFault, expected, reason
from galaxy_triton.system.untrusted_files import is_hidden, open_zip, read_entry, read_file, visible_names

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff")
UNREAD = (".avif", ".bmp", ".fit", ".fits", ".gif", ".heic", ".jp2", ".webp")  # bad images, so not passed over
FORMATS = ("JPEG", "PNG", "TIFF")
CONVERTED = ("L", "LA", "RGBA")  # Pillow's modes that become RGB; an alpha channel is dropped
MAX_PIXELS = 64_000_000
SAMPLED = 32  # images whose headers are read to find the frame
AHEAD = 4  # images submitted or decoded ahead, for each thread

Decoded = tuple[NDArray[np.uint8], str]


class Entry(NamedTuple):
    """One image of a source."""

    id: int
    stem: str
    name: str  # path within the folder or the zip


@dataclass(frozen=True)
class ImageSource:
    """The images of a folder or a zip, by ascending id; `read` returns an entry's bytes and is thread-safe."""

    path: Path
    entries: tuple[Entry, ...]
    read: Callable[[Entry], bytes]


@contextmanager
def open_images(path: Path) -> Iterator[ImageSource]:
    """Open a folder or a zip of JPEG, PNG and TIFF files.

    All images must be in one folder, which may lie inside others. Files of other types of image are bad images. A zip
    is not unpacked to disk. Links are followed in a folder; in a zip they are files that are no images. Pillow's
    warnings are off meanwhile: odd metadata is no fault, and an image that is too large is a bad image.

    Raises:
        DataFault: missing, truncated, not readable, without images, images in several folders, two images with one id,
            a name that no table can have as an id, or a name that leads out of the zip.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        if path.is_dir():

            def read_one(entry: Entry) -> bytes:
                try:
                    return read_file(path / entry.name)
                except OSError as error:
                    raise _bad("a readable file", reason(error), entry.name) from error

            try:
                names = list(_visible_files(path))
            except OSError as error:
                got, do = reason(error), "make it readable, or give another folder"
                raise DataFault(expected("a readable folder", got, error.filename, do)) from error
            yield ImageSource(path, _entries(names, path), read_one)
        else:
            with open_zip(path) as archive:
                lock = Lock()

                def read_zipped(entry: Entry) -> bytes:
                    # a zip has one file position; reading takes 1 % of decoding, so more handles would gain nothing
                    with lock:
                        return read_entry(archive, entry.name)

                yield ImageSource(path, _entries(visible_names(archive), path), read_zipped)


def is_image(name: str) -> bool:
    """Whether a file with this name counts as an image."""
    return PurePosixPath(name).suffix.lower() in (*SUFFIXES, *UNREAD)


def measure_frame(source: ImageSource) -> int:
    """Find the side of a source's images in pixels: the commonest size in the first 32 headers.

    Raises:
        DataFault: none of these headers is readable, or the images are not square.
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
    """Decode one image file.

    Returns:
        uint8 [S, S, 3] with S = preprocess.size, and the file's Pillow mode ("RGB" or one of CONVERTED).

    Raises:
        DataFault: unreadable, 16 bits a channel, another mode, above 64 million pixels, or not frame x frame.
    """
    with _opened(data, name) as image:
        _check(image, preprocess.frame, name)
        # `convert` copies even an RGB image, which would cost a fifth of the throughput
        rgb = image if image.mode == "RGB" else image.convert("RGB")
        return preprocess_image(rgb, preprocess), image.mode


def preprocess_image(image: Image.Image, preprocess: Preprocess) -> NDArray[np.uint8]:
    """Crop and resize an RGB image of frame x frame pixels to uint8 [S, S, 3].

    The centre crop is columns and rows o to o + crop - 1 with o = (frame - crop) // 2. It is cut out before resizing,
    as pixels outside Pillow's `resize(box=...)` would bleed in. The filter is Pillow's BILINEAR, which antialiases (a
    triangle as wide as the scale), with no reducing gap and no JPEG draft.
    """
    offset, crop = (preprocess.frame - preprocess.crop) // 2, preprocess.crop
    if crop != preprocess.frame:
        image = image.crop((offset, offset, offset + crop, offset + crop))
    return np.asarray(image.resize((preprocess.size, preprocess.size), Image.Resampling.BILINEAR))


def decode_images(
    source: ImageSource,
    preprocess: Preprocess,
    workers: int,
    on_bad: Callable[[DataFault], None] | None = None,
) -> Generator[tuple[Entry, NDArray[np.uint8], str], None, None]:
    """Decode every image of a source in order: (entry, uint8 [S, S, 3], Pillow mode).

    At most AHEAD images for each worker are in memory. Close the generator, or exhaust it, to stop the workers.

    Args:
        on_bad: called with the fault of each bad image, which is then left out; None raises the first one.

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
    # Pillow's own limit, above ours, which applies before an image exists
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


def _bad(want: str, got: str, name: str) -> DataFault:
    return DataFault(expected(want, got, name, "replace or remove this image, or skip bad images"))


def _entries(names: Iterable[str], path: Path) -> tuple[Entry, ...]:
    images = sorted(filter(is_image, names))
    if not images:
        raise DataFault(expected("JPEG, PNG or TIFF images", "none", path, "give the folder or zip that holds them"))
    folders = Counter(str(PurePosixPath(name).parent) for name in images)
    if len(folders) > 1:
        got = listed([f"{count} in {folder}/" for folder, count in sorted(folders.items())])
        do = "put those that you mean into a folder of their own, and give that"
        raise DataFault(expected("images in one folder", got, path, do))
    entries: dict[int, Entry] = {}
    for name in images:
        stem = PurePosixPath(name).stem
        check_name(stem, path)
        if stem != stem.strip() or not is_cell_id(stem):
            raise DataFault(expected("a name that can be an id in a table", repr(name), path, "rename this image"))
        entry = Entry(galaxy_id(stem), stem, name)
        if entry.id in entries:
            got = f"{entries[entry.id].name} and {name}"
            raise DataFault(expected("each id once", got, path, "remove one of the two"))
        entries[entry.id] = entry
    return tuple(sorted(entries.values()))


def _visible_files(folder: Path, prefix: str = "", above: frozenset[Path] = frozenset()) -> Iterator[str]:
    """The paths of all files below a folder, as a zip lists them; a folder that is called like an image is a bad one.

    above: the folders that this one is in, into which a link may lead back.
    """
    above |= {folder.resolve()}
    for child in folder.iterdir():
        if is_hidden(child.name):
            continue
        if is_image(child.name) or not child.is_dir():
            yield prefix + child.name
        elif child.resolve() not in above:
            yield from _visible_files(child, f"{prefix}{child.name}/", above)
