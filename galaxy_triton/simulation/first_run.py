"""The simulated sky that `train` without a store uses: drawn and packed once, then kept in the user's cache."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from galaxy_triton.config.schema import Preprocess
from galaxy_triton.data.pack import pack
from galaxy_triton.data.store import VERSION as STORE_VERSION
from galaxy_triton.simulation.cache import cache_lock, cache_root
from galaxy_triton.simulation.sky import IMAGES, TRUTH, VERSION, VOTES, simulate
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault, expected

COUNT, SEED, VOLUNTEERS = 3000, 1, 40
ADVICE = "`galaxy-triton cache --clear` lets it be drawn again"


@dataclass(frozen=True)
class DemoSky:
    """The folders of the simulated sky of `count` galaxies and of its store; neither need exist."""

    folder: Path
    store: Path
    count: int

    @property
    def truth(self) -> Path:
        """The table of true probabilities."""
        return self.folder / TRUTH


def demo_sky(preprocess: Preprocess) -> DemoSky:
    """The places in the cache of the sky and of its store with this preprocessing."""
    name = f"sky-{VERSION}-{COUNT}-{SEED}-{VOLUNTEERS}"
    packed = f"{name}-store-{STORE_VERSION}-{preprocess.crop}-{preprocess.size}"
    return DemoSky(cache_root() / name, cache_root() / packed, COUNT)


def prepare(sky: DemoSky, preprocess: Preprocess, display: Display) -> None:
    """Draw the sky and pack its store, unless the cache has them.

    Raises:
        DataFault: the cache cannot be written, or images are missing in it.
    """
    with cache_lock():
        drawn = sky.folder.exists()
        how = "kept" if drawn else "drawn once and kept"
        display.field("sky", f"{sky.count:,} simulated galaxies, {how} in {cache_root()}")
        display.field("", "(`galaxy-triton cache` lists the cache, `galaxy-triton cache --clear` empties it)")
        workers = os.cpu_count() or 1
        if not drawn:
            with display.progress("drawing", "galaxies") as show:
                simulate(sky.folder, sky.count, SEED, volunteers=VOLUNTEERS, workers=workers, progress=show)
        if not sky.store.exists():
            images, labels, size, crop = sky.folder / IMAGES, sky.folder / VOTES, preprocess.size, preprocess.crop
            with display.progress("packing", "images") as show:
                packed = pack(images, labels, sky.store, size=size, crop=crop, workers=workers, progress=show)
            if packed.images != sky.count:
                raise DataFault(expected(f"{sky.count} images in the cached sky", packed.images, sky.folder, ADVICE))


@contextmanager
def cache_advice(sky: DemoSky | None) -> Iterator[None]:
    """Add to every DataFault how to draw the sky again: its user did not make it, so cannot repair it."""
    try:
        yield
    except DataFault as fault:
        raise fault if sky is None else DataFault(f"{fault}; {ADVICE}") from fault
