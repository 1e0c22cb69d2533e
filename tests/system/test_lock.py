"""One process at a time holds a lock; faults are explained."""

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from galaxy_triton.system.errors import DataFault
from galaxy_triton.system.lock import NoLocks, hold_lock


def acquire(file: Path) -> None:
    with hold_lock(file, 0, "sky", "name another folder"):
        pass


def test_one_at_a_time(tmp_path: Path) -> None:
    """The folder is created; a fault inside the block releases the lock."""
    file = tmp_path / "new" / "lock"

    def fail() -> None:
        with hold_lock(file, 0, "sky", "name another folder"):
            with pytest.raises(Timeout):
                FileLock(file).acquire(timeout=0)
            raise DataFault("in the middle")

    with pytest.raises(DataFault, match="in the middle"):
        fail()
    acquire(file)


def test_held_by_another(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with FileLock(file), pytest.raises(DataFault, match=re.escape(str(file))):
        acquire(file)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(number: int, without_locks: Callable[[int], None], tmp_path: Path) -> None:
    """The errors of Lustre, NFS and others."""
    without_locks(number)
    with pytest.raises(NoLocks, match=f"{os.strerror(number)}.*name another folder"):
        acquire(tmp_path / "lock")


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataFault, match="name another folder"):
        acquire(tmp_path / "file" / "lock")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """A folder from someone else may have a link to any file."""
    (tmp_path / "kept").write_text("precious")
    (tmp_path / "lock").symlink_to(tmp_path / "kept")
    with pytest.raises(DataFault, match="name another folder"):
        acquire(tmp_path / "lock")
    assert (tmp_path / "kept").read_text() == "precious"
