"""The tables that a prediction can be written as, by name."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from galaxy_triton.galaxyzoo.column_names import READABLE, SPREADS
from galaxy_triton.galaxyzoo.questions import COLUMNS
from galaxy_triton.galaxyzoo.tree import conditional
from galaxy_triton.predict.average import mean, mean_and_spread

Found = NDArray[np.float32]  # [n, 37] or [n, 74], the mean answers first
Cells = NDArray[np.floating]


class Layout(NamedTuple):
    """What a layout's name stands for.

    columns: their names, without the id. of_views: the answers to V views [V, B, 37] -> what is kept of them [B, m].
    cells: that, [n, m] -> [n, columns]; NaN is an empty cell.
    """

    columns: tuple[str, ...]
    of_views: Callable[[Tensor], Tensor]
    cells: Callable[[Found], Cells]


def _cumulative(found: Found) -> Cells:
    return np.clip(found[:, : len(COLUMNS)], 0, 1)


def _conditional(found: Found) -> Cells:
    """Each fraction with its spread after it; both empty where too few were asked."""
    fractions, spreads = conditional(_cumulative(found)), found[:, len(COLUMNS) :]
    spreads = np.where(np.isnan(fractions), np.nan, spreads)
    return np.stack([fractions, spreads], axis=2).reshape(len(found), -1)


def _wide(found: Found) -> Cells:
    return np.concatenate([_cumulative(found), _conditional(found)], axis=1)


CONDITIONAL = tuple(name for pair in zip(READABLE, SPREADS, strict=True) for name in pair)

LAYOUTS: dict[str, Layout] = {
    "kaggle": Layout(COLUMNS, mean, _cumulative),
    "conditional": Layout(CONDITIONAL, mean_and_spread, _conditional),
    "wide": Layout((*COLUMNS, *CONDITIONAL), mean_and_spread, _wide),
}
