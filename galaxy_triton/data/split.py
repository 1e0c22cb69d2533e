"""Splitting the labelled galaxies of a store into training and validation."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from galaxy_triton.data.order import philox_order
from galaxy_triton.data.store import Store, labelled_rows, require_labels
from galaxy_triton.system.errors import DataFault, expected


class Split(NamedTuple):
    """The rows of the store to train on and to validate on, int64, ascending."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]


def split_by_ids(store: Store, validation_ids: NDArray[np.int64]) -> Split:
    """Validate on the labelled galaxies with these ids; train on all other labelled galaxies.

    Raises:
        DataFault: no galaxy left for one of the two parts.
    """
    labelled = labelled_rows(store)
    chosen = np.isin(store.ids[labelled], validation_ids)
    return _checked(Split(labelled[~chosen], labelled[chosen]), store)


def split_by_fraction(store: Store, fraction: float, seed: int) -> Split:
    """Validate on a fraction of the labelled galaxies, the first in the order of `split_order`; 0: on none.

    Raises:
        DataFault: too few labelled galaxies for one in each part.
    """
    require_labels(store)
    labelled = labelled_rows(store)
    if fraction == 0:
        return Split(labelled, labelled[:0])
    count = max(1, round(fraction * len(labelled)))
    chosen = np.sort(split_order(store.ids[labelled], seed)[:count])
    return _checked(Split(np.delete(labelled, chosen), labelled[chosen]), store)


def split_order(ids: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """A random order of galaxies that depends on (seed, id) alone: int64 [M], indices into `ids` int64 [M]."""
    order: NDArray[np.int64] = philox_order(torch.from_numpy(np.array(ids)), seed, 0, "split").numpy()
    return order


def _checked(split: Split, store: Store) -> Split:
    for want, rows in (("labelled galaxies to train on", split.train), ("validation galaxies", split.validation)):
        if len(rows) == 0:
            raise DataFault(expected(want, "none", store.path, "check --validation against the store's labelled ids"))
    return split
