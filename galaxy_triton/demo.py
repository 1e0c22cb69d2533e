"""The sky that `train` learns from when it is given no store: simulated once, kept in the user's cache."""

import os
from dataclasses import dataclass
from pathlib import Path

from galaxy_triton import cache
from galaxy_triton.config import Preprocess
from galaxy_triton.display import Display
from galaxy_triton.pack import pack
from galaxy_triton.simulate import IMAGES, TRUTH, VERSION, VOTES, simulate
from galaxy_triton.store import VERSION as STORE_VERSION

COUNT, SEED, VOLUNTEERS = 3000, 1, 40


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
        DataFault: the cache cannot be written.
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


def _draw(sky: DemoSky, display: Display) -> None:
    with display.progress("drawing", "galaxies") as show:
        simulate(sky.folder, sky.count, SEED, volunteers=VOLUNTEERS, workers=_workers(), progress=show)


def _pack(sky: DemoSky, preprocess: Preprocess, display: Display) -> None:
    images, labels = sky.folder / IMAGES, sky.folder / VOTES
    size, crop = preprocess.size, preprocess.crop
    with display.progress("packing", "images") as show:
        pack(images, labels, sky.store, size=size, crop=crop, workers=_workers(), progress=show)


def _workers() -> int:
    return os.cpu_count() or 1
