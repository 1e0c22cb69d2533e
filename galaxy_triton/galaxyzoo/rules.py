"""What must hold of a table of answers by itself: its columns, its rows, its values, and the tree's sums."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galaxy_triton.galaxyzoo.column_names import READABLE, SPREADS
from galaxy_triton.galaxyzoo.questions import COLUMNS, ID_COLUMN, QUESTIONS, SPANS
from galaxy_triton.galaxyzoo.raw_table import SHOWN, RawTable, Tally
from galaxy_triton.galaxyzoo.tree import asked, sums

KAGGLE_ROWS = 79_975  # of the challenge's test set


class Finding(NamedTuple):
    """Whether a rule holds. broken: how often it does not. examples: the first of that. fault: no mere note."""

    rule: str
    broken: int
    examples: tuple[str, ...]
    fault: bool

    @property
    def mark(self) -> str:
        """ok, note or FAULT."""
        return "ok" if not self.broken else "FAULT" if self.fault else "note"

    def __str__(self) -> str:
        more = "; …" * (self.broken > len(self.examples))
        said = f" -- {self.broken:,} not: {'; '.join(self.examples)}{more}" if self.broken else ""
        return f"{self.mark:<5}  {self.rule}{said}"


def finding(rule: str, breaches: Iterable[str], fault: bool = True) -> Finding:
    """What was found of a rule; there is a text for each breach."""
    found = list(breaches)
    return Finding(rule, len(found), tuple(found[:SHOWN]), fault)


def header(table: RawTable, submission: bool) -> Iterator[Finding]:
    """The columns; those that `predict --layout wide` adds are no part of a submission."""
    wanted = (ID_COLUMN, *COLUMNS)
    known = set(wanted) if submission else {*wanted, *READABLE, *SPREADS}
    breaches = [f"without {name!r}" for name in wanted if name not in table.header]
    for place, name in enumerate(table.header):
        if name not in known or name in table.header[:place]:
            breaches.append(f"also {name!r}")
    yield finding(f"columns: {ID_COLUMN} and the 37 answers", breaches)
    there = [name for name in wanted if name in table.header]
    order = [name for name in dict.fromkeys(table.header) if name in wanted]
    moved = [f"{name!r} for {want!r}" for name, want in zip(order, there, strict=True) if name != want]
    yield finding("columns: in Kaggle's order", moved, submission)


def rows(table: RawTable, submission: bool) -> Iterator[Finding]:
    """Their number, and the number of their cells."""
    count = len(table.names)
    yield _tallied("rows: a cell for each column", table.ragged)
    yield finding("rows: at least one", [] if count else ["none"])
    if submission:
        other = [] if count == KAGGLE_ROWS else [f"{count:,}"]
        yield finding(f"rows: {KAGGLE_ROWS:,}, as in Kaggle's test set", other, fault=False)


def values(table: RawTable) -> Iterator[Finding]:
    """Fractions, and nothing else."""
    yield _tallied("values: numbers", table.no_number)
    yield _tallied("values: from 0 to 1", table.outside)


def tree(table: RawTable, tolerance: float, fault: bool) -> Iterator[Finding]:
    """The sum of each question's answers, which is its parent's, where all of them are there. The worst rows first."""
    have, want = sums(table.values), asked(table.values)
    for number, (question, span) in enumerate(zip(QUESTIONS, SPANS, strict=True)):
        off = np.abs(have[:, number] - want[:, number])
        if np.isnan(off).all():
            continue
        parent = "1" if question.parent is None else COLUMNS[question.parent]
        rule = f"tree: {COLUMNS[span][0]} to {COLUMNS[span][-1].removeprefix('Class')} sum to {parent}"
        broken = np.flatnonzero(off > tolerance)
        worst = broken[np.argsort(-off[broken], kind="stable")][:SHOWN]
        examples = (f"{table.where(row)}: {have[row, number]:.6g} for {want[row, number]:.6g}" for row in worst)
        yield Finding(f"{rule} within {tolerance:g} ({question.name})", len(broken), tuple(examples), fault)


def obeys_tree(table: RawTable, tolerance: float) -> NDArray[np.bool_]:
    """Of each row, whether all sums hold: bool [n]."""
    return (np.abs(sums(table.values) - asked(table.values)) <= tolerance).all(axis=1)


def _tallied(rule: str, tally: Tally) -> Finding:
    return Finding(rule, tally.count, tuple(tally.examples), fault=True)
