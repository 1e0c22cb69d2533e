"""Reading files and zips without trusting their contents or their stated sizes."""

import errno
import json
import os
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from galaxy_triton.system.errors import DataFault, expected, reason

MAX_BYTES = 2**30  # read at once: four images of 64 million pixels as plain RGBA, or a table of two million galaxies
MAX_JSON = 2**24  # store.json of a store of 10 TB; a parsed value takes some thirty times its text


def read_file(file: Path, limit: int | None = MAX_BYTES) -> bytes:
    """The bytes of a file.

    Raises:
        OSError: it cannot be read, is larger than `limit`, or is no regular file.
    """
    require_regular(file)
    if limit is not None and file.stat().st_size > limit:
        raise OSError(errno.EFBIG, f"{file.stat().st_size} bytes, more than {limit}")
    return file.read_bytes()


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it holds no JSON object.
    """
    try:
        values = json.loads(read_file(file, MAX_JSON))
    except RecursionError as error:
        raise ValueError("values nested too deeply") from error
    if not isinstance(values, dict):
        raise ValueError("no JSON object")
    return values


def require_regular(file: Path) -> None:
    """Raise unless `file` is a regular file: opening a pipe blocks, and a device may never end.

    Raises:
        OSError: the path does not exist, or is a folder, a pipe or a device.
    """
    try:
        mode = file.stat().st_mode
    except ValueError as error:  # a NUL in the path
        raise OSError(errno.EINVAL, str(error)) from error
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "a pipe or a device")


@contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip for reading.

    Raises:
        DataFault: missing, truncated, or no zip.
    """
    try:
        require_regular(path)
        archive = zipfile.ZipFile(path)
    # zipfile raises nearly any exception on a broken directory.
    except Exception as error:
        raise DataFault(expected("a whole zip file", reason(error), path, "download or copy it again")) from error
    with archive:
        yield archive


def visible_names(archive: zipfile.ZipFile) -> list[str]:
    """The names of the files in a zip, without folders, dotfiles and macOS's additions.

    Raises:
        DataFault: a name leads out of the zip's own folder, or contains backslashes.
    """
    names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    for name in names:
        if "\\" in name or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            do = "make the zip again with plain relative names"
            raise DataFault(expected("names inside the zip's own folder", repr(name), archive.filename, do))
    return [name for name in names if not any(is_hidden(part) for part in PurePosixPath(name).parts)]


def is_hidden(name: str) -> bool:
    """Whether this is the name of a dotfile or of a folder that macOS adds."""
    return name.startswith(".") or name == "__MACOSX"


def read_entry(archive: zipfile.ZipFile, name: str) -> bytes:
    """The bytes of one file of a zip, checked against its CRC-32.

    Raises:
        DataFault: damaged, encrypted, compressed by a method unknown to Python, or above 1 GiB when unpacked.
    """
    where = f"{archive.filename}, {name}"
    # zipfile returns at most as many bytes as the entry states.
    size = archive.getinfo(name).file_size
    if size > MAX_BYTES:
        raise DataFault(expected(f"at most {MAX_BYTES} bytes", size, where, "leave it out of the zip"))
    try:
        return archive.read(name)
    # Each compression method has its own errors.
    except Exception as error:
        raise DataFault(expected("a readable file", reason(error), where, "copy or make the zip again")) from error
