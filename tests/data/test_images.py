"""Image files -> arrays: the resize against its formula, sources, bad files, threads."""

import io
import threading
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from galaxy_triton.config.schema import Preprocess
from galaxy_triton.data.images import AHEAD, Entry, decode, decode_images, measure_frame, open_images
from galaxy_triton.galaxyzoo.ids import galaxy_id
from galaxy_triton.system.errors import DataFault

SIDE = 24


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)


def encode(pixels: NDArray[np.uint8], mode: str = "RGB", kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, kind)
    return file.getvalue()


def triangle(before: int, after: int) -> NDArray[np.float64]:
    """The antialiased bilinear filter as a matrix [after, before]: a triangle as wide as the scale, at least 1."""
    scale = before / after
    centres = (np.arange(after)[:, None] + 0.5) * scale - 0.5
    weights = np.clip(1 - np.abs(np.arange(before) - centres) / max(scale, 1), 0, None)
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write files {name: bytes} as a folder or, where the place ends so, as a zip."""

    def run(files: dict[str, bytes], place: str = "images") -> Path:
        path = tmp_path / place
        if place.endswith(".zip"):
            with zipfile.ZipFile(path, "w") as archive:
                for name, data in files.items():
                    archive.writestr(name, data)
            return path
        for name, data in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
        return path

    return run


# whole frame; odd and even offsets; no resize; enlarging
@pytest.mark.parametrize(
    ("frame", "crop", "size"), [(40, 40, 15), (41, 30, 12), (40, 21, 21), (40, 40, 40), (9, 8, 17)]
)
def test_decode_follows_the_formula(frame: int, crop: int, size: int) -> None:
    pixels = noise(frame, frame, 3)
    offset = (frame - crop) // 2
    centre = pixels[offset : offset + crop, offset : offset + crop].astype(np.float64)
    filter_ = triangle(crop, size)
    want = np.einsum("yh,xw,hwc->yxc", filter_, filter_, centre)

    got, mode = decode(encode(pixels), Preprocess(frame, crop, size), "a.png")

    assert (got.shape, got.dtype, mode) == ((size, size, 3), np.uint8, "RGB")
    # Pillow rounds after each of its two passes
    assert np.abs(got - want).max() <= 1.01


@pytest.mark.parametrize(("mode", "channels"), [("L", (0, 0, 0)), ("LA", (0, 0, 0)), ("RGBA", (0, 1, 2))])
def test_decode_converts_and_says_so(mode: str, channels: tuple[int, ...]) -> None:
    pixels = noise(SIDE, SIDE, len(mode)) if mode != "L" else noise(SIDE, SIDE)
    file = io.BytesIO()
    Image.frombytes(mode, (SIDE, SIDE), pixels.tobytes()).save(file, "PNG")
    got, known = decode(file.getvalue(), Preprocess(SIDE, SIDE, SIDE), "a.png")
    assert known == mode
    assert np.array_equal(got, pixels.reshape(SIDE, SIDE, -1)[..., channels])


CLUTTER = {"notes.txt": b"x", ".hidden.jpg": b"x", "Thumbs.db": b"x"}


@pytest.mark.parametrize(
    ("place", "prefix", "clutter"),
    [
        ("images", "", CLUTTER),
        ("images", "a/b/", CLUTTER),
        ("images", "images_training_rev1/", {"notes.txt": b"x", ".git/9.jpg": b"x", "__MACOSX/9.jpg": b"x"}),
        ("images.zip", "", CLUTTER),
        ("images.zip", "images_training_rev1/", {"__MACOSX/a/9.jpg": b"x", "a/.10.jpg": b"x"}),
    ],
)
def test_open_images(write: Callable[..., Path], place: str, prefix: str, clutter: dict[str, bytes]) -> None:
    stems = {"100.JPG": b"c", "7.jpg": b"a", "20.png": b"b", "M 31.tiff": b"d"}
    path = write({**{prefix + name: data for name, data in stems.items()}, **clutter}, place)
    with open_images(path) as source:
        assert [entry.id for entry in source.entries] == [7, 20, 100, galaxy_id("M 31")]
        assert [entry.stem for entry in source.entries] == ["7", "20", "100", "M 31"]
        assert [source.read(entry) for entry in source.entries] == [b"a", b"b", b"c", b"d"]


@pytest.mark.parametrize("place", ["images", "images.zip"])
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("1.png", "more/2.png", "more/3.JPG"), r"images in one folder, got 1 in \./; 2 in more/"),
        (("notes.txt", "a/1.png", "b/c/2.webp"), "images in one folder, got 1 in a/; 1 in b/c/"),
        (("1.jpg", "01.fits"), "each id once, got 01.fits and 1.jpg"),
        (("1.png", "7.0.png"), "can be an id in a table, got '7.0.png'"),
        (("1.png", "2 .png"), "can be an id in a table, got '2 .png'"),
        (("nan.png",), "can be an id in a table, got 'nan.png'"),
    ],
)
def test_no_image_is_passed_over(names: tuple[str, ...], message: str, place: str, write: Callable[..., Path]) -> None:
    with pytest.raises(DataFault, match=message), open_images(write(dict.fromkeys(names, b"x"), place)):
        pass


def test_measure_frame_takes_the_commonest(write: Callable[..., Path]) -> None:
    sides = {"1.png": 10, "2.png": SIDE, "3.png": SIDE}
    files = {name: encode(noise(side, side, 3)) for name, side in sides.items()}
    with open_images(write({"0.png": b"broken", **files})) as source:
        assert measure_frame(source) == SIDE


@pytest.fixture
def many(write: Callable[..., Path]) -> Path:
    """60 images, each of its id's colour, in a zip; ids are not in the order of their names."""
    files = {f"{i}.png": encode(np.full((SIDE, SIDE, 3), i, dtype=np.uint8)) for i in range(60)}
    return write(files, "many.zip")


@pytest.mark.parametrize("workers", [1, 4])
def test_images_are_decoded_in_order(many: Path, workers: int) -> None:
    preprocess = Preprocess(SIDE, 8, 8)
    with open_images(many) as source:
        got = [(entry.id, pixels[0, 0, 0]) for entry, pixels, _ in decode_images(source, preprocess, workers)]
    assert got == [(number, number) for number in range(60)]


@pytest.mark.parametrize("workers", [1, 3])
def test_few_images_are_read_ahead_and_closing_stops(many: Path, workers: int) -> None:
    read: list[int] = []
    before = set(threading.enumerate())
    with open_images(many) as source:

        def counted(entry: Entry) -> bytes:
            read.append(entry.id)
            return source.read(entry)

        images = decode_images(replace(source, read=counted), Preprocess(SIDE, 8, 8), workers)
        taken = [next(images)[0].id for _ in range(5)]
        images.close()
    assert taken == list(range(5))
    assert 5 <= len(read) <= 5 + AHEAD * workers
    assert set(threading.enumerate()) <= before


def test_the_first_bad_image_is_raised_or_all_are_left_out(write: Callable[..., Path]) -> None:
    good = encode(noise(SIDE, SIDE, 3))
    path = write({"4.webp": b"x", **{f"{at}.png": b"x" if at == 2 else good for at in range(1, 40) if at != 4}})
    before, bad, preprocess = set(threading.enumerate()), list[DataFault](), Preprocess(SIDE, SIDE, 8)
    with open_images(path) as source:
        with pytest.raises(DataFault, match=r"\(2\.png\)"):
            list(decode_images(source, preprocess, 4))
        assert set(threading.enumerate()) <= before
        kept = [entry.id for entry, _, _ in decode_images(source, preprocess, 4, bad.append)]
    assert kept == [1, 3, *range(5, 40)]
    assert ["2.png" in str(bad[0]), "4.webp" in str(bad[1]), len(bad)] == [True, True, 2]
