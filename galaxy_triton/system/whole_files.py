"""Files and folders written whole or not at all: beside their place first, then renamed into it."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from galaxy_triton.system.errors import DataFault, UsageFault, expected, reason
from galaxy_triton.system.untrusted_files import require_regular

PARTIAL = ".partial"
REPLACED = ".replaced"


def partial(target: Path) -> Path:
    """The temporary sibling in which `target` is written."""
    return target.with_name(target.name + PARTIAL)


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `target` to write; rename it into place when the block succeeds.

    Raises:
        DataFault: the disk is full, the folder cannot be written, or `target` is a folder or a device.
    """
    temporary = partial(target)
    try:
        # Checked before the work; a rename would also replace a device such as /dev/null.
        if target.exists():
            require_regular(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        # Writing would follow a leftover link to somewhere else.
        temporary.unlink(missing_ok=True)
        yield temporary
        _sync(temporary)
        os.replace(temporary, target)
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        # A parent that is a file raises here again.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield an empty temporary sibling of `target` to fill; rename it into place when the block succeeds.

    The leftover of a killed process is removed first. With `replace` an old `target` is whole until the new one is; a
    process that is killed between the two renames leaves it under another name, where `find_whole` finds it.

    Raises:
        DataFault: `target` exists and is not to be replaced, the disk is full, or the folder cannot be written.
    """
    if replace:
        restore(target)
    elif target.exists():
        raise DataFault(expected("a new folder", "one that exists", target, "choose another name or remove it"))
    temporary = partial(target)
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        for file in filter(Path.is_file, sorted(temporary.rglob("*"))):
            _sync(file)
        if replace and target.exists():
            os.replace(target, _old(target))
        os.replace(temporary, target)
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    if replace:
        shutil.rmtree(_old(target), ignore_errors=True)


def write_text(target: Path, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all.

    Raises:
        DataFault: as `whole_file`.
    """
    with whole_file(target) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def append(file: Path, text: str) -> None:
    """Append text to a file, which is created if missing; on return the text is on the disk.

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
        do = "free some space or choose another place; earlier files are whole"
        raise DataFault(expected("to write to it", reason(error), file, do)) from error


def find_whole(target: Path) -> Path:
    """The path of the whole folder: `target`, or after a replacement that was cut short the name of the old folder."""
    old = _old(target)
    return old if old.exists() and not target.exists() else target


def restore(target: Path) -> None:
    """Undo or finish a replacement by `whole_folder` that was killed."""
    old = _old(target)
    if find_whole(target) == old:
        os.replace(old, target)
    shutil.rmtree(old, ignore_errors=True)


def check_place(file: Path, option: str) -> None:
    """Raise unless `file` can be written, as a check before long work.

    Args:
        option: the command-line option that names the file.

    Raises:
        UsageFault: the path is a folder or a device, or a parent of it is a file.
    """
    do = f"choose another {option}"
    if file.exists() and not file.is_file():
        raise UsageFault(expected("a file to write", "a folder or a device", file, do))
    above = next(folder for folder in file.absolute().parents if folder.exists())
    if not above.is_dir():
        raise UsageFault(expected("a folder to write in", f"the file {above}", file, do))


def require_new_folder(folder: Path, option: str, do: str | None = None) -> None:
    """Raise unless `folder` is absent or empty.

    Args:
        option: the command-line option that names the folder.
        do: what to do otherwise; None for "choose another" of that option.

    Raises:
        UsageFault: the folder holds something, cannot be read, or is a file.
    """
    try:
        got = "one with files" if any(folder.iterdir()) else None
    except FileNotFoundError:
        return
    except OSError as error:
        got = reason(error)
    if got:
        raise UsageFault(expected("a new or empty folder", got, folder, do or f"choose another {option}"))


def _old(target: Path) -> Path:
    return target.with_name(target.name + REPLACED)


def _sync(file: Path) -> None:
    # Open for writing: Windows syncs no other file.
    with file.open("r+b") as handle:
        os.fsync(handle.fileno())


def _unwritable(target: Path, error: OSError) -> DataFault:
    do = "free some space or choose another place; nothing was left there"
    return DataFault(expected("to write it whole", reason(error), target, do))
