"""The user's cache of simulated skies: where it is, what is in it, clearing it."""

import shutil
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import NamedTuple

from platformdirs import user_cache_path

from galaxy_triton.system.errors import DataFault, expected, reason
from galaxy_triton.system.lock import hold_lock

LOCK = "lock"
WAIT = 600  # seconds to wait while another process draws a sky


class CacheEntry(NamedTuple):
    """A file or folder in the cache, and the bytes of all its files."""

    path: Path
    bytes: int


def cache_root() -> Path:
    """The folder of the cache, in the system's place for caches; it need not exist."""
    return user_cache_path("galaxy-triton", appauthor=False).resolve()


def cache_lock() -> AbstractContextManager[None]:
    """Lock the cache, so that no other process changes it meanwhile.

    Raises:
        DataFault: the folder cannot be written, or another process keeps the lock for WAIT seconds.
    """
    return hold_lock(cache_root() / LOCK, WAIT, "cache", "mend it, or give `train` a STORE, which needs no cache")


def list_cache() -> list[CacheEntry]:
    """All entries by name, with partial skies that killed processes left."""
    if not cache_root().is_dir():
        return []
    return [CacheEntry(path, _bytes(path)) for path in sorted(cache_root().iterdir()) if path.name != LOCK]


def clear_cache() -> list[CacheEntry]:
    """Remove every entry and return the removed entries.

    Raises:
        DataFault: an entry cannot be removed.
    """
    with cache_lock():
        entries = list_cache()
        for entry in entries:
            try:
                shutil.rmtree(entry.path) if entry.path.is_dir() else entry.path.unlink()
            except OSError as error:
                do = "remove it yourself"
                raise DataFault(expected("to remove it", reason(error), entry.path, do)) from error
        return entries


def _bytes(path: Path) -> int:
    total = 0
    for file in (path, *path.rglob("*")):
        # another process may be moving files here
        with suppress(FileNotFoundError):
            total += file.lstat().st_size if file.is_file() else 0
    return total
