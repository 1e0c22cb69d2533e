"""Packing: what the arrays hold, the same bytes by every way in, nothing left behind by a failure."""

import csv
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from galaxy_triton.config.schema import Preprocess
from galaxy_triton.data import images as images_of
from galaxy_triton.data import pack as packing
from galaxy_triton.data.images import decode
from galaxy_triton.data.names import names_of
from galaxy_triton.data.pack import pack
from galaxy_triton.data.store import open_store
from galaxy_triton.galaxyzoo.ids import galaxy_id
from galaxy_triton.galaxyzoo.questions import COLUMNS
from galaxy_triton.system.errors import DataFault
from tests.support.memory import memory_of, trace_memory

SIDE, SIZE = 20, 8
STEMS = ("300", "20", "1000", "7")


def encoded(stem: str, mode: str = "RGB") -> bytes:
    pixels = np.random.default_rng(galaxy_id(stem)).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "PNG")
    return file.getvalue()


def answers(rows: int) -> NDArray[np.float32]:
    return np.random.default_rng(rows).random((rows, 37), dtype=np.float32)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for stem in STEMS:
        (folder / f"{stem}.png").write_bytes(encoded(stem))
    return folder


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Rows for 7, 300 and 55, which has no image, in this order; 20 and 1000 have none."""
    path = tmp_path / "labels.csv"
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["GalaxyID", *COLUMNS])
        writer.writerows([number, *row] for number, row in zip((7, 300, 55), answers(3).tolist(), strict=True))
    return path


def contents(store: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in store.iterdir()}


def test_pack(images: Path, labels: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    summary = pack(images, labels, tmp_path / "s", size=SIZE, crop=16, workers=2, progress=lambda *at: steps.append(at))

    pixels = np.load(tmp_path / "s" / "pixels.npy", allow_pickle=False)
    preprocess = Preprocess(SIDE, 16, SIZE)
    want = [decode((images / f"{stem}.png").read_bytes(), preprocess, stem)[0] for stem in ("7", "20", "300", "1000")]
    assert (pixels.dtype, pixels.shape) == (np.uint8, (4, SIZE, SIZE, 4))
    assert np.array_equal(pixels[..., :3], want)
    assert not pixels[..., 3].any()
    ids = np.load(tmp_path / "s" / "ids.npy", allow_pickle=False)
    assert (ids.dtype, ids.tolist()) == (np.int64, [7, 20, 300, 1000])
    packed = np.load(tmp_path / "s" / "labels.npy", allow_pickle=False)
    assert packed.dtype == np.float32
    assert np.array_equal(packed[[0, 2]], answers(3)[:2])
    assert np.isnan(packed[[1, 3]]).all()
    assert {file.name for file in (tmp_path / "s").iterdir()} == {"pixels.npy", "ids.npy", "labels.npy", "store.json"}

    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (summary.preprocess, summary.images, summary.labelled) == (preprocess, 4, 2)
    assert (summary.images, summary.labelled, summary.labels_without_images) == (4, 2, 1)
    assert (summary.converted, summary.skipped) == ({}, ())


def test_pack_takes_the_whole_frame_and_no_labels(images: Path, tmp_path: Path) -> None:
    summary = pack(images, None, tmp_path / "s", size=SIZE, workers=1)
    assert (summary.preprocess, summary.labelled) == (Preprocess(SIDE, SIDE, SIZE), 0)
    assert {file.name for file in (tmp_path / "s").iterdir()} == {"pixels.npy", "ids.npy", "store.json"}
    assert open_store(tmp_path / "s").labels is None


def test_pack_is_the_same_by_every_way(images: Path, labels: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for file in sorted(images.iterdir(), reverse=True):
            archive.write(file, f"images_training_rev1/{file.name}")
    with zipfile.ZipFile(tmp_path / "labels.zip", "w") as archive:
        archive.write(labels, "labels.csv")
    ways = [(images, labels, 1), (images, labels, 4), (tmp_path / "images.zip", tmp_path / "labels.zip", 3)]
    stores = []
    for number, (source, table, workers) in enumerate(ways):
        pack(source, table, tmp_path / f"s{number}", size=SIZE, workers=workers)
        stores.append(contents(tmp_path / f"s{number}"))
    assert stores[0] == stores[1] == stores[2]


@pytest.mark.parametrize("name", ["NGC 1300", "150.1234", "0005000"])
def test_pack_keeps_names_that_are_not_the_ids(name: str, images: Path, tmp_path: Path) -> None:
    (images / f"{name}.png").write_bytes(encoded(name))
    pack(images, None, tmp_path / "s", size=SIZE, workers=1)
    store = open_store(tmp_path / "s")
    assert names_of(store) == ["7", "20", "300", "1000", name]
    assert store.ids.tolist() == [7, 20, 300, 1000, galaxy_id(name)]


def test_pack_counts_what_it_converts_and_skips(images: Path, labels: Path, tmp_path: Path) -> None:
    for stem, mode in {"1": "L", "2": "L", "3": "RGBA"}.items():
        (images / f"{stem}.png").write_bytes(encoded(stem, mode))
    (images / "7.png").write_bytes(b"")
    (images / "2000.png").write_bytes(b"x")
    summary = pack(images, labels, tmp_path / "s", size=SIZE, workers=2, skip_bad=True)
    assert (summary.images, summary.labelled, summary.converted) == (6, 1, {"L": 2, "RGBA": 1})
    assert ["7.png" in summary.skipped[0], "2000.png" in summary.skipped[1], len(summary.skipped)] == [True, True, 2]
    assert np.load(tmp_path / "s" / "pixels.npy").shape == (6, SIZE, SIZE, 4)
    assert open_store(tmp_path / "s").ids.tolist() == [1, 2, 3, 20, 300, 1000]


def test_pack_interrupted_leaves_nothing(images: Path, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(images, None, tmp_path / "s", size=SIZE, workers=2, progress=interrupt)
    assert {file.name for file in tmp_path.iterdir()} == {"images"}


def test_pack_replaces_what_a_kill_left(images: Path, tmp_path: Path) -> None:
    leftover = tmp_path / "s.0123abcd.partial"
    leftover.mkdir()
    (leftover / "labels.npy").write_bytes(b"half")
    with pytest.raises(DataFault, match=r"got No such file or directory beside .*s\.0123abcd\.partial, of a `pack`"):
        open_store(tmp_path / "s")
    pack(images, None, tmp_path / "s", size=SIZE, workers=1)
    assert not leftover.exists()
    assert "labels.npy" not in contents(tmp_path / "s")


def test_pack_holds_few_images(tmp_path: Path) -> None:
    def held_at_the_end(count: int) -> int:
        folder = tmp_path / f"{count}"
        folder.mkdir()
        for number in range(count):
            (folder / f"{number}.png").write_bytes(encoded("7"))
        held: list[int] = []

        def look(done: int, total: int) -> None:
            if done == total:
                held.append(memory_of(packing, images_of))

        with trace_memory():
            pack(folder, None, tmp_path / f"s{count}", size=64, workers=1, progress=look)
        return held[0]

    # 80 more images of 64 x 64 x 3 bytes would be 1 MB
    assert held_at_the_end(100) - held_at_the_end(20) < 300_000
