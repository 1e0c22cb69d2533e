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

Statistics = NDArray[np.float32]  # [n, 37] mean answers, or [n, 74] mean answers and spreads
Cells = NDArray[np.floating]


class Layout(NamedTuple):
    """How a table is made.

    columns: names, without the id. combine: answers to V views [V, B, 37] -> statistics [B, m].
    cells: statistics [n, m] -> [n, columns]; NaN becomes an empty cell.
    """

    columns: tuple[str, ...]
    combine: Callable[[Tensor], Tensor]
    cells: Callable[[Statistics], Cells]


def _cumulative(statistics: Statistics) -> Cells:
    return np.clip(statistics[:, : len(COLUMNS)], 0, 1)


def _conditional(statistics: Statistics) -> Cells:
    """Each fraction, followed by its spread; both are NaN where too few people were asked the question."""
    fractions, spreads = conditional(_cumulative(statistics)), statistics[:, len(COLUMNS) :]
    spreads = np.where(np.isnan(fractions), np.nan, spreads)
    return np.stack([fractions, spreads], axis=2).reshape(len(statistics), -1)


def _wide(statistics: Statistics) -> Cells:
    return np.concatenate([_cumulative(statistics), _conditional(statistics)], axis=1)


CONDITIONAL = tuple(name for pair in zip(READABLE, SPREADS, strict=True) for name in pair)

LAYOUTS: dict[str, Layout] = {
    "kaggle": Layout(COLUMNS, mean, _cumulative),
    "conditional": Layout(CONDITIONAL, mean_and_spread, _conditional),
    "wide": Layout((*COLUMNS, *CONDITIONAL), mean_and_spread, _wide),
}
