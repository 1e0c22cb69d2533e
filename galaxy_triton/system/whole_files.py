"""Files and folders written whole or not at all: beside their place first, then renamed into it.

A process writes NAME in a temporary folder of its own beside it, NAME.<8 hex digits>.partial, and holds the folder's
lock meanwhile: by that the leftovers of processes killed on this machine are known, and removed. No file that is
written is locked: some network file systems would refuse to write it.
"""

import errno
import glob
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from galaxy_triton.system.errors import DataFault, expected, reason
from galaxy_triton.system.lock import is_held, lock_folder
from galaxy_triton.system.output_paths import content_of
from galaxy_triton.system.untrusted_files import require_regular

PARTIAL = ".partial"
REPLACED = ".replaced"
OWN = re.compile(r"\.[0-9a-f]{8}\.partial$")  # what a temporary folder's name adds
ANY = re.compile(r"(\.[0-9a-f]{8})?\.partial$")  # that, or what earlier versions added
WAIT = 10.0  # seconds for other processes' renames in a folder


def target_name(name: str) -> str:
    """The name of the file or folder that is written beside it in this one; any other name stays as it is."""
    return ANY.sub("", name)


def partials(target: Path) -> list[Path]:
    """The temporary folders in which processes write `target`, or were killed while they did."""
    return sorted(target.parent.glob(f"{glob.escape(target.name)}.{'[0-9a-f]' * 8}{PARTIAL}"))


@contextmanager
def whole_file(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary file to write; rename it to `target` when the block succeeds.

    Without `replace` nothing that is there is replaced, nor what appears there meanwhile.

    Raises:
        DataFault: `target` exists and is not to be replaced, or is a folder or a device; the disk is full, or the
            folder cannot be written.
    """
    try:
        # Checked before the work; a rename would also replace a device such as /dev/null.
        if target.exists():
            require_regular(target)
        if not replace and os.path.lexists(target):
            raise _taken(target)
        with _temporary(target) as temporary:
            file = temporary / target.name
            file.touch()
            yield file
            _sync(file)
            (os.replace if replace else _rename_to_new)(file, target)
    except OSError as error:
        raise _unwritable(target, error) from error


@contextmanager
def whole_folder(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield an empty temporary folder to fill; rename it to `target` when the block succeeds.

    With `replace` an old `target` is whole until the new one is; a process that is killed between the two renames
    leaves it under another name, where `find_whole` finds it. Without, `target` is absent or empty, also in the end.

    Raises:
        DataFault: `target` is there and is not to be replaced, the disk is full, or the folder cannot be written.
    """
    try:
        if not replace and (got := content_of(target)):
            raise _taken(target, got)
        with _temporary(target) as temporary:
            yield temporary
            for file in filter(Path.is_file, sorted(temporary.rglob("*"))):
                _sync(file)
            with _only_one_in(target.parent):
                _place(temporary, target, replace)
    except OSError as error:
        raise _unwritable(target, error) from error


def write_text(target: Path, text: str) -> None:
    """Write a UTF-8 text file in a folder of this program's own, in place of an earlier one, whole or not at all.

    Raises:
        DataFault: as `whole_file`.
    """
    with whole_file(target, replace=True) as temporary:
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
    with _only_one_in(target.parent):
        if find_whole(target) == old:
            os.replace(old, target)
        shutil.rmtree(old, ignore_errors=True)


def remove_partial(temporary: Path) -> None:
    """Remove a temporary folder, or what an earlier version left, unless a living process is known to write in it."""
    if not is_held(temporary):
        _remove(temporary)


@contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """Make a temporary folder beside `target`, in which no other process writes, and remove it at the end."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{target.name}.{secrets.token_hex(4)}{PARTIAL}")
    with ExitStack() as stack:
        # Between making and locking it another process would take it for a leftover.
        with _only_one_in(target.parent):
            for other in partials(target):
                if is_held(other) is False:
                    _remove(other)
            temporary.mkdir()
            stack.callback(_remove, temporary)
            stack.enter_context(lock_folder(temporary, WAIT))
        yield temporary


@contextmanager
def _only_one_in(folder: Path) -> Iterator[None]:
    """Inside the block no other process makes, removes or swaps temporary folders in this one.

    Where another program holds its lock for longer than WAIT, the block runs all the same.
    """
    with ExitStack() as stack:
        # A temporary folder is this process's alone, and locked by it already.
        if not OWN.search(folder.name):
            with suppress(BlockingIOError):
                stack.enter_context(lock_folder(folder, WAIT))
        yield


def _place(temporary: Path, target: Path, replace: bool) -> None:
    """Rename a folder into its place."""
    if replace and target.exists():
        shutil.rmtree(_old(target), ignore_errors=True)
        os.replace(target, _old(target))
    try:
        os.replace(temporary, target)  # over nothing, or an empty folder: the system refuses any other
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise _taken(target) from error
        raise
    if replace:
        shutil.rmtree(_old(target), ignore_errors=True)


def _rename_to_new(temporary: Path, target: Path) -> None:
    """Rename a file, unless something has its new name."""
    try:
        os.link(temporary, target)  # then `temporary` is one name too many, and is removed
    except OSError as error:  # that, or a file system without links
        if os.path.lexists(target):
            raise _taken(target) from error
        os.replace(temporary, target)


def _remove(path: Path) -> None:
    with suppress(OSError):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def _old(target: Path) -> Path:
    return target.with_name(target.name + REPLACED)


def _taken(target: Path, got: str = "one that exists") -> DataFault:
    return DataFault(expected("a new name", got, target, "choose another, or remove what is there: it is as it was"))


def _sync(file: Path) -> None:
    # Open for writing: Windows syncs no other file.
    with file.open("r+b") as handle:
        os.fsync(handle.fileno())


def _unwritable(target: Path, error: OSError) -> DataFault:
    do = "free some space or choose another place; nothing was left there"
    return DataFault(expected("to write it whole", reason(error), target, do))
