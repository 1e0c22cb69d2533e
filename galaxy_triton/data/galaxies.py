"""Loading a store into the memory of a device."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from galaxy_triton.data.store import Store, read_pixels, require_labels
from galaxy_triton.data.store_arrays import PIXELS, map_pixels
from galaxy_triton.galaxyzoo.ids import rows_of
from galaxy_triton.galaxyzoo.tables import read_answers


class Galaxies(NamedTuple):
    """All galaxies of a store. Ids and answers are on the device; the pixels too, unless they stay on the host.

    pixels: uint8 [N, S, S, 4]. ids: int64 [N]. answers: fp32 [N, 37], NaN without a label.
    """

    pixels: Tensor
    ids: Tensor
    answers: Tensor


def load(
    store: Store, device: torch.device, progress: Callable[[int], None], pixels_on: torch.device | None = None
) -> Galaxies:
    """Read a store into memory and verify every block.

    Args:
        device: the device of ids, answers and pixels.
        progress: called with the number of rows done.
        pixels_on: another device for the pixels. For the CPU beside a GPU they stay in a memory map of the file, which
            all processes of a machine share.

    Raises:
        DataFault: the store has no labels, or a block does not match its hash.
    """
    labels = require_labels(store)
    mapped = pixels_on is not None and pixels_on != device
    if mapped:
        pixels = torch.from_numpy(map_pixels(store.path / PIXELS, len(store.ids), store.preprocess.size, mode="c"))
    else:
        pixels = torch.empty(store.pixels.shape, dtype=torch.uint8, device=device)
    for start, rows in read_pixels(store):
        if not mapped:
            pixels[start : start + len(rows)] = torch.from_numpy(rows).to(device)
        progress(start + len(rows))
    ids, answers = (torch.from_numpy(np.array(array)).to(device) for array in (store.ids, labels))
    return Galaxies(pixels, ids, answers)


def answers_by_row(table: Path, store: Store) -> NDArray[np.float32]:
    """Read a table's answers in the order of the store's rows: float32 [N, 37], NaN where the table has no row.

    Raises:
        DataFault: as `read_answers`.
    """
    ids, answers = read_answers(table)
    rows = rows_of(ids, store.ids)
    return np.where(rows[:, None] < 0, np.float32("nan"), answers[rows])
