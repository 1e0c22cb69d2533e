"""What `info` shows of a store: counts, the tree's sums, a montage."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from galaxy_triton.config.schema import require
from galaxy_triton.data.store import Store, folder_bytes
from galaxy_triton.galaxyzoo.questions import QUESTIONS
from galaxy_triton.galaxyzoo.tree import gaps


@dataclass(frozen=True)
class Description:
    """What a store holds, and how well its labels obey the decision tree."""

    images: int
    size: int  # side of an image, pixels
    bytes: int  # of all its files
    labelled: int
    violations: dict[str, float]  # question -> largest |sum of its answers - its parent's answer, or 1|; no label: {}


def describe(store: Store) -> Description:
    """Count what a store holds and check its labels against the tree."""
    labelled = store.labelled
    return Description(
        images=len(store.ids),
        size=store.preprocess.size,
        bytes=folder_bytes(store.path),
        labelled=int(labelled.sum()),
        violations=tree_violations(store.labels[labelled]) if store.labels is not None else {},
    )


def tree_violations(labels: NDArray[np.float32]) -> dict[str, float]:
    """For each question, the largest |sum of its answers - its parent's answer (or 1)| over labels [N >= 1, 37]."""
    largest = gaps(labels).max(axis=0)
    return {question.name: float(gap) for question, gap in zip(QUESTIONS, largest, strict=True)}


def montage(store: Store, count: int, columns: int) -> Image.Image:
    """`count` images (or all, where there are fewer), evenly spaced from the first id to the last, in rows.

    Raises:
        UsageFault: no image or no column asked for.
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
