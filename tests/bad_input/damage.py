"""Makers of bad input: copies of the small sky and of its run with something wrong in them, in a folder of a test."""

import hashlib
import io
import json
import os
import shutil
import stat
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from galaxy_triton.data.store import manifest_text
from galaxy_triton.data.store_arrays import pixels_header
from tests.bad_input.world import World

SIDE = 40  # of the sky's images
HEADER = "GalaxyID," + ",".join(
    f"Class{question}.{answer}"
    for question, answers in enumerate((3, 2, 2, 2, 4, 2, 3, 7, 3, 3, 6), 1)
    for answer in range(1, answers + 1)
)

Change = Callable[[Path], object]  # of a file or a folder


def file(world: World, name: str, content: bytes | str) -> Path:
    path = world.new / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def pipe(world: World, name: str) -> Path:
    """Who opens it waits for ever."""
    (world.new / name).parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(world.new / name)
    return world.new / name


def image(mode: str = "RGB", kind: str = "PNG", width: int = SIDE, height: int = SIDE) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (width, height), (90, 60, 30)).convert(mode).save(content, kind)
    return content.getvalue()


def png(width: int, height: int, depth: int = 8, colour: int = 2, data: bytes = b"") -> bytes:
    """By hand: Pillow writes no 16-bit RGB, and would fill gigabytes for a huge one."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def images(world: World, **contents: bytes) -> Path:
    """A copy of the images with others beside them: _7=... is 7.png."""
    shutil.copytree(world.images, world.new / "images")
    for stem, content in contents.items():
        file(world, f"images/{stem.removeprefix('_')}.png", content)
    return world.new / "images"


def archive(world: World, *entries: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(world.new / "i.zip", "w") as writer, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name given twice
        for name, content in entries:
            writer.writestr(name, content)
    return world.new / "i.zip"


def link_archive(world: World) -> Path:
    """A symbolic link to a file outside, as zip stores one."""
    link = zipfile.ZipInfo("images/9.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(world.new / "i.zip", "w") as writer:
        writer.writestr("images/7.png", image())
        writer.writestr(link, "/etc/passwd")
    return world.new / "i.zip"


def patched_archive(world: World, at: int, value: bytes, name: str = "7.png") -> Path:
    """A zip of one image whose directory is edit: `at` counts from the directory's record of it."""
    path = archive(world, (name, image()))
    content = bytearray(path.read_bytes())
    record = content.index(b"PK\x01\x02")
    content[record + at : record + at + len(value)] = value
    path.write_bytes(content)
    return path


def table(world: World, *lines: str, name: str = "l.csv") -> Path:
    return file(world, name, "\n".join(lines) + "\n")


def row(number: object, **cells: object) -> str:
    """A good row, with the cells named by place: row(7, _3="high")."""
    values = [str(number), *["0.5"] * 37]
    for place, value in cells.items():
        values[int(place[1:])] = str(value)
    return ",".join(values)


def cut(path: Path, keep: float = 0.5) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    return path


def flip(path: Path, at: int) -> Path:
    content = bytearray(path.read_bytes())
    content[at] ^= 4
    path.write_bytes(content)
    return path


def store(world: World, damage: Change) -> Path:
    """A copy of the store, damaged."""
    shutil.copytree(world.store, world.new / "store")
    damage(world.new / "store")
    return world.new / "store"


def forge_store(world: World, arrays: dict[str, Any] | None = None, **values: Any) -> Path:
    """A copy of the store with other arrays or values of store.json, and hashes that match them."""

    def forge(path: Path) -> None:
        for name, array in (arrays or {}).items():
            np.save(path / name, array, allow_pickle=True)
        seal(path, *(arrays or {}), **values)

    return store(world, forge)


def seal(path: Path, *names: str, **values: Any) -> Path:
    """Make store.json go with changed arrays and values, as a stranger can."""
    manifest = json.loads((path / "store.json").read_text())
    del manifest["hash"]
    manifest["hashes"] |= {name: hashlib.sha256((path / name).read_bytes()).hexdigest() for name in names}
    (path / "store.json").write_text(manifest_text({**manifest, **values}))
    return path


def array(world: World, name: str) -> NDArray[Any]:
    loaded: NDArray[Any] = np.load(world.store / name)
    return loaded


def huge_store(world: World) -> Path:
    """A header of 10^9 images above the pixels of 48."""
    path = forge_store(world, images=10**9)
    content = (path / "pixels.npy").read_bytes()
    (path / "pixels.npy").write_bytes(pixels_header(10**9, 24) + content[128:])
    return path


def store_of_size(world: World, size: int, labels: bool = True) -> Path:
    options = ("--labels", world.labels) if labels else ()
    world.succeed("pack", world.images, *options, "--out", world.new / "other", "--size", size)
    return world.new / "other"


def damaged_run(name: str, change: Change) -> Callable[[World], Path]:
    """A maker of a copy of the run with one file changed."""
    return lambda world: run(world, name, change)


def run(world: World, name: str, change: Change) -> Path:
    """A copy of the run with one file changed."""
    shutil.copytree(world.run, world.new / "run")
    change(world.new / "run" / name)
    return world.new / "run"


def write(content: bytes | str) -> Change:
    """A change: the file holds this."""
    return lambda path: path.write_bytes(content.encode() if isinstance(content, str) else content)


def edit(**values: Any) -> Change:
    """A change: the JSON object in the file has these values."""
    return lambda path: path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def replace(old: str, new: str) -> Change:
    """A change: some text in the file is another."""
    return lambda path: path.write_text(path.read_text().replace(old, new))


def rehash(change: Change) -> Change:
    """A change of a file of a checkpoint that its checkpoint.json goes with."""

    def both(path: Path) -> None:
        change(path)
        manifest = path.with_name("checkpoint.json")
        values = json.loads(manifest.read_text())
        values["hashes"][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        manifest.write_text(json.dumps(values))

    return both


def deep(brackets: int = 100_000) -> str:
    """JSON nested more deeply than any parser follows."""
    return "[" * brackets + "]" * brackets
