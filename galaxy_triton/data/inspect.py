"""The contents of a store for `info`: counts, the sums of the tree, a montage of images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from galaxy_triton.config.schema import require
from galaxy_triton.data.store import Store
from galaxy_triton.galaxyzoo.questions import QUESTIONS
from galaxy_triton.galaxyzoo.tree import gaps


@dataclass(frozen=True)
class Description:
    """Counts of a store, and how well its labels obey the decision tree."""

    images: int
    size: int  # side of an image, pixels
    bytes: int  # of all files
    labelled: int
    violations: dict[str, float]  # see tree_violations; {} without labels


def describe(store: Store) -> Description:
    """Describe a store."""
    labelled = store.labelled
    return Description(
        images=len(store.ids),
        size=store.preprocess.size,
        bytes=sum(file.stat().st_size for file in store.path.iterdir()),
        labelled=int(labelled.sum()),
        violations=tree_violations(store.labels[labelled]) if store.labels is not None else {},
    )


def tree_violations(labels: NDArray[np.float32]) -> dict[str, float]:
    """For each question, the largest |sum of its answers - its parent's answer (or 1)| over labels [N >= 1, 37]."""
    largest = gaps(labels).max(axis=0)
    return {question.name: float(gap) for question, gap in zip(QUESTIONS, largest, strict=True)}


def montage(store: Store, count: int, columns: int) -> Image.Image:
    """A sheet of `count` images (or all, if there are fewer), evenly spaced from the first id to the last.

    Raises:
        UsageFault: `count` or `columns` is below 1.
    """
    require(count >= 1, "the number of images", "at least 1", count)
    require(columns >= 1, "the number of columns", "at least 1", columns)
    size = store.preprocess.size
    shown = np.linspace(0, len(store.ids) - 1, min(count, len(store.ids))).round().astype(np.int64)
    columns = min(columns, len(shown))
    sheet = Image.new("RGB", (columns * size, -(-len(shown) // columns) * size))
    for place, row in enumerate(shown):
        tile = Image.fromarray(np.ascontiguousarray(store.pixels[row, :, :, :3]))
        sheet.paste(tile, (place % columns * size, place // columns * size))
    return sheet
