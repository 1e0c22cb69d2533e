"""A lock lets one in at a time, and says why it lets nobody in."""

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from galaxy_triton.system.errors import DataFault
from galaxy_triton.system.lock import NoLocks, hold_lock


def taken(file: Path) -> None:
    with hold_lock(file, 0, "sky", "name another folder"):
        pass


def test_one_at_a_time(tmp_path: Path) -> None:
    """In a folder that is made; who fails inside lets go."""
    file = tmp_path / "new" / "lock"

    def fail() -> None:
        with hold_lock(file, 0, "sky", "name another folder"):
            with pytest.raises(Timeout):
                FileLock(file).acquire(timeout=0)
            raise DataFault("in the middle")

    with pytest.raises(DataFault, match="in the middle"):
        fail()
    taken(file)


def test_held_by_another(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    said = f"Expected a free sky, got one that another process has held for 0 s ({file}): remove that file if nothing"
    with FileLock(file), pytest.raises(DataFault, match=re.escape(said)):
        taken(file)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(number: int, without_locks: Callable[[int], None], tmp_path: Path) -> None:
    """As Lustre, NFS and others say it."""
    without_locks(number)
    said = f"Expected a sky on a file system with locks, got {os.strerror(number)} ({tmp_path}): name another folder"
    with pytest.raises(NoLocks, match=re.escape(said)):
        taken(tmp_path / "lock")


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataFault, match=r"Expected a sky to write to, got .*: name another folder"):
        taken(tmp_path / "file" / "lock")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """A folder from someone else may have one to any file."""
    (tmp_path / "kept").write_text("what was there")
    (tmp_path / "lock").symlink_to(tmp_path / "kept")
    with pytest.raises(DataFault, match="Expected a sky to write to, got"):
        taken(tmp_path / "lock")
    assert (tmp_path / "kept").read_text() == "what was there"
