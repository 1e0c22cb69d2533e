"""Draw the picture of views: simulated galaxies, and the views of the recipe `seed` in three epochs.

python -m bench.publish.views bench/results/views.jpg
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bench.scripts import option_parser
from galaxy_triton.config.recipes import RECIPES
from galaxy_triton.data.feed import batch_of
from galaxy_triton.data.galaxies import Galaxies, load
from galaxy_triton.data.pack import pack
from galaxy_triton.data.store import open_store
from galaxy_triton.model.views import ViewMaker
from galaxy_triton.simulation.sky import IMAGES, VOTES, simulate

SHOWN = (34, 57, 25, 26, 9, 2, 21, 14)  # spirals, a bar, edge-on, ring, merger, smooth, cigar
COUNT, EPOCHS = 60, 3


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    galaxies = simulated(COUNT)
    rows = torch.tensor(SHOWN)
    maker = ViewMaker(RECIPES["seed"].augmentation)
    side = maker.augmentation.size
    margin = (galaxies.pixels.shape[1] - side) // 2
    stored = galaxies.pixels[rows, margin : margin + side, margin : margin + side, :3].numpy()
    sheet = [np.concatenate(stored, axis=1)]
    for epoch in range(EPOCHS):
        buffer = maker.empty(len(rows), rows.device)
        views = maker.random(batch_of(galaxies, rows), torch.tensor(1), torch.tensor(epoch), buffer)
        sheet.append(np.concatenate((views.permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8), axis=1))
    Image.fromarray(np.concatenate(sheet)).save(out, quality=90)


def simulated(count: int) -> Galaxies:
    with tempfile.TemporaryDirectory() as scratch:
        sky, store = Path(scratch) / "sky", Path(scratch) / "store"
        simulate(sky, count, 1, workers=2)
        pack(sky / IMAGES, sky / VOTES, store, workers=2)
        return load(open_store(store), torch.device("cpu"), lambda done: None)


if __name__ == "__main__":
    main()
