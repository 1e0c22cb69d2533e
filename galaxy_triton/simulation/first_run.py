"""The simulated sky of a first run, drawn once and kept in the user's cache; listing and clearing that cache."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from galaxy_triton.config.schema import Preprocess
from galaxy_triton.data.pack import pack
from galaxy_triton.data.store import VERSION as STORE_VERSION
from galaxy_triton.simulation.sky import IMAGES, TRUTH, VERSION, VOTES, simulate
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault, expected, reason
from galaxy_triton.system.lock import hold_lock

COUNT, SEED, VOLUNTEERS = 3000, 1, 40
LOCK = "lock"
WAIT = 600  # seconds, for a sky that another process draws


ADVICE = "`galaxy-triton cache --clear` lets it be drawn again"


@dataclass(frozen=True)
class DemoSky:
    """Where the simulated sky of `count` galaxies lies, or will lie: as `simulate` writes it, and its store."""

    folder: Path
    store: Path
    count: int

    @property
    def truth(self) -> Path:
        """The table of true probabilities."""
        return self.folder / TRUTH


def demo_sky(preprocess: Preprocess) -> DemoSky:
    """The place of the sky packed this way; it need not exist."""
    name = f"sky-{VERSION}-{COUNT}-{SEED}-{VOLUNTEERS}"
    packed = f"{name}-store-{STORE_VERSION}-{preprocess.crop}-{preprocess.size}"
    return DemoSky(cache_root() / name, cache_root() / packed, COUNT)


def prepare(sky: DemoSky, preprocess: Preprocess, display: Display) -> None:
    """Draw and pack the sky unless that was done before.

    Raises:
        DataFault: the cache cannot be written, or images are missing there.
    """
    with _locked_cache():
        drawn = sky.folder.exists()
        how = "kept" if drawn else "drawn once and kept"
        display.note(f"{'sky':<10} {sky.count:,} simulated galaxies, {how} in {cache_root()}")
        display.note(f"{'':<10} (`galaxy-triton cache` lists what is there, `galaxy-triton cache --clear` removes it)")
        if not drawn:
            _draw(sky, display)
        if not sky.store.exists():
            _pack(sky, preprocess, display)


@contextmanager
def advising(sky: DemoSky | None) -> Iterator[None]:
    """Whatever is wrong with a kept sky, its user did not make it: say how to get a new one."""
    try:
        yield
    except DataFault as fault:
        raise fault if sky is None else DataFault(f"{fault}; {ADVICE}") from fault


def _draw(sky: DemoSky, display: Display) -> None:
    with display.progress("drawing", "galaxies") as show:
        simulate(sky.folder, sky.count, SEED, volunteers=VOLUNTEERS, workers=_workers(), progress=show)


def _pack(sky: DemoSky, preprocess: Preprocess, display: Display) -> None:
    images, labels = sky.folder / IMAGES, sky.folder / VOTES
    size, crop = preprocess.size, preprocess.crop
    with display.progress("packing", "images") as show:
        packed = pack(images, labels, sky.store, size=size, crop=crop, workers=_workers(), progress=show)
    if packed.images != sky.count:
        got = f"{packed.images}"
        raise DataFault(expected(f"{sky.count} images in the kept sky", got, sky.folder, ADVICE))


def _workers() -> int:
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Cached:
    """An entry of the cache."""

    path: Path
    bytes: int


def cache_root() -> Path:
    """The folder of the cache, where the system keeps such things; it need not exist."""
    return user_cache_path("galaxy-triton", appauthor=False).resolve()


def cached() -> list[Cached]:
    """The entries by name, leftovers of killed processes among them."""
    if not cache_root().is_dir():
        return []
    return [Cached(path, _bytes(path)) for path in sorted(cache_root().iterdir()) if path.name != LOCK]


def clear_cache() -> list[Cached]:
    """Remove every entry and return what was removed.

    Raises:
        DataFault: something cannot be removed.
    """
    with _locked_cache():
        removed = cached()
        for entry in removed:
            try:
                shutil.rmtree(entry.path) if entry.path.is_dir() else entry.path.unlink()
            except OSError as error:
                do = "remove it yourself"
                raise DataFault(expected("to remove it", reason(error), entry.path, do)) from error
        return removed


@contextmanager
def _locked_cache() -> Iterator[Path]:
    """Yield the cache's folder, which no other process may change meanwhile.

    Raises:
        DataFault: the folder cannot be written, or another process does not let go of it.
    """
    with hold_lock(cache_root() / LOCK, WAIT, "cache", "mend it, or give `train` a STORE, which needs no cache"):
        yield cache_root()


def _bytes(path: Path) -> int:
    total = 0
    for file in (path, *path.rglob("*")):
        # another process may be drawing here
        with suppress(FileNotFoundError):
            total += file.lstat().st_size if file.is_file() else 0
    return total
