"""Opening and checking a store: every kind of damage is found and named."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from galaxy_triton.config.schema import Preprocess
from galaxy_triton.data import store as store_module
from galaxy_triton.data.inspect import describe, montage
from galaxy_triton.data.pack import pack
from galaxy_triton.data.store import labelled_rows, open_store, read_pixels, verify
from galaxy_triton.data.store_arrays import pixels_header
from galaxy_triton.galaxyzoo.questions import COLUMNS, PARENTS, SPANS
from galaxy_triton.galaxyzoo.write_tables import write_answers
from galaxy_triton.system.errors import DataFault

COUNT, SIZE = 7, 6
LABELLED = [0, 2, 3, 5]


def colour(row: int) -> tuple[int, int, int]:
    return row * 30, 255 - row * 30, row


def tree_labels(rows: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Labels that obey every sum."""
    rng = np.random.default_rng(3)
    labels = np.zeros((rows, len(COLUMNS)))
    for span, parent in sorted(zip(SPANS, PARENTS, strict=True), key=lambda pair: -1 if pair[1] is None else pair[1]):
        shares = rng.dirichlet(np.ones(span.stop - span.start), rows)
        labels[:, span] = shares * (1 if parent is None else labels[:, parent, None])
    return labels.astype(np.float32)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of 7 one-coloured images in blocks of 3, 4 of them labelled."""
    monkeypatch.setattr(store_module, "BLOCK_BYTES", 3 * SIZE * SIZE * 4 + 1)
    (tmp_path / "images").mkdir()
    for row in range(COUNT):
        Image.new("RGB", (9, 9), colour(row)).save(tmp_path / "images" / f"{row * 10}.png")
    write_answers(tmp_path / "labels.csv", [([row * 10 for row in LABELLED], tree_labels(len(LABELLED)))])
    pack(tmp_path / "images", tmp_path / "labels.csv", tmp_path / "store", size=SIZE, workers=1)
    return tmp_path / "store"


def test_open_store(path: Path) -> None:
    store = open_store(path)
    assert (store.path, store.preprocess) == (path, Preprocess(9, 9, SIZE))
    assert store.ids.tolist() == [row * 10 for row in range(COUNT)]
    assert (store.ids.dtype, store.names) == (np.int64, None)
    assert store.labels is not None
    assert (store.labels.dtype, store.labels.shape) == (np.float32, (COUNT, 37))
    assert labelled_rows(store).tolist() == LABELLED
    assert (store.pixels.dtype, store.pixels.shape) == (np.uint8, (COUNT, SIZE, SIZE, 4))
    assert store.pixels[:, 0, 0].tolist() == [[*colour(row), 0] for row in range(COUNT)]
    with pytest.raises(ValueError, match="read-only"):
        store.pixels[0, 0, 0, 0] = 1


@pytest.mark.parametrize("count", [1, 999, 10_000_000])
def test_pixels_header_is_numpys(tmp_path: Path, count: int) -> None:
    (tmp_path / "a.npy").write_bytes(pixels_header(count, 4096))
    with (tmp_path / "a.npy").open("rb") as handle:
        assert np.lib.format.read_magic(handle) == (1, 0)
        assert np.lib.format.read_array_header_1_0(handle) == ((count, 4096, 4096, 4), False, np.dtype(np.uint8))
        assert handle.tell() == 128


def test_verified_pixels(path: Path) -> None:
    steps: list[tuple[int, int]] = []
    store = open_store(path)
    blocks = list(read_pixels(store, lambda *at: steps.append(at)))
    assert [start for start, _ in blocks] == [0, 3, 6]
    assert steps == [(3, COUNT), (6, COUNT), (COUNT, COUNT)]
    assert all(block.flags.writeable for _, block in blocks)
    assert np.array_equal(np.concatenate([block for _, block in blocks]), store.pixels)


@pytest.mark.parametrize(("row", "place"), [(5, "block 1, rows 3 to 5"), (6, "block 2")])
def test_verify_finds_a_flipped_bit(path: Path, row: int, place: str) -> None:
    verify(open_store(path))
    pixels = bytearray((path / "pixels.npy").read_bytes())
    pixels[128 + row * SIZE * SIZE * 4] ^= 4
    (path / "pixels.npy").write_bytes(pixels)
    store = open_store(path)
    with pytest.raises(DataFault, match=rf"Expected the bytes that were packed .*pixels\.npy, {place}"):
        verify(store)


def test_hash_covers_pixels_labels_and_preprocessing(path: Path, tmp_path: Path) -> None:
    images, labels = tmp_path / "images", tmp_path / "labels.csv"
    hashes = {open_store(path).hash}
    pack(images, labels, tmp_path / "again", size=SIZE, workers=2)
    assert open_store(tmp_path / "again").hash in hashes
    # the centre of a one-coloured image has its pixels: only the preprocessing differs
    pack(images, labels, tmp_path / "crop", size=SIZE, crop=8, workers=1)
    pack(images, None, tmp_path / "bare", size=SIZE, workers=1)
    Image.new("RGB", (9, 9), (9, 9, 9)).save(images / "0.png")
    pack(images, labels, tmp_path / "other", size=SIZE, workers=1)
    hashes |= {open_store(tmp_path / name).hash for name in ("crop", "bare", "other")}
    assert len(hashes) == 4


def test_describe(path: Path, tmp_path: Path) -> None:
    lines = list(describe(open_store(path)))
    total = sum(file.stat().st_size for file in path.iterdir())
    assert lines[0] == ("images", f"{COUNT}, {SIZE} x {SIZE} px, {total:,} bytes")
    assert ("labelled", f"{len(LABELLED)}") in lines
    gaps = [float(text.split("off by ")[1].split()[0]) for name, text in lines if name == "tree"]
    assert len(gaps) == 11
    assert max(gaps) < 1e-6

    pack(tmp_path / "images", None, tmp_path / "bare", size=SIZE, workers=1)
    assert [text for name, text in describe(open_store(tmp_path / "bare")) if name in ("labelled", "tree")] == ["0"]


@pytest.mark.parametrize(
    ("count", "rows", "shape"), [(3, [0, 3, 6], (1, 3)), (1, [0], (1, 1)), (99, range(COUNT), (1, COUNT))]
)
def test_montage(path: Path, count: int, rows: list[int], shape: tuple[int, int]) -> None:
    sheet = np.asarray(montage(open_store(path), count))
    tall, wide = shape
    assert sheet.shape == (tall * SIZE, wide * SIZE, 3)
    tiles = sheet.reshape(tall, SIZE, wide, SIZE, 3).swapaxes(1, 2).reshape(-1, SIZE, SIZE, 3)
    assert [tuple(tile[2, 2]) for tile in tiles] == [colour(row) for row in rows]
    assert all((tile == tile[0, 0]).all() for tile in tiles)
