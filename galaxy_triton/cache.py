"""What galaxy-triton keeps between runs in the user's cache: simulated skies and their stores."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from galaxy_triton.errors import DataFault, expected
from galaxy_triton.files import reason
from galaxy_triton.lock import locked

LOCK = "lock"
WAIT = 600  # seconds, for a sky that another process draws


@dataclass(frozen=True)
class Kept:
    """An entry of the cache."""

    path: Path
    bytes: int


def root() -> Path:
    """The folder of the cache, where the system keeps such things; it need not exist."""
    return user_cache_path("galaxy-triton", appauthor=False).resolve()


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
        DataFault: the folder cannot be written, or another process does not let go of it.
    """
    with locked(root() / LOCK, WAIT, "cache", "mend it, or give `train` a STORE, which needs no cache"):
        yield root()


def _bytes(path: Path) -> int:
    total = 0
    for file in (path, *path.rglob("*")):
        # another process may be drawing here
        with suppress(FileNotFoundError):
            total += file.lstat().st_size if file.is_file() else 0
    return total
