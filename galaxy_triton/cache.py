"""What galaxy-triton keeps between runs in the user's cache: simulated skies and their stores."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

from galaxy_triton.errors import DataFault, expected
from galaxy_triton.files import reason

LOCK = "lock"


@dataclass(frozen=True)
class Kept:
    """An entry of the cache."""

    path: Path
    bytes: int


def root() -> Path:
    """The folder of the cache, where the system keeps such things; it need not exist."""
    return user_cache_path("galaxy-triton", appauthor=False)


def kept() -> list[Kept]:
    """The entries by name, leftovers of killed processes among them."""
    if not root().is_dir():
        return []
    return [Kept(path, _bytes(path)) for path in sorted(root().iterdir()) if path.name != LOCK]


def clear() -> list[Kept]:
    """Remove every entry and return what was removed.

    Raises:
        DataFault: something cannot be removed.
    """
    with held():
        removed = kept()
        for entry in removed:
            try:
                shutil.rmtree(entry.path) if entry.path.is_dir() else entry.path.unlink()
            except OSError as error:
                do = "remove it yourself"
                raise DataFault(expected("to remove it", reason(error), entry.path, do)) from error
        return removed


@contextmanager
def held() -> Iterator[Path]:
    """Yield the cache's folder while no other process changes it.

    Raises:
        DataFault: the folder cannot be written.
    """
    folder = root()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK)
        lock.acquire()
    except OSError as error:
        do = "mend it, or give `train` a STORE, which needs no cache"
        raise DataFault(expected("a cache to write to", reason(error), folder, do)) from error
    try:
        yield folder
    finally:
        lock.release()


def _bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in [path, *path.rglob("*")] if file.is_file())
