"""Arithmetic of the decision tree on tables of answers [n, 37], cumulative unless said otherwise."""

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.galaxyzoo.questions import COLUMNS, PARENTS, SIZES, SPANS

# About forty people looked at a galaxy; where fewer than one of them would be asked, a fraction is meaningless.
LEAST_ASKED = 1 / 40
ROUNDING = 0.005  # of a sum, in a table of three digits
_MULTIPLY = ", ".join(f"Class{at} by {COLUMNS[up]}" for at, up in enumerate(PARENTS, start=1) if up is not None)
# How a table looks that holds no fractions of all people, and how to make it hold them.
CONVERSIONS = {
    "percent": "divide them by 100",
    "counts of votes": "divide each by its question's sum (0 where that is 0), then multiply in this order "
    + _MULTIPLY,
    "fractions of those who were asked": "put 0 into empty cells, then multiply in this order " + _MULTIPLY,
}

Values = NDArray[np.float64]


def sums(answers: NDArray[np.floating]) -> Values:
    """The sum of each question's answers: float64 [n, 11]."""
    exact = answers.astype(np.float64)
    return np.stack([exact[:, span].sum(axis=1) for span in SPANS], axis=1)


def asked_share(answers: NDArray[np.floating]) -> Values:
    """The fraction of people who were asked each question, float64 [n, 11]: its parent's answer, or 1."""
    exact = answers.astype(np.float64)
    everyone = np.ones(len(exact))
    return np.stack([everyone if parent is None else exact[:, parent] for parent in PARENTS], axis=1)


def gaps(answers: NDArray[np.floating]) -> Values:
    """|sum of a question's answers - fraction of people asked it|, float64 [n, 11]; 0 where the tree holds."""
    return np.abs(sums(answers) - asked_share(answers))


def looks_like(values: NDArray[np.floating]) -> str | None:
    """A key of CONVERSIONS if most rows of a table [n, 37] look so; None: fractions of all people, or anything else."""
    exact = np.clip(np.nan_to_num(values, posinf=0), 0, 1e6)  # NaN: nobody was asked
    totals = sums(exact)
    first = np.median(totals[:, 0]) if len(exact) else 0
    if first > 3.5:  # three fractions sum to 3 at most
        return "percent" if abs(first - 100) < 10 else "counts of votes"
    of_asked = ((np.abs(totals - 1) <= 10 * ROUNDING) | (totals == 0)).all(axis=1) & (totals[:, 0] > 0)
    of_asked &= (gaps(exact) > ROUNDING).any(axis=1)
    return "fractions of those who were asked" if of_asked.sum() * 2 > len(exact) else None


def conditional(answers: NDArray[np.floating]) -> Values:
    """The fraction of each answer among the people who were asked the question, float64 [n, 37].

    An answer divided by the sum of its question's answers, so that the answers of a question sum to one. Where the tree
    holds, that sum is the parent's answer; with a sigmoid head the two are only nearly equal. NaN for a question that
    fewer than LEAST_ASKED were asked, by the parent's answer, or whose answers are all zero.
    """
    totals = sums(answers)
    defined = (asked_share(answers) >= LEAST_ASKED) & (totals > 0)
    fractions: Values = answers / np.repeat(np.where(defined, totals, np.nan), SIZES, axis=1)
    return fractions
