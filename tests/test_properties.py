"""Any bytes give the right result or a clean fault; round trips, lookups and the tree for any values."""

import csv
import io
import json
import math
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from galaxy_triton.config.schema import Preprocess
from galaxy_triton.data.images import decode, decode_images, measure_frame, open_images
from galaxy_triton.data.pack import pack
from galaxy_triton.data.store import manifest_text, open_store, verify
from galaxy_triton.galaxyzoo.ids import MAX_LENGTH, NOT_AN_ID, galaxy_id, is_integer, rows_of
from galaxy_triton.galaxyzoo.questions import COLUMNS, PARENTS, SPANS
from galaxy_triton.galaxyzoo.tables import read_answers, read_ids
from galaxy_triton.galaxyzoo.tree import gaps
from galaxy_triton.galaxyzoo.write_tables import write_answers
from galaxy_triton.system.errors import DataFault, UsageFault

SIDE = 6
IDS = st.integers(0, 2**63 - 1)
FRACTIONS = st.floats(0, 1, width=32)
# what a file can be called and a table's cell can hold
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\."), min_size=1, max_size=9)


def examples(count: int) -> settings:
    """The same ones every time. The folder of a test is shared by its examples: each writes all that it reads."""
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@st.composite
def edits(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Up to three edits of bytes: overwritten, cut out, put in."""
    changes = draw(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), st.binary(max_size=12)), max_size=3))

    def edit(content: bytes) -> bytes:
        for place, length, new in changes:
            at = int(place * len(content))
            content = content[:at] + new + content[at + length :]
        return content

    return edit


def png(colour: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE), (colour, 255 - colour, 7)).save(file, "PNG")
    return file.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


IMAGES = {f"{number}.png": png(number) for number in (7, 20, 100)}
ZIP = zipped(IMAGES)
TABLE = ",".join(("GalaxyID", *COLUMNS)) + "\n" + "".join(f"{number}{',0.25' * 37}\n" for number in (7, 20, 100))


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    (folder / "i.zip").write_bytes(ZIP)
    (folder / "l.csv").write_text(TABLE)
    pack(folder / "i.zip", folder / "l.csv", folder / "store", size=SIDE, workers=1)
    return folder / "store"


@examples(60)
@given(edit=edits())
def test_a_zip_gives_its_images_or_a_fault(edit: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """Pixels have no way to be wrong: each entry has its checksum."""
    (tmp_path / "i.zip").write_bytes(edit(ZIP))
    bad: list[DataFault] = []
    try:
        with open_images(tmp_path / "i.zip") as source:
            preprocess = Preprocess(measure_frame(source), SIDE, SIDE)
            for entry, pixels, _ in decode_images(source, preprocess, 1, bad.append):
                assert pixels[0, 0].tolist() in [[number, 255 - number, 7] for number in (7, 20, 100)]
                assert entry.id == galaxy_id(entry.stem)
    except (DataFault, UsageFault):
        pass


PICTURES = {kind: io.BytesIO() for kind in ("JPEG", "PNG", "TIFF")}
for kind, file in PICTURES.items():
    Image.effect_noise((SIDE, SIDE), 50).convert("RGB").save(file, kind)


@examples(80)
@given(kind=st.sampled_from(sorted(PICTURES)), edit=edits())
def test_a_picture_is_decoded_or_a_fault(kind: str, edit: Callable[[bytes], bytes], tmp_path: Path) -> None:
    (tmp_path / "7.png").write_bytes(edit(PICTURES[kind].getvalue()))
    # opened as `pack` does, which is where Pillow's warnings are dealt with
    with open_images(tmp_path) as source:
        try:
            pixels, mode = decode(source.read(source.entries[0]), Preprocess(SIDE, SIDE, SIDE), "7.png")
        except DataFault:
            return
    assert (pixels.shape, pixels.dtype) == ((SIDE, SIDE, 3), np.uint8)
    assert mode in ("RGB", "L", "LA", "RGBA")


@examples(60)
@given(edit=edits())
def test_a_table_is_read_as_it_stands_or_a_fault(edit: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """Python's csv module is the other reader."""
    (tmp_path / "l.csv").write_bytes(edit(TABLE.encode()))
    try:
        ids, answers = read_answers(tmp_path / "l.csv")
    except DataFault:
        return
    with (tmp_path / "l.csv").open(newline="", encoding="utf-8-sig") as handle:
        rows = [{key.strip(): cell for key, cell in row.items()} for row in csv.DictReader(handle)]
    assert ids.tolist() == [galaxy_id(row["GalaxyID"].strip()) for row in rows]
    want = [[np.float32(row[column]) for column in COLUMNS] for row in rows]
    assert np.abs(answers - want).max() <= 1e-6
    assert ((answers >= 0) & (answers <= 1)).all()


@examples(60)
@given(
    ids=st.lists(
        st.one_of(IDS, NAMES.filter(lambda name: name == name.strip())), min_size=1, max_size=6, unique_by=str
    ),
    data=st.data(),
)
def test_written_answers_are_read_back(ids: list[int | str], data: st.DataObject, tmp_path: Path) -> None:
    values = st.lists(FRACTIONS, min_size=37 * len(ids), max_size=37 * len(ids))
    want = np.array(data.draw(values), dtype=np.float32).reshape(-1, 37)
    numbers = [galaxy_id(str(name)) for name in ids]
    # 7 and 007 are one id, and "nan" is none
    if len(set(numbers)) < len(numbers) or any(NOT_AN_ID.fullmatch(str(name)) for name in ids):
        return
    write_answers(tmp_path / "a.csv", [(ids, want)], replace=True)
    got_ids, got = read_answers(tmp_path / "a.csv")
    assert got_ids.tolist() == numbers == read_ids(tmp_path / "a.csv").tolist()
    # 7 digits, and float32's own rounding, which near zero is absolute
    np.testing.assert_allclose(got, want, rtol=5e-7 + 6e-8, atol=1e-45)


@examples(60)
@given(name=st.text(max_size=MAX_LENGTH))
def test_galaxy_id_is_in_range_and_keeps_integers(name: str) -> None:
    number = galaxy_id(name)
    assert 0 <= number < 2**63
    assert galaxy_id(str(number)) == number
    assert is_integer(name) == (name.isascii() and name.isdecimal() and len(name) < 20 and int(name) < 2**63)


@examples(60)
@given(ids=st.lists(IDS, min_size=1, max_size=20, unique=True), others=st.lists(IDS, max_size=5))
def test_rows_of_is_a_dictionary(ids: list[int], others: list[int]) -> None:
    rows = {number: row for row, number in enumerate(ids)}
    wanted = [*ids[::2], *others]
    got = rows_of(np.array(ids, np.int64), np.array(wanted, np.int64))
    assert got.tolist() == [rows.get(number, -1) for number in wanted]


@examples(50)
@given(shares=st.lists(st.floats(1e-3, 1), min_size=37, max_size=37), column=st.integers(0, 36), by=st.floats(0.01, 1))
def test_gaps_are_nothing_for_a_walk_and_what_was_added(shares: list[float], column: int, by: float) -> None:
    answers = np.zeros((1, 37))
    for span, parent in sorted(zip(SPANS, PARENTS, strict=True), key=lambda pair: -1 if pair[1] is None else pair[1]):
        part = np.array(shares[span])
        answers[0, span] = part / part.sum() * (1 if parent is None else answers[0, parent])
    assert gaps(answers).max() < 1e-12
    answers[0, column] += by
    broken = [math.isclose(size, by) for size in gaps(answers)[0]]
    assert broken == [
        column in range(37)[span] or parent == column for span, parent in zip(SPANS, PARENTS, strict=True)
    ]


@examples(50)
@given(name=st.sampled_from(["store.json", "ids.npy", "labels.npy", "pixels.npy"]), edit=edits())
def test_an_edited_store_is_the_same_or_a_fault(
    name: str, edit: Callable[[bytes], bytes], packed: Path, tmp_path: Path
) -> None:
    shutil.copytree(packed, tmp_path / "s", dirs_exist_ok=True)
    (tmp_path / "s" / name).write_bytes(edit((packed / name).read_bytes()))
    try:
        store = open_store(tmp_path / "s")
        verify(store)
    except DataFault:
        return
    whole = open_store(packed)
    assert (store.hash, store.preprocess, store.ids.tolist()) == (whole.hash, whole.preprocess, whole.ids.tolist())
    assert np.array_equal(store.pixels, whole.pixels)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=4,
)


@examples(60)
@given(
    values=st.dictionaries(st.sampled_from(["version", "preprocess", "images", "columns", "hashes", "blocks"]), JSON)
)
def test_a_forged_store_is_a_fault(values: dict[str, Any], packed: Path, tmp_path: Path) -> None:
    """The hash of store.json matches; the values are any."""
    manifest = json.loads((packed / "store.json").read_text())
    del manifest["hash"]
    shutil.copytree(packed, tmp_path / "s", dirs_exist_ok=True)
    (tmp_path / "s" / "store.json").write_text(manifest_text({**manifest, **values}))
    try:
        store = open_store(tmp_path / "s")
    except DataFault:
        return
    assert len(store.ids) == len(store.pixels) == 3
    assert len(store.blocks) == 1
