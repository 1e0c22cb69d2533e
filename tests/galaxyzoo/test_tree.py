"""The tree's arithmetic against values worked out by hand, and what must hold of any answers."""

import numpy as np
import pytest
from numpy.typing import NDArray

from galaxy_triton.galaxyzoo.column_names import READABLE
from galaxy_triton.galaxyzoo.questions import COLUMNS, PARENTS, SPANS
from galaxy_triton.galaxyzoo.tree import LEAST_ASKED, asked_share, conditional, sums

# A galaxy of 40 people: 10 call it smooth (4 round, 6 in between), 28 see features and 2 an artifact. Of the 28, 8 see
# it edge-on (6 with a rounded bulge, 2 without). Of the other 20, 15 see a bar and 16 arms. 4 find it odd.
COUNTS = {
    "Class1": [10, 28, 2],
    "Class2": [8, 20],
    "Class3": [15, 5],
    "Class4": [16, 4],
    "Class5": [1, 9, 10, 0],
    "Class6": [4, 36],
    "Class7": [4, 6, 0],
    "Class8": [1, 0, 0, 0, 0, 3, 0],
    "Class9": [6, 0, 2],
    "Class10": [4, 8, 4],
    "Class11": [0, 12, 0, 0, 0, 4],
}
ANSWERS = np.array([[count / 40 for counts in COUNTS.values() for count in counts]])


def sigmoids(rows: int) -> NDArray[np.float32]:
    """Answers that obey no tree, as a sigmoid head may give them."""
    return np.random.default_rng(rows).uniform(0.05, 1, (rows, 37)).astype(np.float32)


def test_sums_and_asked() -> None:
    want = [[40, 28, 20, 20, 20, 40, 10, 4, 8, 16, 16]]
    assert 40 * sums(ANSWERS) == pytest.approx(np.array(want))
    assert 40 * asked_share(ANSWERS) == pytest.approx(np.array(want))


def test_conditional_of_people() -> None:
    """Where the tree holds: of those who were asked."""
    want = [count / max(sum(counts), 1) for counts in COUNTS.values() for count in counts]
    assert conditional(ANSWERS) == pytest.approx(np.array([want]))
    row = dict(zip(READABLE, conditional(ANSWERS)[0], strict=True))
    assert (row["bar_yes"], row["odd_yes"], row["odd_feature_merger"]) == pytest.approx((0.75, 0.1, 0.75))


def test_conditional_sums_to_one_whatever_the_head() -> None:
    """Odd's too, whose answers a sigmoid head does not keep to one; the answers keep their proportions."""
    answers = sigmoids(50)
    fractions = conditional(answers)
    for span in SPANS:
        assert fractions[:, span].sum(axis=1) == pytest.approx(np.ones(50), abs=1e-12)
        crossed = fractions[:, span] * answers[:, [span.start]]
        assert crossed == pytest.approx(answers[:, span] * fractions[:, [span.start]])
    assert ((fractions >= 0) & (fractions <= 1)).all()


@pytest.mark.parametrize("parent", sorted({parent for parent in PARENTS if parent is not None}))
def test_conditional_of_those_who_were_not_asked(parent: int) -> None:
    """By the parent's answer: one person of forty is asked, a little less is nobody. Other questions stay."""
    assert LEAST_ASKED == 1 / 40
    answers = np.repeat(sigmoids(1).astype(np.float64), 3, axis=0)
    answers[:, parent] = 0.026, 0.024, 0
    empty = np.isnan(conditional(answers))
    below = {
        COLUMNS[place] for span, of in zip(SPANS, PARENTS, strict=True) if of == parent for place in range(37)[span]
    }
    assert not empty[0].any()
    for row in empty[1:]:
        assert {column for column, cell in zip(COLUMNS, row, strict=True) if cell} == below


@pytest.mark.filterwarnings("error")
def test_conditional_of_zeros() -> None:
    """All zeros, a benchmark's answers, say nothing at all; nor do children of zero below a parent of one."""
    assert np.isnan(conditional(np.zeros((2, 37)))).all()
    answers = ANSWERS.copy()
    answers[:, SPANS[2]] = 0
    assert np.isnan(conditional(answers)).tolist() == [[place in range(37)[SPANS[2]] for place in range(37)]]
