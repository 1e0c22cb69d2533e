"""The contents of a store for `info`: counts, the sums of the tree, a montage of images."""

from collections.abc import Iterator

import numpy as np
from PIL import Image

from galaxy_triton.config.schema import require
from galaxy_triton.data.store import Store, labelled_rows
from galaxy_triton.galaxyzoo.questions import QUESTIONS
from galaxy_triton.galaxyzoo.tree import gaps


def describe(store: Store) -> Iterator[tuple[str, str]]:
    """Yield the lines of `info`, each a name and a text: counts, and how well the labels obey the decision tree."""
    size = store.preprocess.size
    total = sum(file.stat().st_size for file in store.path.iterdir())
    yield "images", f"{len(store.ids)}, {size} x {size} px, {total:,} bytes"
    yield "prepared", f"{store.preprocess}"
    yield "labelled", f"{len(labelled_rows(store))}"
    if store.labels is not None:
        largest = gaps(store.labels[labelled_rows(store)]).max(axis=0)
        for question, gap in zip(QUESTIONS, largest, strict=True):
            yield "tree", f"{question.name:<14} sums are off by {gap:.2e} at most"


def montage(store: Store, count: int) -> Image.Image:
    """A sheet of `count` images (or all, if there are fewer), evenly spaced from the first id to the last, 8 in a row.

    Raises:
        UsageFault: `count` is below 1.
    """
    require(count >= 1, "the number of images", "at least 1", count)
    size = store.preprocess.size
    shown = np.linspace(0, len(store.ids) - 1, min(count, len(store.ids))).round().astype(np.int64)
    columns = min(8, len(shown))
    sheet = Image.new("RGB", (columns * size, -(-len(shown) // columns) * size))
    for place, row in enumerate(shown):
        tile = Image.fromarray(np.ascontiguousarray(store.pixels[row, :, :, :3]))
        sheet.paste(tile, (place % columns * size, place // columns * size))
    return sheet
