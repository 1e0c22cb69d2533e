"""Locks that one process at a time holds: a file made for it, or a folder itself."""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from galaxy_triton.system.errors import DataFault, expected, reason

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)  # errors of file systems without locks


class NoLocks(DataFault):
    """The file system has no locks."""


@contextmanager
def hold_lock(file: Path, wait: float, what: str, do: str) -> Iterator[None]:
    """Hold the lock of `file` while the block runs; the file's folder is created if missing.

    Args:
        wait: seconds to wait for another process that holds the lock.
        what: name of the locked thing, for messages.
        do: what to do if the file cannot be written, for messages.

    Raises:
        NoLocks: the file system has no locks.
        DataFault: the file cannot be written, or another process holds the lock for longer than `wait`.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        acquired = FileLock(file, fallback_to_soft=False).acquire(timeout=wait)
    except Timeout as error:
        got = f"one that another process has held for {wait:g} s"
        raise DataFault(expected(f"a free {what}", got, file, "remove that file if nothing runs")) from error
    except OSError as error:
        if error.errno in NO_LOCKS:
            want = f"a {what} on a file system with locks"
            raise NoLocks(expected(want, reason(error), file.parent, do)) from error
        raise DataFault(expected(f"a {what} to write to", reason(error), file.parent, do)) from error
    with acquired:
        yield


@contextmanager
def lock_folder(folder: Path, wait: float) -> Iterator[bool]:
    """Hold the lock of a folder itself while the block runs; the system releases it when the process ends.

    wait: seconds to wait for another process that holds the lock.

    Yields:
        Whether the system has such locks; without them nothing is locked.

    Raises:
        BlockingIOError: another process holds the lock for longer than `wait`.
    """
    with ExitStack() as stack:
        try:
            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            locked = fcntl is not None and _flock(descriptor, time.monotonic() + wait)
        except BlockingIOError:
            raise
        except OSError:
            locked = False
        yield locked


def _flock(descriptor: int, deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.005)


def is_held(folder: Path) -> bool | None:
    """Whether a process holds the lock of a folder; None where the system does not tell."""
    try:
        with lock_folder(folder, 0) as locked:
            return False if locked else None
    except BlockingIOError:
        return True
