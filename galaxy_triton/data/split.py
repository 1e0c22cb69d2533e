"""Which galaxies are trained on and which are held out."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from galaxy_triton.data.order import philox_order
from galaxy_triton.data.store import Store, labelled_rows, require_labels
from galaxy_triton.system.errors import DataFault, expected


class Split(NamedTuple):
    """Rows of the store, int64, ascending: to train on, and held out."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]


def split_by_ids(store: Store, held_out: NDArray[np.int64]) -> Split:
    """Hold out the labelled galaxies of this list; train on all the other labelled ones.

    Raises:
        DataFault: none of the ids is a labelled galaxy of the store, or all of them are.
    """
    labelled = labelled_rows(store)
    chosen = np.isin(store.ids[labelled], held_out)
    return _checked(Split(labelled[~chosen], labelled[chosen]), store)


def split_by_fraction(store: Store, fraction: float, seed: int) -> Split:
    """Hold out a fraction of the labelled galaxies: those with the smallest draws of (seed, id).

    Raises:
        DataFault: too few labelled galaxies to train on one and hold out one.
    """
    require_labels(store)
    labelled = labelled_rows(store)
    if fraction == 0:
        return Split(labelled, labelled[:0])
    count = max(1, round(fraction * len(labelled)))
    held_out = np.sort(split_order(store.ids[labelled], seed)[:count])
    return _checked(Split(np.delete(labelled, held_out), labelled[held_out]), store)


def split_order(ids: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """The places of `ids` (int64 [M]) by their draws of (seed, id): the order that held-out galaxies are taken from."""
    order: NDArray[np.int64] = philox_order(torch.from_numpy(np.array(ids)), seed, 0, "split").numpy()
    return order


def _checked(split: Split, store: Store) -> Split:
    for part, rows in (("trained on", split.train), ("held out", split.validation)):
        if len(rows) == 0:
            want, do = f"labelled galaxies to be {part}", "check --validation against the store's ids"
            raise DataFault(expected(want, "none", store.path, do))
    return split
