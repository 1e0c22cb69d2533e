"""Rows of the table of bad input: images and zips, tables, stores."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.bad_input import damage
from tests.bad_input.damage import HEADER, SIDE, archive, file, forge_store, image, images, png, row, table
from tests.bad_input.world import Case, Maker, World, fault, success, usage

PACK = "pack {made} --out {out}"
LABEL = "pack {images} --labels {made} --out out --size 24"


def _pack(name: str, make: Maker, said: str) -> Case:
    """Pack these images alone."""
    return fault(f"pack: {name}", PACK, said, make)


def _bad(name: str, content: bytes, said: str) -> Case:
    """Pack the sky's images with a bad one among them."""
    return _pack(name, lambda w: images(w, _7=content), said)


def _label(name: str, make: Maker, said: str) -> Case:
    """Pack the sky with this table."""
    return fault(f"labels: {name}", LABEL, said, make)


def _lines(name: str, said: str, *lines: str) -> Case:
    return _label(name, lambda w: table(w, *lines), said)


def _check(name: str, make: Maker, said: str, command: str = "check {made}") -> Case:
    return fault(f"check: {name}", command, said, make)


def _info(name: str, make: Maker, said: str, options: str = "") -> Case:
    return fault(f"store: {name}", "info {made} " + options, said, make)


def _damaged(name: str, change: damage.Change, said: str, options: str = "") -> Case:
    """A damaged copy of the store, with the hashes that it had."""
    return _info(name, lambda w: damage.store(w, change), said, options)


def _manifest(name: str, **values: Any) -> Case:
    """A store.json with other values."""
    return _info(name, lambda w: forge_store(w, **values), A_MANIFEST)


def _array(file: str, name: str, change: Callable[[Any], Any], said: str) -> Case:
    """An array of the store changed, with hashes that match."""
    return _info(name, lambda w: forge_store(w, {file: change(damage.array(w, file))}), said)


def _sparse(world: World) -> Path:
    os.truncate(images(world, _7=b"") / "7.png", 2**30 + 1)
    return world.new / "images"


def _beside(change: Callable[[Path], object]) -> Maker:
    """A copy of the images, with something else put into the folder."""

    def make(world: World) -> Path:
        folder = images(world)
        change(folder)
        return folder

    return make


def _to_pipe(store: Path) -> None:
    (store / "pixels.npy").unlink()
    os.mkfifo(store / "pixels.npy")


NOT_WHOLE, NO_IMAGE, ONCE = "Expected a whole zip file, got", "Expected a whole JPEG, PNG or TIFF image", "each id once"
INSIDE, TOO_LARGE = "Expected names inside the zip's own folder, got", "Expected at most 64 million pixels"

IMAGES: tuple[Case, ...] = (
    usage("pack: store exists", "pack {images} --out {store}", "Expected a new or empty folder"),
    _pack("no image in the folder", lambda w: w.store, "Expected JPEG, PNG or TIFF images, got none"),
    _pack("an empty zip", archive, "Expected JPEG, PNG or TIFF images, got none"),
    _pack("half a zip", lambda w: file(w, "i.zip", w.archive.read_bytes()[:5000]), NOT_WHOLE),
    _pack("a pipe", lambda w: damage.pipe(w, "i.zip"), "Expected a whole zip file, got a pipe or a device"),
    _pack("two folders in the zip", lambda w: archive(w, ("a/7.png", image()), ("b/8.png", image())), "in one folder"),
    _pack("an image beside a folder of them", lambda w: archive(w, ("7.png", b""), ("a/8.png", b"")), "in one folder"),
    _pack("a name that no table can have", lambda w: images(w, **{"_7.0": b""}), "an id in a table, got '7.0.png'"),
    _pack("a zip entry that climbs out", lambda w: archive(w, ("../7.png", image())), f"{INSIDE} '../7.png'"),
    _pack("a zip entry with backslashes", lambda w: archive(w, ("..\\7.png", image())), INSIDE),
    _pack("a zip entry that is a link", damage.link_archive, f"{NO_IMAGE}, got 11 bytes that do not decode"),
    _pack("a zip entry of 2 GB", lambda w: damage.patched_archive(w, 24, b"\0\0\0\x80"), "Expected at most 1073741824"),
    _pack("an encrypted zip", lambda w: damage.patched_archive(w, 8, b"\1"), "Expected a readable file, got File"),
    _pack(
        "a wrong checksum", lambda w: damage.patched_archive(w, 16, b"abcd"), "Expected a readable file, got Bad CRC"
    ),
    _pack("a zip entry's name is no UTF-8", lambda w: damage.patched_archive(w, 46, b"\xff", "é.png"), NOT_WHOLE),
    _pack("a name of 300 letters", lambda w: archive(w, ("a" * 300 + ".png", image())), "at most 255 characters"),
    _pack(
        "a file's name is no UTF-8",
        _beside(lambda at: (at / os.fsdecode(b"\xff.png")).touch()),
        "Expected a name in UTF-8",
    ),
    _pack("one id twice in a zip", lambda w: archive(w, ("7.png", b""), ("007.png", b"")), ONCE),
    _pack("1.png and 01.png", lambda w: images(w, _1=b"", _01=b""), ONCE),
    _pack("a pipe among images", lambda w: damage.pipe(w, str(images(w) / "7.png")).parent, "got a pipe or a device"),
    _pack("a broken link", _beside(lambda at: (at / "7.png").symlink_to("gone")), "a readable file, got No such"),
    _pack("a folder called 7.png", _beside(lambda at: (at / "7.png").mkdir()), "a readable file, got Is a dir"),
    _pack("an image of more than 1 GiB", _sparse, "Expected a readable file, got 1073741825 bytes"),
    _bad("a zero-byte image", b"", f"{NO_IMAGE}, got 0 bytes that do not decode (7.png)"),
    _bad("half a PNG", image()[:60], NO_IMAGE),
    _bad("half a JPEG", image(kind="JPEG")[:400], NO_IMAGE),
    _bad("half a TIFF", image(kind="TIFF")[:400], NO_IMAGE),
    _bad("a BMP", image(kind="BMP"), NO_IMAGE),
    _bad("another size", image(width=41, height=41), "Expected 40 x 40 pixels, got 41 x 41 (7.png)"),
    _bad("CMYK", image("CMYK", "JPEG"), "Expected 8 bits a channel, RGB or grey, got mode CMYK"),
    _bad("a palette", image("P"), "got mode P"),
    _bad("16-bit grey", png(SIDE, SIDE, 16, 0, (b"\0" + bytes(2 * SIDE)) * SIDE), "got 16 bits a channel"),
    _bad("16-bit RGB", png(SIDE, SIDE, 16, 2, (b"\0" + bytes(6 * SIDE)) * SIDE), "got 16 bits a channel"),
    _bad("64.008 million pixels", png(8001, 8000), f"{TOO_LARGE}, got 8001 x 8000"),
    _bad("900 million pixels", png(30_000, 30_000), TOO_LARGE),
    _pack("no square", lambda w: archive(w, ("7.png", image(width=41))), "Expected square images, got 41 x 40"),
    fault(
        "pack: nothing but bad images",
        PACK + " --skip-bad",
        NO_IMAGE,
        lambda w: archive(w, ("7.png", b"x")),
    ),
    success("pack: --skip-bad", PACK + " --skip-bad", f"eft out: {NO_IMAGE}", lambda w: images(w, _7=b"")),
    success(
        "pack: greyscale", PACK, "2 images were L and became RGB", lambda w: images(w, _7=image("L"), _8=image("L"))
    ),
)

COLUMNS = "Expected GalaxyID and the 37 answers as columns"
FRACTION, NO_CSV = "Expected a fraction", "Expected a CSV file"
OF_ASKED = "7," + ",".join(str(int(name.endswith(".1"))) for name in HEADER.split(",")[1:])  # all gave the first answer

TABLES: tuple[Case, ...] = (
    usage("labels: a folder", LABEL, "is a directory", lambda w: w.images),
    _label("a pipe", lambda w: damage.pipe(w, "l.csv"), "got a pipe or a device"),
    _label("empty", lambda w: file(w, "l.csv", b""), "Expected a header line"),
    _lines("a header alone", "Expected rows below the header, got none", HEADER),
    _lines("no header", "Expected a header line", row(7)),
    _lines("a column missing", f"{COLUMNS}, got without 'Class11.6'", HEADER[: HEADER.rindex(",")], row(7)),
    _lines("a column too many", f"{COLUMNS}, got also 'x'", HEADER + ",x", row(7) + ",1"),
    _lines("an id twice, written otherwise", ONCE, HEADER, row(7), row("007")),
    _lines("an id that is no whole number", "Expected a whole number", HEADER, row("7.0")),
    _lines("an id of 300 letters", "at most 255 characters", HEADER, row("a" * 300)),
    _lines("NaN", f"{FRACTION} from 0 to 1, got 'nan'", HEADER, row(7, _3="nan")),
    _lines("percent", "people, got percent", HEADER, row(7, _1="90.1", _2="9.9", _3=0)),
    _lines("counts of votes", "people, got counts of votes", HEADER, "7,30,9,1" + ",0" * 34),
    _lines("fractions of those asked", "people, got fractions of those who", HEADER, OF_ASKED),
    _lines("above 1", f"{FRACTION} from 0 to 1, got '1.5'", HEADER, row(7, _3="1.5")),
    _lines("1e999", f"{FRACTION} from 0 to 1, got '1e999'", HEADER, row(7, _3="1e999")),
    _lines("a row too short", "Expected a cell for each column, got 2 for 38", HEADER, "7,0.5"),
    _lines("an open quote", NO_CSV, HEADER, '"7' + row("")),
    _lines("a cell of 200,000 letters", NO_CSV, HEADER, row(7, _3="1" * 200_000)),
    _label("a zip without a table", lambda w: archive(w, ("a.txt", b"")), "Expected one CSV file in the zip, got 0"),
    _label("a zip of two", lambda w: archive(w, ("a.csv", b""), ("b.csv", b"")), "Expected one CSV file in the zip"),
    _lines("of other galaxies", "Expected labels of the images in", HEADER, row(7)),
    success("labels: off the tree", LABEL, "are off the decision tree", lambda w: table(w, HEADER, row(w.first))),
    success("labels: too few", LABEL, "47 images have no label", lambda w: table(w, HEADER, row(w.first))),
    success("labels: too many", LABEL, "1 labels have no image", lambda w: table(w, HEADER, row(w.first), row(7))),
)

PACKED, A_MANIFEST = "Expected the bytes that were packed", "Expected the store.json of a store, got"
IDS, LABELS = "Expected 48 ids, int64, ascending", "Expected 48 rows of 37 fractions or of NaN, float32"

STORES: tuple[Case, ...] = (
    _info("missing", lambda w: w.new, "Expected a store, got No such file"),
    _info("a file", lambda w: w.labels, "Expected a store, got Not a directory"),
    _damaged("half of store.json", lambda at: damage.cut(at / "store.json"), A_MANIFEST),
    _info("another version", lambda w: forge_store(w, version=2), "Expected store format version 1, got version 2"),
    _damaged("a byte flipped in store.json", lambda at: damage.flip(at / "store.json", 60), PACKED),
    _damaged("a byte flipped in ids.npy", lambda at: damage.flip(at / "ids.npy", -8), PACKED),
    _damaged("the head of pixels.npy", lambda at: damage.flip(at / "pixels.npy", 40), "another h"),
    _damaged("a byte flipped in pixels.npy", lambda at: damage.flip(at / "pixels.npy", -7), PACKED, "--verify"),
    _damaged("half the pixels", lambda at: damage.cut(at / "pixels.npy"), "Expected 110720 bytes"),
    _damaged("no ids", lambda at: (at / "ids.npy").unlink(), "an array of the store, got No such"),
    _damaged("the pixels are a pipe", _to_pipe, "got a pipe or a device"),
    _array("ids.npy", "ids in another order", lambda ids: ids[::-1], IDS),
    _array("ids.npy", "negative ids", lambda ids: ids - 10**6, IDS),
    _array("ids.npy", "ids too few", lambda ids: ids[1:], IDS),
    _array("ids.npy", "ids are objects", lambda ids: ids.astype(object), "Expected an array of the store, got Object"),
    _array("labels.npy", "36 columns", lambda labels: labels[:, 1:], LABELS),
    _array("labels.npy", "labels above 1", lambda labels: labels + 1, LABELS),
    _array("labels.npy", "a label with a gap", lambda labels: np.where(labels == labels[3, 5], np.nan, labels), LABELS),
    _info("names of other ids", lambda w: forge_store(w, {"names.npy": np.array(["a"] * 48)}), "the names of the"),
    _info(
        "a name that is no text", lambda w: forge_store(w, {"names.npy": np.array(["\udcff"] * 48)}), "a name in UTF-8"
    ),
    _manifest("a file outside", hashes={"ids.npy": "", "../labels.csv": ""}),
    _manifest("no hash of the ids", hashes={}),
    _info("10^9 images", damage.huge_store, A_MANIFEST),
    _manifest("images without end", images=float("inf")),
    _manifest("images of 10^9 pixels", preprocess={"frame": 40, "crop": 40, "size": 10**9}),
    _manifest("other columns", columns=["a"] * 37),
    _manifest("no blocks", blocks=None),
    _info(
        "a deep store.json",
        lambda w: damage.store(w, lambda at: file(w, "store/store.json", damage.deep())),
        A_MANIFEST,
    ),
)


CHECKS: tuple[Case, ...] = (
    _check("a header alone", lambda w: table(w, HEADER), "FAULT rows: at least one"),
    _check("10,000 letters", lambda w: table(w, HEADER, row("a" * 10_000, _3="x" * 10_000)), "Class1.3: 'xxx"),
    _check("a terminal's codes", lambda w: table(w, HEADER, row("\x1b[1m", _3="\x1b[2J")), "[1m, Class1.3: '\\x1b[2J'"),
    _check("of other galaxies", lambda w: table(w, HEADER, row(7)), "48 not: without", "check {made} --like {images}"),
    _check(
        "like half a store",
        lambda w: damage.store(w, lambda at: damage.cut(at / "store.json")),
        A_MANIFEST,
        "check {labels} --like {made}",
    ),
)
