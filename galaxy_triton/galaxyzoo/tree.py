"""Arithmetic of the decision tree on tables of cumulative answers [n, 37]."""

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.galaxyzoo.questions import PARENTS, SIZES, SPANS

# About forty people looked at a galaxy; where fewer than one of them would be asked, a fraction is meaningless.
LEAST_ASKED = 1 / 40

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
