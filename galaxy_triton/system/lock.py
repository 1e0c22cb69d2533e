"""A file that one process at a time holds."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from galaxy_triton.system.errors import DataFault, expected, reason

NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)  # how file systems say that they have no locks


class NoLocks(DataFault):
    """The file system has no locks."""


@contextmanager
def locked(file: Path, wait: float, what: str, do: str) -> Iterator[None]:
    """While the block runs, no other process is in such a block of the same file, whose folder is made.

    Args:
        wait: Seconds, for another process to let go.
        what: The file is locked for, in messages.
        do: What to do where the file cannot be written.

    Raises:
        NoLocks: the file system has none.
        DataFault: it cannot be written, or another process does not let go.
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
