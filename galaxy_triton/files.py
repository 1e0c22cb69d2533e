"""Files and folders that appear whole or not at all: written beside their place, then renamed into it; files and zips
read without trust in what they say of themselves."""

import errno
import json
import os
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from galaxy_triton.errors import DataFault, UsageFault, expected

PARTIAL = ".partial"
REPLACED = ".replaced"
MAX_BYTES = 2**30  # read at once: four images of 64 million pixels as plain RGBA, or a table of two million galaxies
MAX_JSON = 2**24  # store.json of a store of 10 TB; a parsed value takes some thirty times its text


def partial(target: Path) -> Path:
    """The sibling in which `target` is written until it is whole."""
    return target.with_name(target.name + PARTIAL)


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `target` to write; rename it into place when the block succeeds.

    Raises:
        DataFault: the disk is full, the folder cannot be written, or `target` is a folder or a device.
    """
    temporary = partial(target)
    try:
        # before the work, not after it; and a rename would put a file in the place of /dev/null
        if target.exists():
            require_regular(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        # a leftover may be a link to somewhere else, which writing would follow
        temporary.unlink(missing_ok=True)
        yield temporary
        _sync(temporary)
        os.replace(temporary, target)
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        # a parent that is a file raises here what was already reported above
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Yield an empty temporary sibling of `target` to fill; rename it into place when the block succeeds.

    A leftover of an earlier run that was killed is removed first. `target` itself must not exist.

    Raises:
        DataFault: `target` exists, the disk is full, or the folder cannot be written.
    """
    if target.exists():
        raise DataFault(expected("a new folder", "one that exists", target, "choose another name or remove it"))
    with _filled_beside(target, make_way=lambda target: None) as temporary:
        yield temporary


@contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """As `whole_folder`, but `target` may exist and is replaced: at every moment `target` or its old self is whole.

    A run that is killed between the two renames leaves the old folder under another name: `surviving` finds it.

    Raises:
        DataFault: the disk is full, or the folder cannot be written.
    """
    restore(target)
    with _filled_beside(target, make_way=_move_aside) as temporary:
        yield temporary
    shutil.rmtree(_old(target), ignore_errors=True)


@contextmanager
def _filled_beside(target: Path, make_way: Callable[[Path], None]) -> Iterator[Path]:
    """Yield an empty sibling to fill; then make way at `target` and put the sibling there."""
    temporary = partial(target)
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        for file in filter(Path.is_file, sorted(temporary.rglob("*"))):
            _sync(file)
        make_way(target)
        os.replace(temporary, target)
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _move_aside(target: Path) -> None:
    if target.exists():
        os.replace(target, _old(target))


def write_text(target: Path, text: str) -> None:
    """Write a file of text in UTF-8, whole or not at all.

    Raises:
        DataFault: as `whole_file`.
    """
    with whole_file(target) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def append(file: Path, text: str) -> None:
    """Add text to the end of a file, which need not exist; it is on the disk before what is written after it.

    Raises:
        DataFault: the disk is full, or the file cannot be written.
    """
    try:
        if file.is_symlink():
            raise OSError(errno.ELOOP, "a link")
        if file.exists():
            require_regular(file)
        with file.open("a", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
    except OSError as error:
        do = "free some space or choose another place; what was saved before is whole"
        raise DataFault(expected("to write to it", reason(error), file, do)) from error


def surviving(target: Path) -> Path:
    """Where `target` is whole: at its place, or, if its replacement was cut short, under the name of its old self."""
    old = _old(target)
    return old if old.exists() and not target.exists() else target


def restore(target: Path) -> None:
    """Put right what a killed `replaced_folder` left."""
    old = _old(target)
    if surviving(target) == old:
        os.replace(old, target)
    shutil.rmtree(old, ignore_errors=True)


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
    """Raise unless there is a file: to open a pipe blocks, and a device may never end.

    Raises:
        OSError: nothing is there, or a folder, a pipe or a device.
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
    # zipfile raises nearly anything on a broken directory
    except Exception as error:
        raise DataFault(expected("a whole zip file", reason(error), path, "download or copy it again")) from error
    with archive:
        yield archive


def visible_names(archive: zipfile.ZipFile) -> list[str]:
    """The names of the files in a zip, without folders, dotfiles and what macOS adds.

    Raises:
        DataFault: a name leads out of the folder that the zip would be unpacked to, or is written with backslashes.
    """
    names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    for name in names:
        if "\\" in name or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            do = "make the zip again with plain relative names"
            raise DataFault(expected("names inside the zip's own folder", repr(name), archive.filename, do))
    return [name for name in names if not any(is_hidden(part) for part in PurePosixPath(name).parts)]


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is a dotfile or macOS's."""
    return name.startswith(".") or name == "__MACOSX"


def read_entry(archive: zipfile.ZipFile, name: str) -> bytes:
    """The bytes of one file of a zip, checked against its CRC-32.

    Raises:
        DataFault: damaged, encrypted, packed by a method Python does not know, or above 1 GiB when unpacked.
    """
    where = f"{archive.filename}, {name}"
    # zipfile gives no more bytes than the size it states
    size = archive.getinfo(name).file_size
    if size > MAX_BYTES:
        raise DataFault(expected(f"at most {MAX_BYTES} bytes", size, where, "leave it out of the zip"))
    try:
        return archive.read(name)
    # and each method of packing has its own errors
    except Exception as error:
        raise DataFault(expected("a readable file", reason(error), where, "copy or make the zip again")) from error


def check_place(file: Path, option: str) -> None:
    """Raise unless a file may stand here, before the work that fills it.

    Args:
        option: of the command line, that named it.

    Raises:
        UsageFault: a folder or a device is there, or a file where its folder should be.
    """
    do = f"choose another {option}"
    if file.exists() and not file.is_file():
        raise UsageFault(expected("a file to write", "a folder or a device", file, do))
    above = next(folder for folder in file.absolute().parents if folder.exists())
    if not above.is_dir():
        raise UsageFault(expected("a folder to write in", f"the file {above}", file, do))


def reason(error: Exception) -> str:
    """An exception in a few words, for a message of ours."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _old(target: Path) -> Path:
    return target.with_name(target.name + REPLACED)


def _sync(file: Path) -> None:
    # for writing: Windows syncs no other
    with file.open("r+b") as handle:
        os.fsync(handle.fileno())


def _unwritable(target: Path, error: OSError) -> DataFault:
    return DataFault(
        expected(
            "to write it whole",
            reason(error),
            target,
            "free some space or choose another place; nothing was left there",
        )
    )
