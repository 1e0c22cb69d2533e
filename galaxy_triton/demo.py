"""The sky that `train` learns from when it is given no store: simulated once, kept in the user's cache."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from galaxy_triton import cache
from galaxy_triton.config import Preprocess
from galaxy_triton.display import Display
from galaxy_triton.errors import DataFault, expected
from galaxy_triton.pack import pack
from galaxy_triton.simulate import IMAGES, TRUTH, VERSION, VOTES, simulate
from galaxy_triton.store import VERSION as STORE_VERSION

COUNT, SEED, VOLUNTEERS = 3000, 1, 40


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
    return DemoSky(cache.root() / name, cache.root() / packed, COUNT)


def prepare(sky: DemoSky, preprocess: Preprocess, display: Display) -> None:
    """Draw and pack the sky unless that was done before.

    Raises:
        DataFault: the cache cannot be written, or images are missing there.
    """
    with cache.held():
        drawn = sky.folder.exists()
        how = "kept" if drawn else "drawn once and kept"
        display.note(f"{'sky':<10} {sky.count:,} simulated galaxies, {how} in {cache.root()}")
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
