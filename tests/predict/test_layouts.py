"""What the columns of each layout hold."""

import numpy as np
import pytest
from numpy.typing import NDArray

from galaxy_triton.config.schema import LAYOUTS as NAMES
from galaxy_triton.galaxyzoo.column_names import READABLE
from galaxy_triton.galaxyzoo.questions import COLUMNS
from galaxy_triton.galaxyzoo.tree import conditional
from galaxy_triton.predict.layouts import LAYOUTS


def statistics(rows: int = 3) -> NDArray[np.float32]:
    """Mean answers, then spreads; in the second galaxy nobody is asked about arms."""
    values = np.random.default_rng(rows).uniform(0.1, 0.9, (rows, 74)).astype(np.float32)
    values[1, COLUMNS.index("Class4.1")] = 0.01
    return values


def cells(layout: str) -> dict[str, NDArray[np.floating]]:
    """By column."""
    return dict(zip(LAYOUTS[layout].columns, LAYOUTS[layout].cells(statistics()).T, strict=True))


def test_names_are_the_options() -> None:
    assert tuple(LAYOUTS) == NAMES


def test_kaggle() -> None:
    """No more than rounding is clipped, and spreads are no part of it."""
    answers = statistics()[:, :37]
    assert LAYOUTS["kaggle"].columns == COLUMNS
    assert np.array_equal(LAYOUTS["kaggle"].cells(answers), answers)
    answers[0, :2] = -1e-7, 1 + 2e-7
    assert LAYOUTS["kaggle"].cells(answers)[0, :2].tolist() == [0, 1]


def test_conditional() -> None:
    """Each spread stands after its fraction."""
    columns = LAYOUTS["conditional"].columns
    assert columns[::2] == READABLE
    assert columns[1::2] == tuple(f"{name}_spread" for name in READABLE)
    values, fractions = cells("conditional"), conditional(statistics()[:, :37])
    for place, name in enumerate(READABLE):
        assert values[name] == pytest.approx(fractions[:, place], nan_ok=True)
        told = ~np.isnan(fractions[:, place])
        assert values[f"{name}_spread"][told] == pytest.approx(statistics()[told, 37 + place])


def test_conditional_cells_are_empty_where_too_few_were_asked() -> None:
    """Fraction and spread together."""
    empty = {name for name, values in cells("conditional").items() if np.isnan(values[1])}
    arms = [name for name in READABLE if name.startswith(("winding_", "arms_"))]
    assert empty == {*arms, *(f"{name}_spread" for name in arms)}
    assert not any(np.isnan(values[[0, 2]]).any() for values in cells("conditional").values())


def test_wide() -> None:
    """Both others side by side."""
    values = cells("wide")
    assert tuple(values) == (*COLUMNS, *LAYOUTS["conditional"].columns)
    for layout in ("kaggle", "conditional"):
        for name, column in cells(layout).items():
            np.testing.assert_array_equal(values[name], column)
