"""Files and folders that appear whole or not at all: written beside their place, then renamed into it."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from galaxy_triton.system.errors import DataFault, UsageFault, expected, reason
from galaxy_triton.system.untrusted_files import require_regular

PARTIAL = ".partial"
REPLACED = ".replaced"


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
