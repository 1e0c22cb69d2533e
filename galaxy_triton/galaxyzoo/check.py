"""Checking a table of labels or predictions, or a submission: every rule, in one reading."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from galaxy_triton.config.schema import require
from galaxy_triton.galaxyzoo.column_names import READABLE
from galaxy_triton.galaxyzoo.ids import is_cell_id, is_integer
from galaxy_triton.galaxyzoo.questions import COLUMNS, ID_COLUMN, QUESTIONS, SPANS
from galaxy_triton.galaxyzoo.tables import EXAMPLES, RULES, WIDE, Row, Table, listed, read_table, shown
from galaxy_triton.galaxyzoo.tree import CONVERSIONS, asked_share, gaps, looks_like, sums

KAGGLE_ROWS = 79_975  # of the challenge's test set


@dataclass(frozen=True)
class CheckOptions:
    """How to check a table.

    kind: one of TABLES; "auto": conditional by the columns, labels where the tree's sums hold in at least half of the
    rows, else predictions. like: the ids that the table should have, with their names, in the order they should have.
    tolerance: largest difference between the sum of a question's answers and their parent's answer. strict: notes are
    faults.
    """

    kind: str = "auto"
    like: dict[int, str] | None = None
    tolerance: float = 1e-5  # labels of six digits: up to 2e-6 seen, 4e-6 possible
    strict: bool = False

    def __post_init__(self) -> None:
        require(self.tolerance >= 0, "the tolerance", "at least 0", self.tolerance)


class Finding(NamedTuple):
    """A rule and the places that break it."""

    rule: str
    broken: int  # how many places
    examples: tuple[str, ...]  # the first of them
    fault: bool  # otherwise a note

    @property
    def mark(self) -> str:
        """ok, note or FAULT."""
        return "ok" if not self.broken else "FAULT" if self.fault else "note"

    def __str__(self) -> str:
        places = f" -- {self.broken:,} not: {listed(self.examples, self.broken)}" if self.broken else ""
        return f"{self.mark:<5}  {self.rule}{places}"


@dataclass(frozen=True)
class CheckResult:
    """The kind a table was checked as, its rows that are not ragged, and a finding for each rule."""

    kind: str
    rows: int
    findings: tuple[Finding, ...]

    @property
    def faults(self) -> int:
        """The number of broken rules that are faults."""
        return sum(finding.mark == "FAULT" for finding in self.findings)


def check(path: Path, options: CheckOptions) -> CheckResult:
    """Check a CSV, or a zip that holds one. A broken rule is a finding, not an exception.

    Faults in every table: missing or unknown columns, ragged rows, an id missing, invalid or doubled, values that are
    no fractions of all people (in a conditional table: of those asked), ids other than those of `like`. Of labels the
    tree's sums are too; of a submission any other order or number of columns than Kaggle's, and ids that are no whole
    numbers. Elsewhere these are notes, as are the order of the rows and a number of rows other than Kaggle's.

    Raises:
        DataFault: no such file, not a CSV in UTF-8, or no header line.
    """
    table = read_table(path)
    kind = _kind(table, options.tolerance) if options.kind == "auto" else options.kind
    submission = kind == "submission"
    findings = [*_header(table, kind), *_rows(table, submission), *_ids(table, submission, options.like)]
    findings += _tree(table, options.tolerance, kind)
    judged = (finding._replace(fault=finding.fault or options.strict) for finding in findings)
    return CheckResult(kind, len(table.rows), tuple(judged))


def _kind(table: Table, tolerance: float) -> str:
    """Conditional by the columns; labels where the sums of the tree hold in at least half of the rows."""
    if table.columns is READABLE:
        return "conditional"
    holding = int((gaps(table.values) <= tolerance).all(axis=1).sum())
    return "labels" if holding * 2 >= max(len(table.rows), 1) else "predictions"


def _finding(rule: str, places: Iterable[object], fault: bool = True) -> Finding:
    found = list(map(str, places))
    return Finding(rule, len(found), tuple(found[:EXAMPLES]), fault)


def _header(table: Table, kind: str) -> Iterator[Finding]:
    """The columns; those that `predict --layout wide` adds are faults in a submission only."""
    submission, columns = kind == "submission", table.columns if kind == "conditional" else COLUMNS
    wrong = table.wrong_columns(columns, () if submission else WIDE)
    yield _finding(f"columns: {ID_COLUMN} and the 37 answers", wrong)
    wanted = [name for name in (ID_COLUMN, *columns) if name in table.header]
    order = [name for name in dict.fromkeys(table.header) if name in wanted]
    moved = (f"{name!r} for {want!r}" for name, want in zip(order, wanted, strict=True) if name != want)
    yield _finding("columns: in Kaggle's order", moved, submission)


def _rows(table: Table, submission: bool) -> Iterator[Finding]:
    for rule in RULES:
        places = tuple(f"{fault.where}: {fault.got}" for fault in table.faults if fault.rule == rule)
        yield Finding(rule.name, table.broken[rule], places, fault=True)
    count = len(table.rows)
    yield _finding("rows: at least one", [] if count else ["none"])
    if submission:
        other = [] if count == KAGGLE_ROWS else [f"{count:,}"]
        yield _finding(f"rows: {KAGGLE_ROWS:,}, as in Kaggle's test set", other, fault=False)


def _ids(table: Table, submission: bool, like: dict[int, str] | None) -> Iterator[Finding]:
    """Whole numbers in a submission; the ids of `like` in their order, or ascending ids."""
    valid = [row for row in table.rows if is_cell_id(row.name)]
    yield _finding("ids: whole numbers", (row for row in valid if not is_integer(row.name)), submission)
    if like is None:
        falls = (row for before, row in pairwise(valid) if row.id < before.id)
        yield _finding("ids: ascending", falls, fault=False)
    else:
        yield from _like(table.first, like)


def _like(rows: dict[int, Row], wanted: dict[int, str]) -> Iterator[Finding]:
    """All wanted ids (with their names) and no others, in their order. rows: the first row of each id."""
    missing = (f"without {shown(name)}" for number, name in wanted.items() if number not in rows)
    yield _finding("ids: all that --like has", missing)
    yield _finding("ids: none that --like lacks", (row for number, row in rows.items() if number not in wanted))
    ours, theirs = [number for number in rows if number in wanted], [number for number in wanted if number in rows]
    pairs = zip(ours, theirs, strict=True)
    moved = (f"{rows[our]}: for {shown(wanted[their])}" for our, their in pairs if our != their)
    yield _finding("ids: in the order of --like", moved, fault=False)


def _tree(table: Table, tolerance: float, kind: str) -> Iterator[Finding]:
    """The numbers do not look like others. The sum of each question's answers is their parent's answer.

    In a conditional table it is 1. Questions whose columns are not all there are left out. The rows that are furthest
    off come first.
    """
    names, conditional, look = table.columns, kind == "conditional", looks_like(table.values)
    if not conditional:
        others = [f"they look like {look}: {CONVERSIONS[look]}"] if look else []
        yield _finding("values: fractions of all people", others)
    have = sums(table.values)
    want = np.where(np.isnan(have), np.nan, 1) if conditional else asked_share(table.values)
    off = np.abs(have - want)
    for number, (question, span) in enumerate(zip(QUESTIONS, SPANS, strict=True)):
        if np.isnan(off[:, number]).all():
            continue
        parent = "1" if conditional or question.parent is None else names[question.parent]
        rule = f"tree: {names[span][0]} to {names[span][-1].removeprefix('Class')} sum to {parent}"
        broken = np.flatnonzero(off[:, number] > tolerance)
        worst = broken[np.argsort(-off[broken, number], kind="stable")][:EXAMPLES]
        places = (f"{table.rows[row]}: {have[row, number]:.6g} for {want[row, number]:.6g}" for row in worst)
        fault = kind in ("labels", "conditional")
        yield Finding(f"{rule} within {tolerance:g} ({question.name})", len(broken), tuple(places), fault)
